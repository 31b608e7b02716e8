"""Whether a plan fits into the descriptors that a process may have; said before a run."""

from __future__ import annotations

import resource

from chaperon_engine.definition.plan import Plan
from chaperon_engine.errors import UserError

RESERVED = 64
"""Descriptors of a worker for everything but its sessions' connections."""
UNLIMITED = 1_000_000


def hard_limit() -> int:
    """The most descriptors a process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if hard == resource.RLIM_INFINITY else hard


def check(plan: Plan, workers: int, limit: int) -> None:
    """Raise UserError with the arithmetic when a worker's sessions cannot have one connection
    each. A session that talks to several services, or concurrently to one, needs more; that is
    seen only while it runs and counted as `generator_descriptors`."""
    if plan.services and all(s.settings.get("pool") == "worker" for s in plan.services):
        return  # connections are few and shared, however many sessions there are
    sessions = -(-plan.sessions // workers)
    needed = sessions + RESERVED
    if needed > limit:
        raise UserError(
            f"{plan.sessions:,} sessions on {workers} worker{'s' if workers > 1 else ''} need at "
            f"least {needed:,} descriptors per worker ({sessions:,} sessions with a connection "
            f"each, and {RESERVED} others); the hard limit is {limit:,}: fewer sessions, more "
            "workers, or a higher limit (ulimit -Hn)"
        )
