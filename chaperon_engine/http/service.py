"""A service as a worker talks to it: prepared heads, rules, how to reach it, whom to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.http.assembly import ReplySink
from chaperon_engine.http.headers import HeadFacts
from chaperon_engine.http.pool import Pool
from chaperon_engine.http.request import IDEMPOTENT, Prepared, prepare
from chaperon_engine.http.rules import Rules
from chaperon_engine.http.usual import HeadShape, shape_of
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.net.endpoint import Endpoint

if TYPE_CHECKING:
    from chaperon_engine.http.worker import HttpWorker
    from chaperon_engine.net.ports import Labels

_MAX_METHODS = 16
_MAX_PREPARED = 2048
_MAX_FACTS = 64
_MAX_SHAPES = 8
_MAX_LEARNED = 64
"""Shapes are compiled, which takes a part of a millisecond: not again and again."""


class Target(Endpoint):
    """What all sessions of a population share about a service."""

    def __init__(self, worker: HttpWorker, service: ResolvedService, labels: Labels) -> None:
        super().__init__(worker.network, service, labels)
        self.worker = worker
        self.max_redirects = service.max_redirects
        self.prepared: dict[str, dict[str, Prepared]] = {}
        """Bare requests by method and path as called."""
        self.sink = ReplySink()
        self.facts: dict[bytes, HeadFacts] = {}
        """Heads of replies that passed all checks; most of a load test are among a few."""
        self.shapes: tuple[HeadShape, ...] = ()
        """What heads of replies look like, the newest first."""
        self._to_learn = _MAX_LEARNED
        self._rules: dict[str, Rules] = {}
        worker.tighten(min(service.timeout_s, service.first_byte_timeout_s))

    def prepare(self, method: str, path: str) -> Prepared:
        """A bare request, kept for the next call. Raises InvalidRequest."""
        prepared = prepare(self, method, path)
        known = self.prepared.get(method)
        if known is None:
            if len(self.prepared) >= _MAX_METHODS:
                return prepared
            known = self.prepared[method] = {}
        if len(known) >= _MAX_PREPARED:
            known.clear()
        known[path] = prepared
        return prepared

    def remember(self, head: bytes, facts: HeadFacts) -> None:
        """A head that passed all checks need not be looked at again."""
        if len(self.facts) >= _MAX_FACTS:
            self.facts.clear()
        self.facts[head] = facts

    def learn(self, head: bytes, facts: HeadFacts) -> None:
        """A head of a complete reply, not like those before: others may be like this one."""
        if self._to_learn and not any(shape.match(head) for shape in self.shapes):
            self._to_learn -= 1
            shape = shape_of(head, facts)
            if shape is not None:
                self.shapes = (shape, *self.shapes[: _MAX_SHAPES - 1])

    def rules(self, method: str) -> Rules:
        """Rules of a call that asks for nothing special."""
        rules = self._rules.get(method)
        if rules is None:
            service = self.service
            rules = self._rules[method] = Rules(
                timeout_ns=int(service.timeout_s * 1e9),
                first_byte_ns=int(service.first_byte_timeout_s * 1e9),
                max_header_bytes=service.max_header_bytes,
                max_headers=service.max_headers,
                max_body_bytes=service.max_body_bytes,
                max_decoded_bytes=service.max_decoded_bytes,
                is_head=method == "HEAD",
                retry=method in IDEMPOTENT,
                close="close" in self.fields.get("connection", ("", ""))[1].lower(),
            )
        return rules

    def count_unsolicited(self) -> None:
        """A connection was dropped because of bytes that no request had asked for."""
        self.network.recorder.count(
            SeriesKey(
                kind="counter",
                unit="count",
                scenario=self.labels.scenario,
                session=self.labels.session,
                service=self.name,
                name="unsolicited_bytes",
            ),
            1,
        )


class ServiceState:
    """A service in the hands of one session: handed to `HttpClient.request`."""

    __slots__ = ("pool", "target")

    def __init__(self, target: Target, pool: Pool) -> None:
        self.target = target
        self.pool = pool
        """The session's own, or the worker's when the service says so."""

    @property
    def name(self) -> str:
        """Name of the service; its origin when it is not configured."""
        return self.target.name

    @property
    def base_url(self) -> str:
        """Base URL as configured."""
        return self.target.service.base_url
