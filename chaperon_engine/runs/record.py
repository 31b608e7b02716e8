"""run.json: where a run comes from and what was done to it. Plain data, secrets already gone."""

from __future__ import annotations

import hashlib
import platform
import resource
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.errors import UserError
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.files import read_whole, write_atomic
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

Document = TypeVar("Document")

LIBRARIES = ("uvloop", "httptools", "msgspec")
"""Libraries whose versions a run's record names."""


class SteeringAction(msgspec.Struct, kw_only=True):
    """Something a person (or a limit) did to the run."""

    at_s: float
    """Seconds since the start of the load; negative before it."""
    action: str
    """`stop` or `abort`; `drain` of one member."""
    by: str
    """Who: `client`, `signal`, `lease`, `limit`, or words that name an operator."""
    member: int | None = None
    """Who was drained."""


class WorkerRecord(msgspec.Struct, kw_only=True):
    """One worker process of the engine's host, or an agent with its workers."""

    worker: int
    pid: int
    core: int | None = None
    agent: str = ""
    """Name of the agent; empty: a worker of the engine's host."""
    host: str = ""
    """Of the agent."""
    address: str = ""
    shares: list[int] = []
    """Of the agent: sessions with `index ≡ share mod` the run's shares are its own."""
    python: str = ""
    version: str = ""
    """Of Chaperon there."""
    libraries: dict[str, str] = {}
    round_trip_us: int | None = None
    clock_offset_us: int | None = None
    """Its monotonic clock minus the coordinator's."""
    start_skew_us: int | None = None
    """Its second 0 minus the run's, known within half of the round trip."""


class RunRecord(msgspec.Struct, kw_only=True):
    """Provenance of a run."""

    id: str
    load_test: str
    created_at: str
    """ISO 8601, UTC; a label."""
    plan: Plan
    seed: int
    tag: str = ""
    file: str = ""
    file_sha256: str = ""
    config_file_sha256: str = ""
    version: str = ""
    python: str = ""
    host: str = ""
    platform: str = ""
    cpus: int = 0
    """Cores that the run was allowed to use."""
    limits: dict[str, list[int]] = {}
    """Soft and hard limit by name; -1 is unlimited."""
    libraries: dict[str, str] = {}
    workers_planned: int = 1
    workers: list[WorkerRecord] = []
    socket: str = ""
    """Path of the engine's socket."""
    engine_pid: int = 0
    detached: bool = False
    started_at: str = ""
    """When the load began; ISO 8601, UTC; a label."""
    status: str = ""
    """Set at the end: `complete`, `stopped`, `aborted` or `failed`."""
    actions: list[SteeringAction] = []
    notes: list[str] = []
    """Remarks such as cores shared with another run."""


def make_record(
    directory: RunDirectory, launch: LaunchRequest, plan: Plan, *, seed: int, workers: int,
    cpus: int, at: datetime,
) -> RunRecord:  # fmt: skip
    """The provenance of a run that is about to be started."""
    return RunRecord(
        id=directory.id,
        load_test=plan.load_test,
        created_at=at.isoformat(timespec="milliseconds"),
        plan=plan,
        seed=seed,
        tag=launch.tag,
        file=launch.file,
        file_sha256=_digest(launch.file),
        config_file_sha256=_digest(launch.config_file) if launch.config_file else "",
        version=__version__,
        python=sys.version.split()[0],
        host=socket.gethostname(),
        platform=platform.platform(),
        cpus=cpus,
        limits=_limits(),
        libraries=_libraries(),
        workers_planned=workers,
        detached=launch.detach,
    )


def write_record(directory: RunDirectory, record: RunRecord) -> None:
    """Replace run.json. Raises OSError."""
    write_atomic(directory.record, msgspec.json.format(msgspec.json.encode(record), indent=2))


def read_record(directory: RunDirectory) -> RunRecord:
    """Read run.json. Raises UserError when it is missing or not ours."""
    return _read(directory.record, RunRecord)


def write_launch(directory: RunDirectory, launch: LaunchRequest) -> None:
    """Keep the request (0600: overrides may hold secrets). Raises OSError."""
    write_atomic(directory.launch, msgspec.json.encode(launch))


def read_launch(directory: RunDirectory) -> LaunchRequest:
    """Read launch.json. Raises UserError."""
    return _read(directory.launch, LaunchRequest)


def _read(path: Path, kind: type[Document]) -> Document:
    try:
        return msgspec.json.decode(read_whole(path), type=kind)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {visible(error)}") from None


def _digest(file: str) -> str:
    if not file:
        return ""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


def _limits() -> dict[str, list[int]]:
    names = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    return {name: list(resource.getrlimit(which)) for name, which in names.items()}


def _libraries() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
