"""Ends the measuring of a session: what it does from then on is sent and recorded nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaperon_engine.metrics.recorder import NULL_HTTP, HttpSeries
from chaperon_engine.session.context import UNMEASURED
from chaperon_engine.session.core import SessionCore
from chaperon_engine.session.sockets import stop_measuring_sockets


def stop_measuring(session: SessionCore) -> None:
    """From now on requests are sent and nothing is recorded: for `teardown`."""
    session._is_measured = False
    session._labels = UNMEASURED
    session._http.series_for = _unmeasured_hop
    session._http.measure(False)
    stop_measuring_sockets(session._sockets, set(session._context.sockets.values()))
    for view in (session._views or {}).values():
        view._labels = UNMEASURED


@contextmanager
def unmeasured(session: SessionCore) -> Iterator[None]:
    """As `stop_measuring`, for a session within another: WebSockets that stay open belong to the
    user, and are measured again afterwards."""
    sockets = [
        (socket, socket.series)
        for named in (session._sockets or {}).values()
        for socket in named.values()
    ]
    was_measured = session._is_measured
    stop_measuring(session)
    try:
        yield
    finally:
        if was_measured:
            session._http.measure(True)
        for socket, series in sockets:
            socket.series = series


def _unmeasured_hop(service: str, method: str, path: str) -> HttpSeries:
    return NULL_HTTP
