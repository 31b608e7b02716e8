"""A service as a worker talks to it: prepared heads, rules, how to reach it, whom to tell."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from chaperon_engine.definition.resolved import ResolvedService
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.connection import ReplySink
from chaperon_engine.http.headers import HeadFacts
from chaperon_engine.http.pool import Pool
from chaperon_engine.http.request import (
    IDEMPOTENT,
    HeaderFields,
    Prepared,
    basic_credentials,
    bearer_credentials,
    header_fields,
    prepare,
)
from chaperon_engine.http.rules import Rules
from chaperon_engine.http.url import Origin, split_url
from chaperon_engine.metrics.model import SeriesKey
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

if TYPE_CHECKING:
    from chaperon_engine.http.ports import Labels, TimedSink
    from chaperon_engine.http.worker import HttpWorker

USER_AGENT = f"chaperon/{__version__}"
_MAX_METHODS = 16
_MAX_PREPARED = 2048
_MAX_FACTS = 64


class Target:
    """What all sessions of a population share about a service."""

    def __init__(self, worker: HttpWorker, service: ResolvedService, labels: Labels) -> None:
        self.worker = worker
        self.service = service
        self.name = service.name
        self.labels = labels
        what = f"the base_url of service {visible(service.name)}"
        if not service.base_url:
            raise InvalidRequest(f"{what} is not given")
        self.address, self.prefix = split_url(service.base_url, what)
        """Origin, and what stands before every path."""
        if self.prefix == "/":
            # People write http://host/ and /path and do not mean http://host//path.
            self.prefix = ""
        self.origin = str(self.address)
        self.host, self.port = self.address.host, self.address.port
        self.where = visible(self.address.host_header)
        """Host and port for messages."""
        self.max_redirects = service.max_redirects
        self.connect_timeout_s = service.connect_timeout_s
        self.tls_timeout_s = service.tls_timeout_s
        self.tls: ssl.SSLContext | None = None
        self.server_name: str | None = None
        """Name sent as SNI and verified."""
        if self.address.scheme == "https":
            self.tls = worker.contexts.context(service.tls, service.name)
            self.server_name = service.tls.server_name or self.host
        self.fields = _fields(service, self.address)
        self.prepared: dict[str, dict[str, Prepared]] = {}
        """Bare requests by method and path as called."""
        self.sink = ReplySink()
        self.facts: dict[bytes, HeadFacts] = {}
        """Heads of replies that passed all checks; most of a load test are among a few."""
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

    def series(self, kind: str) -> TimedSink:
        """The series of dns, connect, tls or pool_wait, in the phase of this moment."""
        return self.worker.recorder.timed(
            SeriesKey(
                kind=kind,
                scenario=self.labels.scenario,
                session=self.labels.session,
                service=self.name,
            )
        )

    def count_unsolicited(self) -> None:
        """A connection was dropped because of bytes that no request had asked for."""
        self.worker.recorder.count(
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

    def elsewhere(self, address: Origin) -> ResolvedService:
        """A service for an origin that is not configured: these limits, but no header,
        credential or TLS setting, all of which belong to this origin."""
        return ResolvedService(
            **{
                name: getattr(self.service, name)
                for name in (
                    "timeout_s",
                    "connect_timeout_s",
                    "tls_timeout_s",
                    "first_byte_timeout_s",
                    "max_connections",
                    "max_header_bytes",
                    "max_headers",
                    "max_body_bytes",
                    "max_decoded_bytes",
                    "max_redirects",
                )
            },
            name=str(address),
            base_url=str(address),
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


def _fields(service: ResolvedService, address: Origin) -> HeaderFields:
    fields: HeaderFields = {
        "host": ("Host", address.host_header),
        "user-agent": ("User-Agent", USER_AGENT),
        "accept": ("Accept", "*/*"),
    }
    what = f"the headers of service {visible(service.name)}"
    if service.basic_auth is not None:
        fields["authorization"] = ("Authorization", basic_credentials(service.basic_auth))
    if service.bearer is not None:
        fields["authorization"] = ("Authorization", bearer_credentials(service.bearer))
    fields.update(header_fields(service.headers, what))
    return fields
