"""What a person outside may say about a test: its options, and the parser that may change them.

A parser is an entry point of the group `chaperon.option_parsers`: installed by the operator, who
chooses it with `--option-parser`. What it answers is checked like any other request. Must not know:
where tests lie, or what may be aimed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from chaperon_engine import units
from chaperon_engine.client.queue import QueuedTest
from chaperon_engine.definition.problems import did_you_mean
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

GROUP = "chaperon.option_parsers"
DEFAULT_PARSER = "default"

NO_AGENTS = (
    "a run of the queue is made on this machine alone; `chaperon run --listen` has other machines "
    "take part or watch"
)
_OF_SEVERAL_MACHINES = frozenset(
    {"listen", "expect", "start_timeout", "fewer_ok", "on_loss", "tls_cert", "tls_key", "tls_ca"}
)
_TAG = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OUTPUT_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
MAX_OUTPUT_LENGTH = 300


class OptionParser(Protocol):
    """Turns what was asked for into the tests to queue."""

    def parse(self, asked: QueuedTest) -> Sequence[QueuedTest]:
        """One test, several, or the same with other options. A ValueError or UserError refuses;
        its sentence is shown."""
        ...


class DefaultParser:
    """Takes the test and its options as they are."""

    def parse(self, asked: QueuedTest) -> Sequence[QueuedTest]:
        return [asked]


def find_parser(name: str) -> OptionParser:
    """The option parser of that name; raises UserError with the nearest one."""
    if name == DEFAULT_PARSER:
        return DefaultParser()
    from importlib.metadata import entry_points

    points = entry_points(group=GROUP)
    for point in points:
        if point.name == name:
            try:
                return cast(OptionParser, point.load()())
            except Exception as error:
                raise UserError(
                    f"the option parser {name!r} ({visible(point.value)}) cannot be loaded: "
                    f"{type(error).__name__}: {visible(error)}"
                ) from error
    known = sorted({DEFAULT_PARSER, *(point.name for point in points)})
    raise UserError(f"there is no option parser {visible(name, 60)!r}{did_you_mean(name, known)}")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one test, checked."""

    tag: str = ""
    config: dict[str, Any] = {}
    """As in a config file: services, populations, settings, own keys below `config`."""
    output: str = ""
    """A path below the results folder."""
    export: list[str] = []
    metrics: list[str] | None = None
    sessions: dict[str, int] = {}
    duration_s: float | None = None
    iterations: int | None = None
    shared_iterations: int | None = None
    warmup_s: float | None = None
    workers: int | None = None
    seed: int | None = None
    max_time_s: float | None = None


class RawOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of one test as they are written. Durations are seconds or texts (`1m30s`),
    numbers may be texts (`10k`)."""

    tag: str | None = None
    """Letters, digits and `. _ -`, at most 64."""
    config: dict[str, Any] | None = None
    """As in a config file; addresses in it must be allowed, and it cannot name files."""
    output: str | None = None
    """Where the export goes, below the results folder; a folder when it ends in `/`."""
    export: str | list[str] | None = None
    """One format or several: csv, json, timeline."""
    metrics: str | list[str] | None = None
    """Kinds, actions, methods or names of the metrics to keep; the others cost nothing."""
    sessions: int | str | dict[str, int | str] | None = None
    """Of the only population, or by population."""
    duration: float | str | None = None
    iterations: int | str | None = None
    shared_iterations: int | str | None = None
    """Of all sessions together."""
    warmup: float | str | None = None
    workers: int | None = None
    seed: int | None = None
    max_time: float | str | None = None
    """Absolute end of the run."""


def read_options(raw: dict[str, Any]) -> Options:
    """Check and type the options of one test. Raises UserError with one sentence."""
    for key in raw:
        known = RawOptions.__struct_fields__
        if key in _OF_SEVERAL_MACHINES:
            raise UserError(f"{key}: {NO_AGENTS}")
        if key not in known:
            raise UserError(f"unknown option '{visible(key, 80)}'{did_you_mean(key, known)}")
    try:
        given = msgspec.convert(raw, RawOptions)
    except msgspec.ValidationError as error:
        raise UserError(f"in the options: {visible(error)}") from None
    try:
        return Options(
            tag=_tag(given.tag),
            config=given.config or {},
            output=_output(given.output),
            export=_exports(given),
            metrics=[given.metrics] if isinstance(given.metrics, str) else given.metrics,
            sessions=_sessions(given.sessions),
            duration_s=_time(given.duration, "duration"),
            iterations=_number(given.iterations, "iterations"),
            shared_iterations=_number(given.shared_iterations, "shared_iterations"),
            warmup_s=None if given.warmup is None else units.seconds(given.warmup, "warmup"),
            workers=given.workers,
            seed=_seed(given.seed),
            max_time_s=_time(given.max_time, "max_time"),
        )
    except ValueError as error:
        raise UserError(visible(error)) from None


def _tag(tag: str | None) -> str:
    if tag is None:
        return ""
    if not _TAG.fullmatch(tag):
        raise ValueError(
            f"tag is {visible(repr(tag), 80)}; use 1 to 64 letters, digits and the signs . _ -"
        )
    return tag


def _output(output: str | None) -> str:
    if output is None:
        return ""
    parts = output.removesuffix("/").split("/")
    if len(output) > MAX_OUTPUT_LENGTH or not all(_OUTPUT_PART.fullmatch(part) for part in parts):
        raise ValueError(
            f"output is {visible(repr(output), 80)}; write a path below the results folder such as "
            "nightly/checkout.csv, of letters, digits and the signs . _ -"
        )
    return output


def _exports(given: RawOptions) -> list[str]:
    formats = [given.export] if isinstance(given.export, str) else given.export
    if formats is None:
        formats = ["csv"] if given.output is not None else []
    if len(set(formats)) != len(formats):
        raise ValueError("export names a format twice")
    if given.output is not None and len(formats) > 1 and not given.output.endswith("/"):
        raise ValueError(
            f"output names one file, but there are {len(formats)} exports; end it with / "
            "to name a folder"
        )
    return formats


def _sessions(given: int | str | dict[str, int | str] | None) -> dict[str, int]:
    if given is None:
        return {}
    table = given if isinstance(given, dict) else {"*": given}
    found = {name: units.count(value, "sessions") for name, value in table.items()}
    if any(value < 1 for value in found.values()):
        raise ValueError("sessions must be 1 or more")
    return found


def _number(value: int | str | None, what: str) -> int | None:
    if value is None:
        return None
    number = units.count(value, what)
    if number < 1:
        raise ValueError(f"{what} must be 1 or more")
    return number


def _time(value: float | str | None, what: str) -> float | None:
    if value is None:
        return None
    seconds = units.seconds(value, what)
    if seconds <= 0:
        raise ValueError(f"{what} must be more than 0 seconds")
    return seconds


def _seed(seed: int | None) -> int | None:
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError("seed must be a whole number from 0 to 2^63 - 1")
    return seed


def output_path(results: Path, output: str) -> str:
    """`output` below `results`, links followed; raises UserError when a link leads out of it."""
    folder = results.resolve()
    path = (folder / output).resolve()
    if not path.is_relative_to(folder):
        raise UserError(f"output {visible(output, 80)!r} leads out of the results folder")
    return f"{path}/" if output.endswith("/") else str(path)
