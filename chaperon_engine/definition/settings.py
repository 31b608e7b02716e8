"""The table of our settings: name, where it holds, kind and built-in value.

`config` reads values by this table, `docs/configuration.md` shows it to people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from chaperon_engine.definition import kinds
from chaperon_engine.definition.kinds import Kind

Scope = Literal["service", "session", "test"]


@dataclass(frozen=True)
class Setting:
    """One key of ours."""

    name: str
    scope: Scope
    """`service`: may also stand below `services.<name>`; `session`: may differ between populations;
    `test`: holds for the whole load test."""
    kind: Kind
    default: Any = None
    resolved: str = ""
    """Field of ResolvedService or SessionSettings; default: as the name."""


_MIB = 1024 * 1024

_TABLE = (
    Setting("base_url", "service", kinds.base_url, ""),
    Setting("headers", "service", kinds.headers, {}),
    Setting("basic_auth", "service", kinds.credentials),
    Setting("bearer", "service", kinds.text),
    Setting("tls", "service", kinds.tls, {}),
    Setting("timeout", "service", kinds.positive_duration, 30.0, "timeout_s"),
    Setting("connect_timeout", "service", kinds.positive_duration, 10.0, "connect_timeout_s"),
    Setting("tls_timeout", "service", kinds.positive_duration, 10.0, "tls_timeout_s"),
    Setting("first_byte_timeout", "service", kinds.positive_duration, None, "first_byte_timeout_s"),
    Setting("max_connections", "service", kinds.at_least(1), 6),
    Setting("pool", "service", kinds.choice("session", "worker"), "session"),
    Setting("max_header_bytes", "service", kinds.size, 64 * 1024),
    Setting("max_headers", "service", kinds.at_least(1), 256),
    Setting("max_body_bytes", "service", kinds.size, 64 * _MIB),
    Setting("max_decoded_bytes", "service", kinds.size, 64 * _MIB),
    Setting("max_redirects", "service", kinds.at_least(0), 10),
    Setting("ws_compression", "service", kinds.flag, False),
    Setting("ws_ping_interval", "service", kinds.positive_duration, None, "ws_ping_interval_s"),
    Setting("ws_ping_timeout", "service", kinds.positive_duration, 20.0, "ws_ping_timeout_s"),
    Setting("ws_max_message_bytes", "service", kinds.size, 16 * _MIB),
    Setting("ws_max_queue", "service", kinds.at_least(1), 1024),
    Setting("delay", "session", kinds.duration, 0.0, "delay_s"),
    Setting("random_delay", "session", kinds.duration, 0.0, "random_delay_s"),
    Setting("scenario_timeout", "session", kinds.positive_duration, None, "scenario_timeout_s"),
    Setting("interval", "session", kinds.interval),
    Setting("merge_scenario_sessions", "session", kinds.flag, False),
    Setting("skip_query_params_in_metrics", "session", kinds.flag, False),
    Setting("store_results", "session", kinds.flag, False),
    Setting("session_name", "session", kinds.label),
    Setting("load_test_timeout", "test", kinds.positive_duration),
    Setting("max_series", "test", kinds.at_least(1), 2000),
    Setting("warmup", "test", kinds.duration, 0.0),
    Setting("metrics", "test", kinds.metrics),
)

SETTINGS = {setting.name: setting for setting in _TABLE}
SERVICE_SETTINGS = {setting.name: setting for setting in _TABLE if setting.scope == "service"}
SESSION_SETTINGS = {setting.name: setting for setting in _TABLE if setting.scope == "session"}

INSECURE = "insecure"
"""Short for `tls.insecure`, wherever a service setting may stand."""

TLS_FILES = ("ca_file", "cert_file", "key_file")
"""Settings below `tls` that name files."""

POPULATION_FIELDS: dict[str, Kind] = {
    "sessions": kinds.at_least(1),
    "duration": kinds.positive_duration,
    "iterations": kinds.at_least(1),
    "shared_iterations": kinds.at_least(1),
    "ramp_up": kinds.duration,
    "graceful_stop": kinds.duration,
    "fresh": kinds.flag,
}
"""What `populations.<name>` takes beside `config`."""

TEXT_KEYS = frozenset({"base_url", "bearer", "basic_auth", "session_name"})
"""Keys whose value in `--set` is text even where it looks like a number."""
