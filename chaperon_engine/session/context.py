"""What the sessions of one population share within a worker: config, series, log, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from chaperon_engine.definition.resolved import ResolvedPopulation
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.metrics.recorder import NULL_TIMED, HttpSeries, Recorder, TimedSeries
from chaperon_engine.session.failures import FailureLog
from chaperon_engine.session.labels import MAX_REMEMBERED, ServiceLabels, texts_of, unmeasured
from chaperon_engine.session.log import LogBook
from chaperon_engine.session.remote import RemotePort
from chaperon_engine.ws.series import SocketSeries

UNMEASURED = unmeasured()


@dataclass(slots=True, kw_only=True)
class PopulationContext:
    """Shared by all sessions of a population in this worker."""

    population: ResolvedPopulation
    recorder: Recorder
    book: LogBook
    seed: int
    """Of the run."""
    failures: FailureLog
    labels: dict[str, ServiceLabels]
    """By service."""
    timed: dict[tuple[str, str, str], TimedSeries]
    """Series of calls and durations by kind, action and name."""
    remote: RemotePort | None = None
    """The rest of the run."""
    sockets: dict[tuple[str, str, str], SocketSeries] = field(default_factory=dict)
    """Series of WebSockets by service, URL and name."""
    nested: dict[tuple[object, ...], PopulationContext] = field(default_factory=dict)
    """Contexts of nested scenarios; `session.nested` makes them."""

    @classmethod
    def of(
        cls,
        population: ResolvedPopulation,
        *,
        recorder: Recorder,
        book: LogBook,
        seed: int,
        remote: RemotePort | None = None,
    ) -> PopulationContext:
        """The context of a population; nothing of it is recorded yet."""
        context = cls(
            population=population,
            recorder=recorder,
            book=book,
            seed=seed,
            failures=FailureLog(recorder, population.plan.name),
            labels={},
            timed={},
            remote=remote,
        )
        return context

    @property
    def name(self) -> str:
        """Session name, as a person reads it."""
        return self.population.settings.session_name or self.population.plan.name

    def key(
        self,
        kind: str,
        *,
        unit: str = "us",
        service: str = "",
        action: str = "",
        name: str = "",
        tags: Mapping[str, object] | None = None,
    ) -> SeriesKey:
        """A key with the labels that all series of the population have."""
        return SeriesKey(
            kind=kind,
            unit=unit,
            scenario=self.population.plan.scenario,
            session=self.population.session_label,
            service=service,
            action=action,
            name=name,
            tags=texts_of(tags),
        )

    def labels_of(self, service: str) -> ServiceLabels:
        """The series of a service; one that is not configured is named after its origin."""
        labels = self.labels.get(service)
        if labels is None:
            labels = ServiceLabels(
                self.recorder.http,
                self.key("http", service=service),
                skip_query=self.population.settings.skip_query_params_in_metrics,
            )
            if len(self.labels) < MAX_REMEMBERED:
                self.labels[service] = labels
        return labels

    def hop_series(self, service: str, method: str, path: str) -> HttpSeries:
        """The series of a request that a redirect asked for."""
        return self.labels_of(service).series("redirect", method, path)

    def call_series(self, action: str, name: str, *, measured: bool) -> TimedSeries:
        """The series of a measured call."""
        return self._timed("call", action, name) if measured else NULL_TIMED

    def duration_series(
        self,
        action: str,
        name: str,
        *,
        measured: bool,
        tags: Mapping[str, object] | None = None,
    ) -> TimedSeries:
        """The series of durations that are not those of a call: how late, how long under way."""
        if not measured:
            return NULL_TIMED
        if tags:
            return self.recorder.timed(self.key("trend", action=action, name=name, tags=tags))
        return self._timed("trend", action, name)

    def socket_series(self, service: str, url: str, name: str) -> SocketSeries:
        """The series of WebSockets to a URL, or with a name of their own."""
        if name:
            url = ""
        elif self.population.settings.skip_query_params_in_metrics:
            url = url.partition("?")[0]
        place = (service, url, name)
        series = self.sockets.get(place)
        if series is None:
            base = self.key("", service=service, name=name)
            series = SocketSeries(
                lambda kind: self.recorder.messages(
                    msgspec.structs.replace(base, kind=kind, action=kind, url=url)
                )
            )
            if len(self.sockets) < MAX_REMEMBERED:
                self.sockets[place] = series
        return series

    def _timed(self, kind: str, action: str, name: str) -> TimedSeries:
        place = (kind, action, name)
        series = self.timed.get(place)
        if series is None:
            series = self.recorder.timed(self.key(kind, action=action, name=name))
            if len(self.timed) < MAX_REMEMBERED:
                self.timed[place] = series
        return series

    def forget_series(self) -> None:
        """Look every series up again: the phase changed, or the run's table is full."""
        self.timed.clear()
        for labels in self.labels.values():
            labels.forget()
        for sockets in self.sockets.values():
            sockets.renew()
        for context in self.nested.values():
            context.forget_series()
