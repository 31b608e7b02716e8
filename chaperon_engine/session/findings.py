"""The part of a session that reports: checks, metrics of one's own, refusal and abort, results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutine
from typing import Any, NoReturn

from chaperon_engine.actions.metric import checked, in_series_unit
from chaperon_engine.errors import SessionAborted, SessionRefused
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
        """End this session: the rest of its actions are skipped, except for `teardown`."""
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

    @property
    def results(self) -> Mapping[str, Sequence[Any]]:
        """The last responses by action (`GET /`), kept only with the config `store_results`."""
        return {} if self._kept is None else self._kept.results

    @property
    def errors(self) -> Mapping[str, Sequence[BaseException]]:
        """The last errors: those that ended an iteration under `run`; with `store_results` those
        of requests too, by action."""
        return {} if self._kept is None else self._kept.errors
