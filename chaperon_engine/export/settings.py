"""From what a person said to what an exporter is told: defaults, settings file, environment.

Owns: `exports.toml` and what beats what: options of the call, then the settings file, then the
environment variables that options name, then the built-in defaults. Must not know any format.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chaperon_engine.export.exporter import Exporter, Option, Output
from chaperon_engine.export.files import ExportError
from chaperon_engine.export.registry import nearest
from chaperon_engine.text import visible

SUFFIX = "-env"
"""`token-env` names the environment variable that has the option `token`."""


def settings_file() -> Path:
    """`exports.toml` in the user's config folder, or in CHAPERON_HOME."""
    home = os.environ.get("CHAPERON_HOME")
    if home:
        return Path(home).expanduser() / "exports.toml"
    import platformdirs

    return platformdirs.user_config_path("chaperon", appauthor=False) / "exports.toml"


def all_options(exporter: Exporter) -> Iterator[Option]:
    """The exporter's options, with a `NAME-env` behind each secret one."""
    for option in exporter.options:
        yield option
        if option.secret:
            yield _env_option(option)


def resolve(
    format: str,
    exporter: Exporter,
    destination: str,
    given: Mapping[str, str],
    folder: Path = Path("results"),
) -> Output:
    """What `exporter` is told. Raises `ExportError` for an unknown option with the nearest name."""
    known = {option.name: option for option in all_options(exporter)}
    for name in given:
        _check_known(format, exporter, known, name, "")
    section = dict(_section(format))
    standing = section.pop("destination", "")
    for name in section:
        _check_known(format, exporter, known, name, f"{visible(settings_file(), 500)}: ")
    options = {
        name: value
        for source in (section, given)
        for name, value in source.items()
        if name not in known
    }
    for option in exporter.options:
        options[option.name] = _value(format, option, given, section)
    return Output(destination or standing, options, folder)


def destination_of(format: str) -> str:
    """The destination in the settings file, or nothing. Raises `ExportError` when it is broken."""
    return _section(format).get("destination", "")


def secrets_of(exporter: Exporter, options: Mapping[str, str]) -> list[str]:
    """The secret texts among resolved options: what no message may show."""
    names = [option.name for option in exporter.options if option.secret]
    return [options[name] for name in names if options.get(name)]


def find_option(exporter: Exporter, name: str) -> Option | None:
    """An option by its name, also `NAME-env` and those of wrapped exporters."""
    for option in all_options(exporter):
        if option.name == name:
            return option
    return exporter.find_option(name)


def _env_option(option: Option) -> Option:
    return Option(
        option.name + SUFFIX, f"environment variable that has the {option.name}", option.env
    )


def _check_known(
    format: str, exporter: Exporter, known: Mapping[str, Option], name: str, where: str
) -> None:
    if find_option(exporter, name) is None:
        hint = nearest(name, known, "it has") if known else "it has none"
        raise ExportError(
            f"{where}the {visible(format, 60)} exporter has no option {visible(name, 60)!r}; {hint}"
        )


def _value(
    format: str, option: Option, given: Mapping[str, str], section: Mapping[str, str]
) -> str:
    naming = option.name + SUFFIX
    for source in (given, section):
        if option.name in source:
            return source[option.name]
        if option.secret and naming in source:
            variable = source[naming]
            if variable not in os.environ:
                raise ExportError(
                    f"the environment variable {visible(variable, 60)}, which {format}.{naming} "
                    f"names, is not set: it must hold the {option.name}"
                )
            return os.environ[variable]
    return (os.environ.get(option.env) if option.env else "") or option.default


def _section(format: str) -> Mapping[str, str]:
    """The settings of a format as texts."""
    path = settings_file()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # The message of a decoder names the place and no value.
        reason = error.strerror if isinstance(error, OSError) else error
        raise ExportError(
            f"the export settings {visible(path, 500)} cannot be read: {visible(reason)}"
        ) from None
    section = document.get(format, {})
    if not isinstance(section, dict):
        raise ExportError(
            f"{visible(path, 500)}: {visible(format, 60)} must be a table: [{visible(format, 60)}]"
        )
    return dict(_texts(section, path, ""))


def _texts(section: dict[str, Any], path: Path, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        name = prefix + key
        if isinstance(value, dict):
            yield from _texts(value, path, f"{name}.")
        elif isinstance(value, bool):
            yield name, str(value).lower()
        elif isinstance(value, str | int | float):
            yield name, str(value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield name, ",".join(value)
        else:
            raise ExportError(
                f"{visible(path, 500)}: {visible(name, 60)} must be a text, a number or true/false"
            )
