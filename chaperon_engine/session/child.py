"""One child session: how it is made from its parent, and its life as a task.

Must not know its brothers and sisters; `family` does.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from chaperon_engine.actions.call import SessionFunction, error_code
from chaperon_engine.actions.spawn import ChildHandle
from chaperon_engine.clock import now_ns
from chaperon_engine.errors import SessionAborted
from chaperon_engine.metrics.recorder import TimedSeries
from chaperon_engine.session.assigned import copied
from chaperon_engine.session.failures import control_flow_of
from chaperon_engine.session.kept import KeepingClient, Kept
from chaperon_engine.session.measuring import stop_measuring

if TYPE_CHECKING:
    from chaperon_engine.session.session import Session

CURRENT_CHILD: ContextVar[str] = ContextVar("current_child", default="")
"""Id of the child session whose code runs; empty outside of children."""


def fork(parent: Session) -> Session:
    """A child: copies of config, assigned and cookies, over the parent's HTTP connections."""
    http = parent._http.fork()
    if parent._context.population.settings.store_results:
        kept = Kept()
        child = type(parent)(parent._context, parent.index, http, KeepingClient(http, kept))
        child._kept = child._keeping = kept
    else:
        child = type(parent)(parent._context, parent.index, http)
    child._config = parent._config  # Changes make a copy.
    if parent.assigned:
        child.assigned = copied(parent.assigned)
    child.iteration = parent.iteration
    if not parent._is_measured:
        stop_measuring(child)
    return child


async def run_child(
    child: Session,
    handle: ChildHandle,
    function: SessionFunction,
    args: tuple[Any, ...],
    series: TimedSeries,
    lateness: TimedSeries | None,
    intended_ns: int,
) -> None:
    """A child's task, from its start to its outcome."""
    family = child._family
    assert family is not None
    CURRENT_CHILD.set(family.id)
    start_ns = now_ns()
    if lateness is not None:
        lateness.record_ns(start_ns - intended_ns)
    try:
        try:
            value = function(child, *args)
            if isawaitable(value):
                value = await value
        except BaseException as error:
            series.failed(now_ns() - start_ns, error_code(error))
            raise
        series.record_ns(now_ns() - start_ns)
        if not family.is_idle:
            await family.settle()
        if handle.outcome == "running":  # Not given up.
            handle._value = value
            handle.outcome = "done"
    except GeneratorExit:
        raise
    except BaseException as error:
        if not family.is_idle:
            await family.end()
        if handle.outcome == "running":
            _fail(child, handle, error)


def _fail(child: Session, handle: ChildHandle, error: BaseException) -> None:
    flow = control_flow_of(error)
    context = child._context
    if isinstance(flow, SessionAborted):
        handle.outcome = "aborted"
        handle.reason = flow.reason
        context.failures.add(flow, "child")
        context.book.add("warning", handle.id, f"aborted: {flow.reason}")
    elif isinstance(error, asyncio.CancelledError):
        handle.outcome = "cancelled"
    else:
        handle.outcome = "failed"
        handle._error = error if flow is None else flow
