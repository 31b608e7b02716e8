"""The part of a session that runs other scenarios: here and now, or on some worker of the run.

A scenario that is run here is walked by the same user: a session that shares what this one
assigned, its cookies and connections, with a config and series of its own. One that is scheduled is
walked by a user of its own, who begins with copies.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from chaperon_engine.actions.call import traced
from chaperon_engine.actions.scenario import walk
from chaperon_engine.actions.signal import Mailbox
from chaperon_engine.actions.spawn import ChildHandle
from chaperon_engine.definition.layers import deep_merge
from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.scheduled import ScheduledScenario, as_class, parts_of
from chaperon_engine.errors import InvalidRequest, ScheduleFailed
from chaperon_engine.session.assigned import Assigned
from chaperon_engine.session.children import Children
from chaperon_engine.session.config import computed, has_functions
from chaperon_engine.session.context import PopulationContext
from chaperon_engine.session.failures import cause_of
from chaperon_engine.session.family import Family, with_children
from chaperon_engine.session.kept import KeepingClient
from chaperon_engine.session.labels import MAX_REMEMBERED
from chaperon_engine.session.measuring import unmeasured
from chaperon_engine.session.plain import pack, pack_assigned, pack_cookies, unpack

if TYPE_CHECKING:
    from chaperon_engine.session.session import Session

AnyScenario = type[Scenario] | Sequence[type[Scenario]]


class Nested(Children):
    """Scenarios within a scenario."""

    __slots__ = ()

    def run_scenario(
        self,
        scenario: AnyScenario,
        config: Mapping[str, Any] | None = None,
        *,
        merge: bool = True,
        name: str | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Walk a scenario, or a list of them in order, with this user: init, run, teardown.

        It finds `config` over this session's own config values, or with `merge=False` in their
        place. What it assigns, this session has as well; its changes of config end with it. Its
        series have its scenario's name, and `name` as session name when given; the whole is
        measured as a series of kind `call` and action `run_scenario`. What it raises is raised
        here: `abort` and `refuse` end the whole session.
        """
        parts = tuple(parts_of(scenario))
        context = context_for(self._context, parts, name or "")
        series = self._context.call_series(
            "run_scenario", context.population.plan.scenario, measured=self._is_measured
        )
        return traced(series, self._walk(context, self._config_for(config, merge=merge)))

    def schedule_scenario(
        self,
        scenario: AnyScenario,
        config: Mapping[str, Any] | None = None,
        *,
        merge: bool = True,
        name: str | None = None,
    ) -> ChildHandle:
        """Have a scenario, or a list of them in order, walked on some worker of the run.

        Its user is a new one, who begins with copies of this session's config with `config` over
        it, assigned values and cookies; with `merge=False` with `config` alone. Awaiting the handle
        gives what that user has assigned at the end. The handle is one of a child: it can be
        joined by `name` (default: the scenario's), and is awaited at the end of `run`; when this
        session is ended, so is the scenario. What it measures is kept there, and the whole here as
        a series of kind `call` and action `schedule_scenario`.

        Only plain data travels, and only scenarios that all workers find by name in the load test's
        file: InvalidRequest names anything else. Awaiting raises ScheduleFailed when the scenario
        failed, could not begin because the run is ending, or was lost with its worker.
        """
        parts = parts_of(scenario)
        what = self._scheduled(parts, config, merge=merge, name=name)
        called = name or "+".join(part.__qualname__ for part in parts)
        family = self._kin
        handle = family.admit(called)[0]
        series = self._context.call_series("schedule_scenario", called, measured=self._is_measured)
        family.start(handle, _elsewhere, (what,), series)
        return handle

    async def _walk(self, context: PopulationContext, config: Mapping[str, Any]) -> None:
        nested = _within(self._session, context, config)
        if has_functions(config):
            nested._config = await computed(config, nested)

        def told(error: Exception) -> None:
            context.failures.add(cause_of(error), "teardown")

        await walk(
            context.population.scenario(),
            nested,
            stage=lambda work: with_children(nested, work),
            around_teardown=unmeasured(nested),
            on_teardown_error=told,
        )

    def _config_for(self, config: Any, *, merge: bool) -> Mapping[str, Any]:
        if config is None:
            return self._config if merge else {}
        if not isinstance(config, Mapping):
            kind = type(config).__name__
            raise InvalidRequest(f"the config of a scenario must be a table, not {kind}")
        return deep_merge(self._config if merge else {}, config)

    def _scheduled(
        self, parts: Sequence[type[Scenario]], config: Mapping[str, Any] | None, *, merge: bool,
        name: str | None,
    ) -> ScheduledScenario:  # fmt: skip
        """Everything that the scenario's own user begins with, as plain data."""
        context = self._context
        remote = context.remote
        if remote is None:
            raise InvalidRequest("no scenario can be scheduled here: this session runs on its own")
        own = self._config_for(config, merge=merge)
        base = context.population.config
        # Every worker has the config of the population: only what differs from it travels, which
        # may then contain what is no plain data.
        has_base = merge and base.keys() <= own.keys()
        return ScheduledScenario(
            population=context.population.plan.name,
            scenarios=[remote.name_of(part) for part in parts],
            name=name or context.population.settings.session_name or "",
            index=self.index,
            seed=self.random.getrandbits(63),
            merge=has_base,
            config=pack(_differing(base, own) if has_base else own, "config value"),
            assigned=pack_assigned(self.assigned if merge else Assigned()),
            cookies=pack_cookies(self.cookies.dump() if merge else []),
            is_measured=self._is_measured,
        )


