"""What people write: Scenario, Population, Service, LoadTest. Plain declarations, no behaviour.

Values are kept as written (a duration stays "10s"); `config` resolves and checks them. This module
must not know how a session runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from chaperon_engine.units import Duration

if TYPE_CHECKING:
    from chaperon_engine.session import Session

Value = Any
"""A config value: plain data, or a function `(session) -> plain data` where said so."""


class Scenario:
    """One way a user walks through the services. One instance is made per session.

    `init` runs once before the first iteration, `run` once per iteration, `teardown` once at the
    end, also after a failed `run`. Requests of `teardown` are sent but never measured.
    """

    async def init(self, session: Session) -> None:
        """Prepare the session; may call `session.refuse(reason)`."""

    async def run(self, session: Session) -> None:
        """One iteration."""

    async def teardown(self, session: Session) -> None:
        """Clean up; runs also after a failed `run`, never measured."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """TLS settings of a service. Certificates are verified unless `insecure`."""

    ca_file: str | Path | None = None
    """PEM file of the authorities to trust instead of the system's."""
    cert_file: str | Path | None = None
    """PEM file of the client certificate (with its chain)."""
    key_file: str | Path | None = None
    """PEM file of the client certificate's key; default: in `cert_file`."""
    server_name: str | None = None
    """Name sent as SNI and verified; default: the host of the URL."""
    insecure: bool = False
    """Accept any certificate."""


@dataclass(frozen=True)
class Service:
    """A target with its connection settings.

    `base_url` and the path of an action are joined as text: `http://h/api/v1` and `/foo` give
    `http://h/api/v1/foo`. Settings that are None come from the config, then from the built-in ones.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True, repr=False)
    """Sent with every request, after the built-in `User-Agent` and `Accept`."""
    basic_auth: tuple[str, str] | None = field(default=None, kw_only=True, repr=False)
    """User and password for `Authorization: Basic`."""
    bearer: str | None = field(default=None, kw_only=True, repr=False)
    """Token for `Authorization: Bearer`."""
    tls: Tls | None = field(default=None, kw_only=True)
    timeout: Duration | None = field(default=None, kw_only=True)
    """From the call until the whole reply is there; built-in 30 s."""
    connect_timeout: Duration | None = field(default=None, kw_only=True)
    """For name resolution and TCP; built-in 10 s."""
    tls_timeout: Duration | None = field(default=None, kw_only=True)
    """For the TLS handshake; built-in 10 s."""
    first_byte_timeout: Duration | None = field(default=None, kw_only=True)
    """From the request sent until the first byte of the reply; built-in: as `timeout`."""
    max_connections: int | None = field(default=None, kw_only=True)
    """Connections one session may hold to this service; built-in 6."""
    pool: Literal["session", "worker"] | None = field(default=None, kw_only=True)
    """Whether connections belong to the session (built-in) or are shared by the worker."""
    max_header_bytes: int | None = field(default=None, kw_only=True)
    """Largest head of a reply; built-in 64 KiB."""
    max_headers: int | None = field(default=None, kw_only=True)
    """Most header fields of a reply; built-in 256."""
    max_body_bytes: int | None = field(default=None, kw_only=True)
    """Largest body of a reply as sent; built-in 64 MiB."""
    max_decoded_bytes: int | None = field(default=None, kw_only=True)
    """Largest body after decoding gzip, deflate, br or zstd; built-in 64 MiB."""
    max_redirects: int | None = field(default=None, kw_only=True)
    """Redirect hops that are followed; built-in 10. Zero follows none."""
    ws_compression: bool | None = field(default=None, kw_only=True)
    """Offer permessage-deflate for WebSockets; built-in False."""
    ws_ping_interval: Duration | None = field(default=None, kw_only=True)
    """Between own pings on WebSockets; built-in: none are sent."""
    ws_ping_timeout: Duration | None = field(default=None, kw_only=True)
    """For the pong to an own ping; built-in 20 s."""
    ws_max_message_bytes: int | str | None = field(default=None, kw_only=True)
    """Largest message of a WebSocket, inflated; built-in 16 MiB."""
    ws_max_queue: int | None = field(default=None, kw_only=True)
    """Messages that may wait unread on a WebSocket; built-in 1024."""


@dataclass(frozen=True)
class Population:
    """A scenario with its sessions, load profile and config in a load test.

    Without `duration`, `iterations` and `shared_iterations` each session runs once. A list of
    scenarios runs them in order; what one assigned is config for the next.
    """

    scenario: type[Scenario] | Sequence[type[Scenario]]
    sessions: int | str = field(default=1, kw_only=True)
    """Concurrent sessions over all workers."""
    duration: Duration | None = field(default=None, kw_only=True)
    iterations: int | str | None = field(default=None, kw_only=True)
    shared_iterations: int | str | None = field(default=None, kw_only=True)
    ramp_up: Duration = field(default=0, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    """Session name under which metrics are kept; default: the scenario's name."""
    config: Mapping[str, Value] = field(default_factory=dict, kw_only=True, repr=False)
    """Settings over those of the load test; own keys below `config`."""
    fresh: bool = field(default=False, kw_only=True)
    """Start every iteration with no cookies, no connections and what `init` assigned."""
    graceful_stop: Duration | None = field(default=None, kw_only=True)
    """Time that running iterations get when time is up; built-in 30 s."""


class LoadTest:
    """A load test: services, and scenarios with their populations. Subclass and fill in."""

    name: ClassVar[str | None] = None
    """Default: the class's name."""
    services: ClassVar[Mapping[str, Service]] = {}
    """Targets by name; the first is the default of a session."""
    scenarios: ClassVar[Sequence[Population | type[Scenario] | Sequence[type[Scenario]]]] = ()
    """Populations; a bare scenario, or a list of them, is one session that runs once."""
    default_config: ClassVar[Mapping[str, Value]] = {}
    """Settings for all populations; own keys below `config`."""
    warmup: ClassVar[Duration] = 0
    """The first part of the run, measured apart and left out of the totals."""
    metrics: ClassVar[Sequence[str] | Callable[[Any], Any] | None] = None
    """Which metrics are kept: kinds, actions, methods or names (`["get", "run_scenario"]`), or a
    function of a series' key. None: all."""


ConfigFunction = Callable[["Session"], Value]
"""A config value that is computed when a session starts."""
