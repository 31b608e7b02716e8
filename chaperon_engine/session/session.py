"""`Session`: what scenario code is handed. One simulated user, on one worker.

The public methods are the API of scenarios. Must not know processes, other sessions, or who runs
it; `lifecycle` has what the worker does with a session.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Callable, Coroutine, Mapping, Sequence
from inspect import iscoroutine
from random import Random
from typing import Any, NoReturn

from chaperon_engine.actions.call import (
    SessionFunction,
    Timing,
    call,
    function_name,
    traced,
)
from chaperon_engine.actions.delay import Wait, random_wait_s, wait_s
from chaperon_engine.actions.every import Periodics
from chaperon_engine.actions.metric import checked, in_series_unit
from chaperon_engine.actions.protocol import Actionable, run_action
from chaperon_engine.actions.repeat import loop, repeat
from chaperon_engine.actions.retry import retry_on_error
from chaperon_engine.errors import InvalidRequest, MissingConfig, SessionAborted, SessionRefused
from chaperon_engine.http.client import HttpClient
from chaperon_engine.http.cookies import CookieJar
from chaperon_engine.http.service import ServiceState
from chaperon_engine.metrics.recorder import TimedSeries
from chaperon_engine.session import config as configuration
from chaperon_engine.session.assigned import Assigned, below
from chaperon_engine.session.config import REQUIRED
from chaperon_engine.session.context import UNMEASURED, PopulationContext
from chaperon_engine.session.failures import reason_of
from chaperon_engine.session.kept import Kept
from chaperon_engine.session.labels import ServiceLabels
from chaperon_engine.session.log import SessionLogger
from chaperon_engine.session.verbs import Client, HttpVerbs, ServiceView
from chaperon_engine.units import Duration

_Work = Coroutine[Any, Any, Any]


class Session(HttpVerbs):
    """One simulated user walking a scenario. The HTTP verbs go to its first service.

    Functions handed to a session (`call`, `repeat`, `loop` ...) are called with the session first,
    then with the given arguments; what they return is awaited if it can be. A bound method of the
    scenario is such a function: `session.repeat(self.browse, 3)`.
    """

    __slots__ = (
        "_config",
        "_context",
        "_http",
        "_is_measured",
        "_kept",
        "_log",
        "_periodics",
        "_random",
        "_views",
        "assigned",
        "index",
        "iteration",
    )

    def __init__(
        self, context: PopulationContext, index: int, http: HttpClient, client: Client | None = None
    ) -> None:
        """`client` is what requests go through: `http` itself unless somebody watches."""
        self._context = context
        self._http = http
        self._client = http if client is None else client
        first = next(iter(context.population.services))
        self._labels = context.labels_of(first)
        self._service = http.service(first)
        self._config: Mapping[str, Any] = context.population.config
        self._is_measured = True
        self._views: dict[str, ServiceView] | None = None
        self._random: Random | None = None
        self._log: SessionLogger | None = None
        self._kept: Kept | None = None
        self._periodics: Periodics | None = None
        self.assigned = Assigned()
        """What `assign` kept: `session.assigned.cart`, `session.assigned["cart"]`."""
        self.index = index
        """Number within the population, from 0, unique over all workers."""
        self.iteration = 0
        """Number of the present iteration of this session, from 0."""

    # Who this is.

    @property
    def name(self) -> str:
        """Session name: that of its population."""
        return self._context.name

    @property
    def id(self) -> str:
        """Name and index: unique in the run."""
        return f"{self._context.name}-{self.index}"

    @property
    def random(self) -> Random:
        """Random numbers that are the same in every run with the same seed and index."""
        if self._random is None:
            context = self._context
            seed = f"{context.seed}:{context.population.plan.name}:{self.index}"
            self._random = Random(seed)
        return self._random

    def __repr__(self) -> str:
        return f"<Session {self.id}>"

    # Services.

    def service(self, name: str) -> ServiceView:
        """The same verbs bound to another service. Raises MissingConfig if there is none."""
        if self._views is None:
            self._views = {}
        view = self._views.get(name)
        if view is None:
            services = self._context.population.services
            if name not in services:
                known = ", ".join(services)
                raise MissingConfig(f"service {name!r} is not configured; there is {known}")
            view = self._views[name] = ServiceView(
                self, name, self._client, self._http.service(name), self._labels_of(name)
            )
        return view

    @property
    def _session(self) -> Session:
        return self

    def _labels_of(self, service: str) -> ServiceLabels:
        return self._context.labels_of(service) if self._is_measured else UNMEASURED

    def _locate(self, url: str) -> tuple[ServiceState, str, bool]:
        """The service of a full URL, its path, and whether that is below the base URL's."""
        service, path = self._http.locate(url)
        prefix = service.target.prefix
        if path.startswith(prefix):
            return service, path[len(prefix) :], True
        return service, path, False

    @property
    def cookies(self) -> CookieJar:
        """The session's cookies."""
        return self._http.cookies

    def delete_cookies(self) -> None:
        """Forget all cookies."""
        self._http.delete_cookies()

    # Calls.

    def call(self, function: SessionFunction, *args: Any) -> _Work:
        """Call a function with the session; its result."""
        return call(self, function, args)

    def call_traced(self, function: SessionFunction, *args: Any, name: str | None = None) -> _Work:
        """As `call`, measured as a series of kind `call` under the function's name or `name`."""
        return traced(self._call_series("call_traced", function, name), call(self, function, args))

    def repeat(self, function: SessionFunction, times: int, *args: Any) -> _Work:
        """Call a function so many times, one after the other."""
        return repeat(self, function, times, args)

    def repeat_traced(
        self, function: SessionFunction, times: int, *args: Any, name: str | None = None
    ) -> _Work:
        """As `repeat`; each call is measured."""
        series = self._call_series("repeat_traced", function, name)
        return repeat(self, function, times, args, series)

    def loop(
        self, function: SessionFunction, duration: Duration, *args: Any
    ) -> Coroutine[Any, Any, int]:
        """Call a function again and again until `duration` is over; how often it was called."""
        return loop(self, function, wait_s(duration, self, "duration"), args)

    def retry_on_error(
        self,
        function: SessionFunction,
        *args: Any,
        retries: int = 1,
        delay: Wait = 0,
        random_delay: Wait = 0,
    ) -> _Work:
        """The function's result, with up to `retries` more attempts after errors.

        Each of them comes after `delay` and a random part of `random_delay`.
        """

        def pause_s() -> float:
            return wait_s(delay, self) + random_wait_s(random_delay, self)

        return retry_on_error(self, function, args, retries, pause_s)

    def time(self, name: str) -> Timing:
        """Measure a stretch of code: `with session.time("checkout"): ...`, or `async with`."""
        return Timing(self._context.call_series("time", name, measured=self._is_measured))

    def run_action(self, action: Actionable) -> _Work:
        """Run an action of any kind; its result. See `Actionable` for how it is measured."""
        name = action.name
        series = self._context.call_series("run_action", name, measured=self._is_measured)
        return run_action(self, action, series)

    def _call_series(self, action: str, function: SessionFunction, name: str | None) -> TimedSeries:
        name = name or function_name(function)
        return self._context.call_series(action, name, measured=self._is_measured)

    # Waits.

    def delay(self, duration: Wait, *, random: Wait = 0) -> Coroutine[Any, Any, None]:
        """Wait; `random` adds a random part between zero and itself."""
        pause_s = wait_s(duration, self)
        if random != 0:
            pause_s += random_wait_s(random, self, "random")
        return self._wait(pause_s)

    def random_delay(self, duration: Wait) -> Coroutine[Any, Any, None]:
        """Wait for a random time between zero and `duration`."""
        return self._wait(random_wait_s(duration, self))

    def every(self, period: Duration, function: SessionFunction, *args: Any) -> None:
        """From now on call a function periodically while the session waits in `delay` or
        `random_delay`; as the config key `interval`. The same function again replaces it."""
        period_s = wait_s(period, self, "period")
        if period_s <= 0:
            raise InvalidRequest(f"period must be more than zero seconds, not {period!r}")
        if self._periodics is None:
            self._periodics = Periodics()
        self._periodics.add(period_s, function, args)

    def _wait(self, pause_s: float) -> Coroutine[Any, Any, None]:
        if self._periodics is None:
            return sleep(pause_s)
        return self._periodics.wait(self, pause_s)

    # Values.

    def assign(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        namespace: str | None = None,
        **assignments: Any,
    ) -> None:
        """Keep values for later: `assign(cart=[])`, `assign({"cart": []}, namespace="shop")`."""
        target = below(self.assigned, namespace)
        for key, value in {**(values or {}), **assignments}.items():
            target[key] = value

    def update_assign(
        self, *, namespace: str | None = None, **functions: Callable[[Any], Any]
    ) -> None:
        """Replace values by what a function makes of them: `update_assign(n=lambda n: n + 1)`.

        Raises MissingConfig naming the first value that is not there.
        """
        target = below(self.assigned, namespace)
        for key, function in functions.items():
            target[key] = function(target[key])

    def delete_assign(self, *keys: str, namespace: str | None = None) -> None:
        """Forget values. Raises MissingConfig naming the first that is not there."""
        target = below(self.assigned, namespace)
        for key in keys:
            del target[key]

    def config(self, key: str | Sequence[str], default: Any = REQUIRED) -> Any:
        """A config value by key, dotted key (`"a.b.c"`) or list of keys.

        Raises MissingConfig naming the key if it is absent and there is no default. The value is
        shared with other sessions: change it with `set_config`, never in place.
        """
        return configuration.lookup(self._config, key, default)

    def set_config(self, values: Mapping[str, Any] | None = None, /, **assignments: Any) -> None:
        """Set config values of this session alone; keys of the mapping may be dotted."""
        for key, value in {**(values or {}), **assignments}.items():
            self._config = configuration.replaced(self._config, key, value)

    def update_config(
        self,
        functions: Mapping[str, Callable[[Any], Any]] | None = None,
        /,
        **more: Callable[[Any], Any],
    ) -> None:
        """Replace config values of this session by what a function makes of them."""
        for key, function in {**(functions or {}), **more}.items():
            self._config = configuration.replaced(self._config, key, function(self.config(key)))

    # Findings.

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

    # Log.

    @property
    def log(self) -> SessionLogger:
        """A standard logger adapter; its lines go to the run's log with this session's id."""
        if self._log is None:
            self._log = SessionLogger(self._context.book.logger, self.id)
        return self._log

    def log_debug(self, message: str, *args: object) -> None:
        """Log for the one who writes the scenario; shown by `chaperon try`."""
        self.log.debug(message, *args)

    def log_info(self, message: str, *args: object) -> None:
        """Log something worth knowing."""
        self.log.info(message, *args)

    def log_warning(self, message: str, *args: object) -> None:
        """Log something odd."""
        self.log.warning(message, *args)

    def log_error(self, message: str, *args: object) -> None:
        """Log something wrong."""
        self.log.error(message, *args)
