"""A load test resolved to plain data: what describe answers, what run.json keeps, what coordinator
and UI know of a load test without ever importing its code.

Secrets are gone from a plan: they appear as `***`. Workers resolve the same files again and keep
the real values to themselves.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chaperon_engine.errors import UserError


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A service as a run will use it."""

    name: str
    base_url: str
    """Empty when the file has no LoadTest and the person must still say it."""
    headers: dict[str, str] = {}
    settings: dict[str, Any] = {}
    """The other settings that differ from the built-in ones, secrets as `***`."""


class LoadProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How the sessions of a population start and when they end, in seconds and counts.

    With all three ways of ending None each session runs once. The place where further profiles
    (arrival rates, stages) will stand.
    """

    duration_s: float | None = None
    """Sessions iterate until this long after the start of the run (warm-up included)."""
    iterations: int | None = None
    """Iterations of each session."""
    shared_iterations: int | None = None
    """Iterations of all sessions together."""
    ramp_up_s: float = 0.0
    """The session starts are spread evenly over this time."""

    @property
    def is_timed(self) -> bool:
        """The time alone ends it: another worker can go on with it. What has a number of
        iterations, or runs once, would be done twice."""
        counted = self.iterations is not None or self.shared_iterations is not None
        return self.duration_s is not None and not counted


class PopulationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A population as a run will use it."""

    name: str
    scenario: str
    """Qualified name of the scenario class."""
    doc: str = ""
    """First paragraph of the scenario's docstring."""
    sessions: int
    """Over all workers."""
    profile: LoadProfile
    fresh: bool = False
    graceful_stop_s: float = 30.0
    config: dict[str, Any] = {}
    """The resolved config of its sessions, secrets as `***`, functions as `<function name>`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole load test, resolved."""

    load_test: str
    file: str
    """Absolute path of the scenario file, or of the file of a load test as data; empty for data
    that came with the launch."""
    doc: str = ""
    services: list[ServicePlan]
    populations: list[PopulationPlan]
    warmup_s: float = 0.0
    timeout_s: float | None = None
    """`load_test_timeout`: an absolute end of the run, counted from its start."""
    max_series: int = 2000
    metrics: list[str] = []
    """The words of the filter of metrics, or `<function name>`; empty: all are kept."""
    is_bare: bool = False
    """The file has scenarios but no LoadTest: one session, base URL asked for."""

    @property
    def sessions(self) -> int:
        """Sessions of all populations."""
        return sum(population.sessions for population in self.populations)

    @property
    def planned_s(self) -> float | None:
        """Seconds after which no iteration starts any more; None when only the work decides."""
        ends = [population.profile.duration_s for population in self.populations]
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) and known else None

    @property
    def grace_s(self) -> float:
        """The longest grace period of a population, in seconds."""
        return max((population.graceful_stop_s for population in self.populations), default=30.0)

    def check_ready(self) -> None:
        """Raise UserError when the plan cannot be launched yet: a base URL is still to be said."""
        missing = [service.name for service in self.services if not service.base_url]
        if not missing:
            return
        key = "base_url" if len(self.services) == 1 else f"services.{missing[0]}.base_url"
        raise UserError(
            f"service '{missing[0]}' has no base URL; say it with --set {key}=http://HOST:PORT",
            path=self.file or None,
        )


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the menu: a load test or a bare scenario found in the source of a file.

    Made from the syntax tree alone; no code of the file has run.
    """

    file: str
    name: str
    """Name of the class; what stands behind the colon of `FILE:NAME`."""
    line: int
    doc: str = ""
    is_load_test: bool
    scenarios: list[str] = []
    services: dict[str, str] = {}
    """Base URLs by name, where they are written as literals."""
    origin: str = "project"
    """`project` (./scenarios), `user` (the user's own folder) or `bundled`."""
    problem: str = ""
    """Why the file cannot be used (a syntax error with its line), else empty."""


ON_LOSS = ("continue", "respread", "fail")
"""What can happen when an agent is lost in the load."""


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a person decides at launch. Plain data; a run can be started again from it."""

    file: str = ""
    """Absolute path of a .py scenario file, or of a load test as data (.toml, .json). Empty when
    `data` is the load test."""
    data: dict[str, Any] | None = None
    """A load test as plain data, as a .toml or .json file would say it."""
    folder: str = ""
    """With `data`: absolute path of the folder below which it may name files."""
    working_folder: str = ""
    """In which the code of sessions runs; empty: that of the process which starts the run. Agents
    get the same place within what was sent to them."""
    name: str | None = None
    """Which load test or scenario of the file; None when there is only one."""
    overrides: list[str] = []
    """`a.b=value` in the order given, as with `--set`."""
    config_file: str | None = None
    sessions: dict[str, int] = {}
    """Sessions by population name; the key `*` means the only population."""
    duration_s: float | None = None
    iterations: int | None = None
    shared_iterations: int | None = None
    """Iterations of all sessions together (as `quick -n`)."""
    warmup_s: float | None = None
    metrics: list[str] | None = None
    """Kinds, actions, methods or names of the metrics to keep; None: as the load test says."""
    workers: int | None = None
    """Worker processes; default: one per core that this process may use."""
    pin: bool = True
    seed: int | None = None
    """Seed of the run; default: drawn and noted in run.json."""
    tag: str = ""
    exports: dict[str, str] = {}
    """Format to destination (a path, a URL); empty for the default one."""
    export_options: dict[str, dict[str, str]] = {}
    """Options of exporters by format and name; never secrets."""
    preflight: bool = True
    detach: bool = False
    """The engine lives on its own until an absolute end instead of on a lease."""
    max_time_s: float | None = None
    """Absolute end of a run whose plan has none."""
    targets: list[str] | None = None
    """The only addresses that the run may load beside loopback, as `--allow-target` of
    `chaperon serve` says them; None: any."""
    listen: str = ""
    """`HOST:PORT` (`[HOST]:PORT`) for agents and viewers on other machines; empty: nothing
    listens."""
    tls_cert: str | None = None
    """The certificate (PEM file) to show them; None: one of its own for the run, which they pin."""
    tls_key: str | None = None
    """Its key; None: in the same file."""
    tls_ca: str | None = None
    """The authority (PEM file) that must have signed the certificate that they show; None: they
    need none."""
    expect: int = 0
    """Agents that the start waits for; 0: none takes part, others only watch."""
    start_timeout_s: float = 60.0
    """How long it waits for them."""
    fewer_ok: bool = False
    """Begin then with those that are there."""
    on_loss: str = "continue"
    """When an agent is lost in the load: one of `ON_LOSS`."""
