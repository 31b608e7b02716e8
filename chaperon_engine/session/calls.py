"""The part of a session that calls functions: once, repeatedly, for a while, again after errors."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from chaperon_engine.actions.call import (
    SessionFunction,
    Timing,
    call,
    check_function,
    function_name,
    traced,
)
from chaperon_engine.actions.delay import Wait, random_wait_s, wait_s
from chaperon_engine.actions.protocol import Actionable, run_action
from chaperon_engine.actions.repeat import loop, repeat
from chaperon_engine.actions.retry import retry_on_error
from chaperon_engine.metrics.recorder import TimedSeries
from chaperon_engine.session.core import SessionCore
from chaperon_engine.units import Duration

Work = Coroutine[Any, Any, Any]


class Calls(SessionCore):
    """Functions handed to a session are called with it first, then with the given arguments."""

    __slots__ = ()

    def call(self, function: SessionFunction, *args: Any) -> Work:
        """Call a function with the session; its result."""
        check_function(function, "call")
        return call(self._session, function, args)

    def call_traced(self, function: SessionFunction, *args: Any, name: str | None = None) -> Work:
        """As `call`, measured as a series of kind `call` under the function's name or `name`."""
        return traced(
            self._call_series("call_traced", function, name), call(self._session, function, args)
        )

    def repeat(self, function: SessionFunction, times: int, *args: Any) -> Work:
        """Call a function so many times, one after the other."""
        check_function(function, "repeat")
        return repeat(self._session, function, times, args)

    def repeat_traced(
        self, function: SessionFunction, times: int, *args: Any, name: str | None = None
    ) -> Work:
        """As `repeat`; each call is measured."""
        series = self._call_series("repeat_traced", function, name)
        return repeat(self._session, function, times, args, series)

    def loop(
        self, function: SessionFunction, duration: Duration, *args: Any
    ) -> Coroutine[Any, Any, int]:
        """Call a function again and again until `duration` is over; how often it was called."""
        check_function(function, "loop")
        return loop(self._session, function, wait_s(duration, self, "duration"), args)

    def retry_on_error(
        self,
        function: SessionFunction,
        *args: Any,
        retries: int = 1,
        delay: Wait = 0,
        random_delay: Wait = 0,
    ) -> Work:
        """The function's result, with up to `retries` more attempts after errors.

        Each of them comes after `delay` and a random part of `random_delay`.
        """
        check_function(function, "retry_on_error")

        def pause_s() -> float:
            return wait_s(delay, self) + random_wait_s(random_delay, self)

        return retry_on_error(self._session, function, args, retries, pause_s)

    def time(self, name: str) -> Timing:
        """Measure a stretch of code: `with session.time("checkout"): ...`, or `async with`."""
        return Timing(self._context.call_series("time", name, measured=self._is_measured))

    def run_action(self, action: Actionable) -> Work:
        """Run an action of any kind; its result. See `Actionable` for how it is measured."""
        name = action.name
        series = self._context.call_series("run_action", name, measured=self._is_measured)
        return run_action(self._session, action, series)

    def _call_series(self, action: str, function: SessionFunction, name: str | None) -> TimedSeries:
        check_function(function, action)
        name = name or function_name(function)
        return self._context.call_series(action, name, measured=self._is_measured)