async def _elsewhere(child: Session, what: ScheduledScenario) -> dict[str, Any]:
    remote = child._context.remote
    assert remote is not None
    outcome = await remote.schedule(what)
    if outcome.kind == "done":
        return unpack(outcome.result)
    raise ScheduleFailed(outcome.kind, outcome.reason)


def context_for(
    context: PopulationContext, parts: tuple[type[Scenario], ...], name: str
) -> PopulationContext:
    """The context of a scenario within those of a population; `name`: session name of its series,
    empty: as theirs."""
    place = (parts, name)
    found = context.nested.get(place)
    if found is None:
        population = context.population
        scenario = as_class(parts)
        settings = replace(
            population.settings,
            delay_s=0.0,
            random_delay_s=0.0,
            session_name=name or population.settings.session_name,
        )
        found = PopulationContext.of(
            replace(
                population,
                scenario=scenario,
                plan=msgspec.structs.replace(
                    population.plan, scenario=scenario.__qualname__, fresh=False
                ),
                settings=settings,
            ),
            recorder=context.recorder,
            book=context.book,
            seed=context.seed,
            remote=context.remote,
        )
        found.failures = context.failures
        if len(context.nested) < MAX_REMEMBERED:
            context.nested[place] = found
    return found


class _NestedFamily(Family):
    """The family of a session within another: children of its own; parent and mailbox are those
    of the user, who goes on."""

    __slots__ = ()

    def __init__(self, session: Session, outer: Family) -> None:
        super().__init__(session, outer.id, outer.parent)
        if outer.mailbox is None:
            outer.mailbox = Mailbox()
        self.mailbox = outer.mailbox
        self._numbers = outer._numbers

    def _forget_signals(self) -> None:
        """They are the user's, who goes on."""


def _within(session: Session, context: PopulationContext, config: Mapping[str, Any]) -> Session:
    """The same user walking another scenario: shares everything but config, series and hops."""
    # Made now, so that both have the same.
    _ = session.random, session._all_sockets
    nested = copy(session)
    http = session._http.fork()
    http.cookies = session.cookies
    nested._http = http
    nested._client = http
    if isinstance(session._client, KeepingClient):
        nested._client = KeepingClient(http, session._client.kept)
    nested._context = context
    nested._config = config
    nested._views = None
    nested._log = None
    nested._family = _NestedFamily(nested, session._kin)
    if session._is_measured:
        nested._labels = context.labels_of(nested._service.name)
        http.series_for = context.hop_series
    return nested


def _differing(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `own` that are not those of `base`."""
    differing: dict[str, Any] = {}
    for key, value in own.items():
        below = base.get(key)
        if key in base and value is below:
            continue
        if (
            isinstance(value, Mapping)
            and isinstance(below, Mapping)
            and below.keys() <= value.keys()
        ):
            if inner := _differing(below, value):
                differing[key] = inner
        else:
            differing[key] = value
    return differing
