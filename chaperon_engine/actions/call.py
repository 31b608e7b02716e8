"""Calls of user functions, measured or not, and stretches of code under a name.

The rule for every function handed to a session: it is called with the session first, then the
given arguments; what it returns is awaited if it can be. A bound method of the scenario is such a
function: `session.repeat(self.browse, 3)` calls `self.browse(session)` three times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from chaperon_engine.clock import now_ns
from chaperon_engine.errors import ActionError, InvalidRequest
from chaperon_engine.text import visible

if TYPE_CHECKING:
    from chaperon_engine.session import Session

SessionFunction = Callable[..., Any]
"""`(session, *args) -> value or awaitable`."""


class Stopwatch(Protocol):
    """The part of a timed series that measuring needs."""

    def record_ns(self, elapsed_ns: int) -> None: ...
    def failed(self, elapsed_ns: int, code: str) -> None: ...


def error_code(error: BaseException) -> str:
    """Class under which an error of a call is counted."""
    if isinstance(error, ActionError):
        return error.code
    return "exception" if isinstance(error, Exception) else "cancelled"


def check_function(function: object, what: str) -> None:
    """Raises InvalidRequest for what `what` cannot call."""
    if callable(function):
        return
    if iscoroutine(function):
        name = function.__qualname__.rpartition(".")[2]
        function.close()
        raise InvalidRequest(
            f"{what} calls the function itself: give it {visible(name)} and the arguments, "
            f"without calling {visible(name)}(...)"
        )
    raise InvalidRequest(f"{what} takes a function, not {visible(repr(function), 80)}")


def function_name(function: SessionFunction) -> str:
    """The name a person would call it by: `Checkout.pay`, or the type of a callable object."""
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name.rpartition("<locals>.")[2]


async def call(session: Session, function: SessionFunction, args: tuple[Any, ...]) -> Any:
    """Call a function with the session; its result."""
    result = function(session, *args)
    return await result if isawaitable(result) else result


async def traced(stopwatch: Stopwatch, work: Awaitable[Any]) -> Any:
    """Await and record how long it took, or that and why it failed."""
    start = now_ns()
    try:
        result = await work
    except BaseException as error:
        stopwatch.failed(now_ns() - start, error_code(error))
        raise
    stopwatch.record_ns(now_ns() - start)
    return result


class Timing:
    """A stretch of code that is measured: `with session.time("checkout"): ...`, or `async with`."""

    __slots__ = ("_start", "_stopwatch")

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._start = 0

    def __enter__(self) -> Timing:
        self._start = now_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        elapsed = now_ns() - self._start
        if error is None:
            self._stopwatch.record_ns(elapsed)
        else:
            self._stopwatch.failed(elapsed, error_code(error))

    async def __aenter__(self) -> Timing:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
