"""From arguments to a LaunchRequest: files, sessions, exports. Raises UserError.

Must not know how a run is executed.
"""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from chaperon_engine import units
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

START_TIMEOUT_S = 60.0
"""How long a start waits for agents unless it is told otherwise."""
_SUFFIXES = (".py", ".toml", ".json")


def launch_request(
    arguments: Namespace, *, start_timeout_s: float = START_TIMEOUT_S
) -> LaunchRequest:
    """What `chaperon run` was asked to do. `start_timeout_s` unless it was told."""
    if arguments.fleet is None:
        _check_no_fleet(arguments)
    _check_others(arguments)
    file, name = scenario_file(arguments.file)
    return LaunchRequest(
        file=file,
        name=name,
        overrides=arguments.set,
        config_file=existing_file(arguments.config, "the config file"),
        sessions=sessions(arguments.sessions),
        duration_s=arguments.duration,
        iterations=arguments.iterations,
        warmup_s=arguments.warmup,
        metrics=None if arguments.metrics is None else arguments.metrics.split(","),
        workers=arguments.workers,
        pin=not arguments.no_pin,
        seed=arguments.seed,
        tag=arguments.tag,
        exports=exports(arguments.out),
        export_options=export_options(arguments.out_option),
        preflight=not arguments.no_preflight,
        detach=arguments.detach,
        max_time_s=arguments.max_time,
        listen=arguments.listen,
        expect=arguments.expect or 0,
        start_timeout_s=arguments.start_timeout or start_timeout_s,
        fewer_ok=arguments.fewer_ok,
        on_loss=arguments.on_loss,
        tls_cert=existing_file(arguments.tls_cert, "the certificate"),
        tls_key=existing_file(arguments.tls_key, "the certificate's key"),
        tls_ca=existing_file(arguments.tls_ca, "the authority"),
    )


def _check_no_fleet(arguments: Namespace) -> None:
    options = {
        "--nodes": arguments.nodes,
        "--dry-run": arguments.dry_run,
        "--fleet-image": arguments.fleet_image,
        "--fleet-cores": arguments.fleet_cores,
        "--fleet-command": arguments.fleet_command,
    }
    _refuse_any(options, "says how agents are started: give --fleet as well")


def _check_others(arguments: Namespace) -> None:
    agents = {
        "--expect": arguments.expect,
        "--start-timeout": arguments.start_timeout,
        "--fewer-ok": arguments.fewer_ok,
        "--on-loss": arguments.on_loss != "continue",
        "--print-token": arguments.print_token,
    }
    if not arguments.listen:
        certificates = {
            "--tls-cert": arguments.tls_cert,
            "--tls-key": arguments.tls_key,
            "--tls-ca": arguments.tls_ca,
        }
        _refuse_any(agents | certificates, "is about other machines: give --listen as well")
    elif arguments.tls_cert is None and (arguments.tls_key or arguments.tls_ca):
        raise UserError(
            "--tls-key and --tls-ca go with --tls-cert: without it the run makes a certificate of "
            "its own"
        )
    if not arguments.expect and arguments.fleet is None:
        _refuse_any(agents, "is about agents: say how many attach with --expect N")
        if arguments.workers == 0:
            raise UserError(
                "--workers must be 1 or more; 0 is for runs that agents load: --listen and --expect"
            )


def _refuse_any(options: dict[str, object], why: str) -> None:
    for option, value in options.items():
        if value:
            raise UserError(f"{option} {why}")


def scenario_file(text: str) -> tuple[str, str | None]:
    """(absolute path, name or None) of `FILE[:NAME]`."""
    if text.startswith(("http://", "https://")):
        raise UserError(
            f"{visible(text)} is a URL: `chaperon quick {visible(text)}` loads it without a file"
        )
    path, name = Path(text).expanduser(), ""
    if not path.exists() and ":" in text:
        file, _, name = text.rpartition(":")
        path = Path(file).expanduser()
    if path.is_dir():
        raise UserError(
            f"{visible(path)} is a folder: name a file in it; `chaperon list {visible(path)}` "
            "shows what there is"
        )
    if not path.is_file():
        raise UserError(f"there is no file {visible(path)}{_near(path)}")
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{visible(path)} is no scenario file: it must end in .py, .toml or .json")
    return str(path.absolute()), name or None


def _near(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in _SUFFIXES]
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        return f"; did you mean {visible(path.parent / near[0])}?"
    return "; `chaperon list` shows the scenarios"


def existing_file(text: str | None, what: str) -> str | None:
    """The absolute path of a file that must be there."""
    if text is None:
        return None
    path = Path(text).expanduser()
    if not path.is_file():
        raise UserError(f"{what} {visible(path)} does not exist")
    return str(path.absolute())


def sessions(values: Sequence[str]) -> dict[str, int]:
    """`N` and `NAME=N` as LaunchRequest has them."""
    found: dict[str, int] = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        try:
            count = units.count(number, "--sessions")
        except ValueError as error:
            raise UserError(visible(error)) from None
        if not count:
            raise UserError("--sessions must be 1 or more")
        key = name if equals else "*"
        if key in found:
            of = f" of {visible(key)}" if equals else ""
            raise UserError(f"--sessions{of} is given twice")
        found[key] = count
    return found


def exports(values: Sequence[str]) -> dict[str, str]:
    """`FORMAT` and `FORMAT=DESTINATION` as LaunchRequest has them; an unknown format is refused now
    and not after the run."""
    from chaperon_engine import export

    found: dict[str, str] = {}
    for value in values:
        format, equals, destination = value.partition("=")
        if equals and not destination:
            raise UserError(f"--out {visible(value)} has no path or address behind the =")
        try:
            exporter = export.find(format)
        except export.ExportError as error:
            raise UserError(str(error)) from error
        if format in found:
            raise UserError(f"--out {visible(format)} is given twice")
        found[format] = exporter.absolute(destination)
    return found


def export_options(values: Sequence[str]) -> dict[str, dict[str, str]]:
    """`FORMAT.NAME=VALUE` as LaunchRequest has them. The value may be secret and is never shown."""
    found: dict[str, dict[str, str]] = {}
    for value in values:
        left, equals, content = value.partition("=")
        format, dot, name = left.partition(".")
        if not equals or not dot or not format or not name:
            raise UserError(
                f"--out-option {visible(left, 100)} needs the form FORMAT.NAME=VALUE, such as "
                "csv.separator=';'"
            )
        found.setdefault(format, {})[name] = content
    return found
