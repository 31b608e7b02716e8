"""What the worker does with a session between the calls of its scenario."""

from __future__ import annotations

from chaperon_engine.http.client import HttpClient
from chaperon_engine.session.assigned import Assigned, copied
from chaperon_engine.session.config import computed, has_functions
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.session.kept import KeepingClient, Kept
from chaperon_engine.session.measuring import stop_measuring
from chaperon_engine.session.session import Session
from chaperon_engine.session.sockets import abort_sockets

__all__ = [
    "close",
    "compute_config",
    "keep_error",
    "make_session",
    "refresh",
    "start_delay_s",
    "stop_measuring",
]


def make_session(context: PopulationContext, index: int, http: HttpClient) -> Session:
    """A session that has not begun; it owns its client."""
    http.series_for = context.hop_series
    settings = context.population.settings
    if settings.store_results:
        kept = Kept()
        session = Session(context, index, http, KeepingClient(http, kept))
        session._kept = session._keeping = kept
    else:
        session = Session(context, index, http)
    if settings.interval is not None:
        session.every(settings.interval.period_s, settings.interval.function)
    return session


def start_delay_s(session: Session) -> float:
    """How long the session waits before it begins: config `delay` and `random_delay`."""
    settings = session._context.population.settings
    if settings.random_delay_s <= 0:
        return settings.delay_s
    return settings.delay_s + session.random.uniform(0.0, settings.random_delay_s)


async def compute_config(session: Session) -> None:
    """Call the functions among the config values; the session gets values of its own."""
    if has_functions(session._config):
        session._config = await computed(session._config, session)


def refresh(session: Session, assigned: Assigned) -> None:
    """Begin as if new: no connections, no cookies, and a copy of what `init` assigned."""
    abort_sockets(session._sockets)
    session._http.reset()
    session.assigned = copied(assigned)


def keep_error(session: Session, where: str, error: BaseException) -> None:
    """Keep an error that ended an iteration or the session."""
    if session._kept is None:
        session._kept = Kept()
    session._kept.add_error(where, error)


def close(session: Session) -> None:
    """Abort the session's connections and children."""
    session._close()
