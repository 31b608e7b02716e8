"""A load test with everything decided: what workers run. Real classes, functions and secrets.

Never leaves the process that loaded the user's file; `plan` has the part that may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chaperon_engine.definition.model import Scenario, Tls
from chaperon_engine.definition.plan import Plan, PopulationPlan
from chaperon_engine.definition.scheduled import Modules


@dataclass(frozen=True, kw_only=True)
class ResolvedService:
    """A target with every connection setting filled in, in seconds and bytes."""

    name: str
    base_url: str
    """http, https, ws or wss; joined with the path as text. Empty: must be said at launch."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The service's own headers, names as written; unique ignoring case."""
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)
    """At most one of `basic_auth` and `bearer` is given."""
    tls: Tls = field(default_factory=Tls)
    """Files as absolute paths."""
    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    tls_timeout_s: float = 10.0
    first_byte_timeout_s: float = 30.0
    max_connections: int = 6
    pool: Literal["session", "worker"] = "session"
    max_header_bytes: int = 64 * 1024
    max_headers: int = 256
    max_body_bytes: int = 64 * 1024 * 1024
    max_decoded_bytes: int = 64 * 1024 * 1024
    max_redirects: int = 10
    ws_compression: bool = False
    ws_ping_interval_s: float | None = None
    """None: no own pings."""
    ws_ping_timeout_s: float = 20.0
    ws_max_message_bytes: int = 16 * 1024 * 1024
    ws_max_queue: int = 1024


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Config key `interval`: a function that is called periodically while a session waits."""

    period_s: float
    function: Callable[..., Any]
    """Called with the session; may be a coroutine function."""


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """Our settings of a session that are no connection settings."""

    delay_s: float = 0.0
    """Wait before a session begins."""
    random_delay_s: float = 0.0
    """A random wait between zero and this, added to `delay_s`."""
    scenario_timeout_s: float | None = None
    """Longest life of a session; then it counts as timed out and keeps its measurements."""
    interval: Interval | None = None
    merge_scenario_sessions: bool = False
    """Metrics are kept per scenario, not per session name."""
    skip_query_params_in_metrics: bool = False
    """The query of a URL is left out of the names of series."""
    store_results: bool = False
    """Results and errors of actions are kept in the session."""
    session_name: str | None = None
    """Session name under which metrics are kept, in place of the population's name."""


@dataclass(frozen=True, kw_only=True)
class ResolvedPopulation:
    """A population as a worker runs it."""

    scenario: type[Scenario]
    plan: PopulationPlan
    services: Mapping[str, ResolvedService]
    """As its sessions see them; the first is their default."""
    settings: SessionSettings
    config: Mapping[str, Any] = field(repr=False)
    """The user's own keys, deep-merged. Functions in it are called with the session when the
    session starts; a session must copy it before it changes anything."""

    @property
    def session_label(self) -> str:
        """Session name of its series; empty when the sessions of a scenario are merged."""
        if self.settings.merge_scenario_sessions:
            return ""
        return self.settings.session_name or self.plan.name


@dataclass(frozen=True, kw_only=True)
class ResolvedTest:
    """What `resolve` answers."""

    plan: Plan
    services: Mapping[str, ResolvedService]
    """As the load test has them, without what single populations override."""
    populations: list[ResolvedPopulation]
    metrics: tuple[str, ...] | Callable[..., Any] | None = None
    """Which metrics are kept: words, or a function of a series' key; None: all."""
    modules: Modules = field(default_factory=dict)
    """The user's files, where scenarios to be scheduled are found by name."""
