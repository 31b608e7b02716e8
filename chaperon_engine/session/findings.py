"""The part of a session that reports: checks, metrics of one's own, refusal and abort, results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutine
from typing import Any, NoReturn

from chaperon_engine.actions.metric import checked, in_series_unit
from chaperon_engine.clock import now_ns
from chaperon_engine.errors import InvalidRequest, SessionAborted, SessionRefused
from chaperon_engine.session.core import SessionCore
from chaperon_engine.session.failures import reason_of


class Findings(SessionCore):
    """What a session has found out."""

    __slots__ = ()

    def check(self, name: str, condition: bool | Callable[[], Any]) -> bool:
        """Count a named check as passed or failed, and say which; never raises.

        An exception in a function is a failed check with its reason.
        """
        reason = ""
        try:
            value = condition() if callable(condition) else condition
            if iscoroutine(value):
                value.close()
                raise TypeError("the function is asynchronous: await it and check its result")
            passed = bool(value)
        except Exception as error:
            passed, reason = False, reason_of(error)
            self._context.failures.add(error, "check")
        if self._is_measured:
            population = self._context.population
            self._context.recorder.check(
                population.plan.scenario, population.session_label, name, passed, reason
            )
        return passed

    def refuse(self, reason: str) -> NoReturn:
        """In `init`: this session cannot run. It is reported failed and its `run` is skipped."""
        raise SessionRefused(reason)

    def abort(self, reason: str) -> NoReturn:
        """End this session: the rest of its actions are skipped, except for `teardown`.

        Its children end with it. In a child it ends the child alone.
        """
        raise SessionAborted(reason)

    def add_metric(
        self, name: str, value: float, *, unit: str = "", tags: Mapping[str, object] | None = None
    ) -> None:
        """Record a value in a distribution under any name.

        Durations (`us`, `ms`, `s`) are kept as whole microseconds up to a day, sizes (`B`) as whole
        numbers up to 86 GB, everything else with three decimals up to 86.4 million.
        """
        number, unit = in_series_unit(checked(name, value), unit)
        if self._is_measured:
            key = self._context.key("trend", unit=unit, name=name, tags=tags)
            self._context.recorder.trend(key, number)

    def counter(
        self,
        name: str,
        amount: float = 1,
        *,
        unit: str = "",
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """Increase a counter of the run."""
        number = checked(name, amount)
        if self._is_measured:
            key = self._context.key("counter", unit=unit, name=name, tags=tags)
            self._context.recorder.count(key, number)

    def gauge(
        self, name: str, value: float, *, unit: str = "", tags: Mapping[str, object] | None = None
    ) -> None:
        """Set a gauge: its last value stands."""
        number = checked(name, value)
        if self._is_measured:
            key = self._context.key("gauge", unit=unit, name=name, tags=tags)
            self._context.recorder.gauge(key, number)

    def rate(self, name: str, value: bool, *, tags: Mapping[str, object] | None = None) -> None:
        """Record whether something was so: the share of true values is kept."""
        if self._is_measured:
            key = self._context.key("rate", unit="", name=name, tags=tags)
            self._context.recorder.rate(key, bool(value))

    def timestamp(self) -> int:
        """Monotonic nanoseconds, comparable between all sessions on this machine: what to send
        along with a message for `latency`."""
        return now_ns()

    def latency(
        self, name: str, timestamp: int, *, tags: Mapping[str, object] | None = None
    ) -> int:
        """Record the time since `timestamp()` was called, here or in another session of this
        machine, as a distribution in microseconds; nanoseconds.

        Raises InvalidRequest for a time that has not come yet: it is not of this machine's clock.
        """
        if not isinstance(timestamp, int) or isinstance(timestamp, bool):
            raise InvalidRequest(f"latency {name!r} takes what timestamp() gave, not {timestamp!r}")
        elapsed_ns = now_ns() - timestamp
        if elapsed_ns < 0:
            raise InvalidRequest(
                f"latency {name!r}: the timestamp lies {-elapsed_ns:,} ns in the future; only "
                "timestamp() of sessions on this machine can be compared"
            )
        series = self._context.duration_series(
            "latency", name, measured=self._is_measured, tags=tags
        )
        series.record_ns(elapsed_ns)
        return elapsed_ns

    @property
    def results(self) -> Mapping[str, Sequence[Any]]:
        """The last responses and messages by action (`GET /`, `ws_recv /feed`), kept only with
        the config `store_results`; those of children, too, once these are over."""
        return {} if self._kept is None else self._kept.results

    @property
    def errors(self) -> Mapping[str, Sequence[BaseException]]:
        """The last errors: those that ended an iteration under `run`; with `store_results` those
        of requests and receives too, by action."""
        return {} if self._kept is None else self._kept.errors
