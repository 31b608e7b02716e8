"""The directory of one run: its name, its files, and whether its engine lives.

runs/<run id>/        0700, below the user's data folder (`CHAPERON_HOME` overrides it)
    run.json          provenance, see `record`
    launch.json       the LaunchRequest, 0600: may hold what was passed with --set
    journal           append-only record of the measurements, see `journal`
    counters          the workers' shared counters while the engine runs
    report.json       the report; once it is there the run is finished
    engine.lock       locked as long as the engine lives, holds its pid
    engine.sock       where viewers connect
    engine.log        what the engine itself had to say

Must not know: what an engine does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from datetime import datetime
from pathlib import Path

import platformdirs

from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.text import visible

MAX_SOCKET_PATH = 107
"""Bytes that the address of a unix socket may have on Linux."""

STARTUP_S = 30.0
"""A run without a lock is thought to be starting for this long after its directory was made."""

_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9_.-]{1,48}-[0-9a-f]{4}")


def home() -> Path:
    """The folder below which everything of this user lies: CHAPERON_HOME or the data folder."""
    override = os.environ.get("CHAPERON_HOME")
    if override:
        return Path(override).expanduser().absolute()
    return Path(platformdirs.user_data_dir("chaperon", appauthor=False))


def runs_folder() -> Path:
    """Where the run directories are."""
    return home() / "runs"


def agent_folder(run_id: str, name: str) -> Path:
    """Where the agent of this name keeps what it has not delivered to a run: relative to the data
    folder of its host."""
    digest = hashlib.sha256(f"{run_id}\0{name}".encode(errors="replace")).hexdigest()[:16]
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "agent"
    return Path("agents", f"{slug}-{digest}")


def make_run_id(load_test: str, at: datetime) -> str:
    """A name such as `20261121-204512-checkout-a1b2`; names sort by time."""
    slug = re.sub(r"[^a-z0-9]+", "-", load_test.lower()).strip("-")[:40].strip("-") or "run"
    return f"{at:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"


class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def id(self) -> str:
        """The run's id, which is the folder's name."""
        return self.path.name

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    @property
    def launch(self) -> Path:
        return self.path / "launch.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def lock(self) -> Path:
        return self.path / "engine.lock"

    @property
    def log(self) -> Path:
        return self.path / "engine.log"

    @classmethod
    def create(cls, load_test: str, at: datetime) -> RunDirectory:
        """Make the directory of a new run, started at `at` (UTC)."""
        folder = runs_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                path = folder / make_run_id(load_test, at)
                try:
                    path.mkdir(mode=0o700)
                except FileExistsError:
                    continue
                return cls(path)
        except OSError as error:
            raise UserError(
                f"the run's directory cannot be made below {visible(folder)}: {error.strerror}; "
                "make room there or set CHAPERON_HOME to another folder"
            ) from None

    @classmethod
    def find(cls, run: str) -> RunDirectory:
        """The run with this id, unique prefix or path. Raises UserError."""
        path = Path(run).expanduser()
        if os.sep in run and (path / "run.json").is_file():
            return cls(path.absolute())
        names = [directory.id for directory in all_runs()]
        matches = [run] if run in names else [name for name in names if name.startswith(run)]
        if len(matches) == 1:
            return cls(runs_folder() / matches[0])
        if matches:
            some = ", ".join(matches[:3])
            raise UserError(
                f"{visible(run)} names {len(matches)} runs ({some} ...): write more of the id"
            )
        raise UserError(
            f"there is no run {visible(run)!r} below {visible(runs_folder())}: "
            "`chaperon runs` lists them"
        )

    def socket_path(self) -> Path:
        """Where the engine listens: in the run's directory, or, when that path is too long for a
        unix socket, in a folder of this user below the system's temporary folder.

        Raises EngineError when somebody else owns that folder.
        """
        here = self.path / "engine.sock"
        if len(os.fsencode(here)) <= MAX_SOCKET_PATH:
            return here
        folder = Path(tempfile.gettempdir()) / f"chaperon-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != os.getuid()
            or stat.S_IMODE(found.st_mode) & 0o077
        ):
            raise EngineError(f"{folder} is not a private folder of this user (mode 0700)")
        path = folder / f"{self.id[:15]}{self.id[-5:]}.sock"
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise EngineError(f"{path} is too long for a unix socket: set TMPDIR to a shorter path")
        return path

    def size_bytes(self) -> int:
        """Bytes of all files of the run."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except FileNotFoundError:
                    continue
        return total

    def state(self) -> str:
        """`running`, `finished` or `killed` (its engine is gone and there is no report).

        Raises UserError for a run that this user may not read.
        """
        try:
            return self._state()
        except PermissionError:
            raise UserError(
                f"the run {self.id} in {visible(self.path)} cannot be read: it belongs to "
                "another user, or its folder was closed"
            ) from None

    def _state(self) -> str:
        if self.report.is_file():
            return "finished"
        if is_locked(self.lock):
            return "running"
        if not self.lock.exists():
            try:
                age = time.time() - self.path.stat().st_mtime
            except FileNotFoundError:
                return "killed"
            if age < STARTUP_S:
                return "running"
        return "killed"

    def delete(self) -> None:
        """Remove the run and all of its files. Raises UserError while it is running."""
        if self.state() == "running" or is_locked(self.lock):
            raise UserError(f"{self.id} is still running: stop it first")
        self.remove_socket()
        shutil.rmtree(self.path)

    def remove_socket(self) -> None:
        """Remove what a killed engine left, perhaps in another folder than the run's own."""
        with contextlib.suppress(OSError, EngineError):
            self.socket_path().unlink()


def all_runs() -> list[RunDirectory]:
    """Every run of this user, the oldest first."""
    try:
        names = sorted(os.listdir(runs_folder()))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(
            f"{visible(runs_folder())} cannot be read: {error.strerror}; make it readable or set "
            "CHAPERON_HOME to another folder"
        ) from None
    return [RunDirectory(runs_folder() / name) for name in names if _ID.fullmatch(name)]


class Lock:
    """An advisory lock that ends with the process which holds it."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, note: str) -> Lock | None:
        """Lock `path` and write `note` into it; None when another process has it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(), 0)
        return cls(descriptor)

    def forget(self) -> None:
        """Close this process's copy; a parent that took the lock keeps it."""
        os.close(self._descriptor)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
