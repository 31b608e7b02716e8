"""Files of exports: where they go by default, and how they get there whole or not at all.

Owns: default paths, safe names, atomic writing, the sentence for a disk that is full. Must not
know any format.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec

from chaperon_engine.clock import SystemClock
from chaperon_engine.errors import UserError
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible

_MAX_NAME_BYTES = 100
_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system allows",
}


class ExportError(UserError):
    """A document could not be made or written; the message is one sentence."""


@dataclass(frozen=True)
class Destination:
    """Where a document goes."""

    path: Path
    replace: bool = True
    """An existing file is replaced; else a number is added to the name until it is free."""
    companions: Mapping[str, bytes] = field(default_factory=dict)
    """Files written beside it: what stands in place of `extension`, to the content."""
    extension: str = ""
    """How the name of `path` ends, without the leading dot."""

    def numbered(self, number: int) -> Path:
        """`path`, or from 2 on the same name with the number in it."""
        return self.path if number < 2 else self._sibling(number, self.extension)

    def companion(self, number: int, extension: str) -> Path:
        """The path of a companion of `numbered(number)`."""
        return self._sibling(number, extension)

    def _sibling(self, number: int, extension: str) -> Path:
        stem = (
            self.path.name.removesuffix(f".{self.extension}")
            if self.extension
            else (self.path.stem)
        )
        mark = "" if number < 2 else f"-{number}"
        return self.path.with_name(f"{stem}{mark}.{extension}" if extension else f"{stem}{mark}")


def safe_name(text: str, otherwise: str = "run") -> str:
    """`text` as a file name that needs no quoting: letters, digits, `-`, `_`, `.`.

    Never empty, never hidden, never with a separator, at most 100 bytes.
    """
    normal = unicodedata.normalize("NFC", text[: 4 * _MAX_NAME_BYTES])
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in normal)
    while "--" in kept:
        kept = kept.replace("--", "-")
    cut = kept.strip("-.").encode("utf-8", "ignore")[:_MAX_NAME_BYTES]
    return cut.decode("utf-8", "ignore").rstrip("-.") or otherwise


def destination_for(
    report: Report, extension: str, path: str | Path | None, folder: Path
) -> Destination:
    """Where a document of `report` goes; see `writing.write`."""
    name = f"{safe_name(report.run.tag)}-{started(report):%Y%m%dT%H%M%SZ}.{extension}"
    if path is not None and str(path):
        chosen = Path(path).expanduser()
        if str(path).endswith(("/", os.sep)) or chosen.is_dir():
            return Destination(chosen / name, replace=False, extension=extension)
        return Destination(chosen, extension=extension)
    where = folder / f"{started(report):%Y-%m-%d}" / safe_name(report.run.load_test, "load-test")
    companions = {
        "config.json": _document(report.run.config),
        "scenarios.json": _document(report.plan.get("populations", [])),
    }
    return Destination(where / name, replace=False, companions=companions, extension=extension)


def write_file(chunks: Iterable[bytes], destination: Destination) -> Path:
    """Writes a document and its companions; nothing is left behind when that fails."""
    folder = destination.path.parent
    temporary = folder / f".chaperon-{os.urandom(8).hex()}.tmp"
    created: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fill(temporary, chunks)
        if destination.replace:
            path = destination.path
            temporary.replace(path)
        else:
            path = _place_beside(temporary, destination, created)
        _sync_folder(folder)
    except OSError as error:
        for companion in created:
            companion.unlink(missing_ok=True)
        raise ExportError(_sentence(destination.path, error)) from error
    finally:
        _remove(temporary)
    return path


def _place_beside(temporary: Path, destination: Destination, created: list[Path]) -> Path:
    """Gives the file the first free name whose companions are free too, or equal already."""
    for number in count(1):
        path = destination.numbered(number)
        if path.exists():
            continue
        companions = {
            destination.companion(number, extension): content
            for extension, content in destination.companions.items()
        }
        if any(_differs(beside, content) for beside, content in companions.items()):
            continue
        for beside, content in companions.items():
            if not beside.exists():
                created.append(beside)
                write_file((content,), Destination(beside))
        if _rename_new(temporary, path):
            return path
    raise AssertionError("count() has no end")


def _rename_new(source: Path, target: Path) -> bool:
    """Renames unless `target` exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        # Some file systems have no hard links: there the look before the rename must do.
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if target.exists():
            return False
        source.rename(target)
    return True


def _differs(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return False


def _fill(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Folders of some network file systems cannot be synced; the file itself is.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The folder itself could not be made or entered; that error is on its way already.
        return


def _sentence(path: Path, error: OSError) -> str:
    reason = _FULL.get(error.errno or 0) or (error.strerror or str(error)).lower()
    full = error.errno in _FULL
    advice = (
        "; free some space or choose another path, the run's own report is not touched"
        if full
        else "; choose another path"
    )
    return f"cannot write {visible(path, 1000)}: {visible(reason)}{advice}"


def started(report: Report) -> datetime:
    """When the run began, in UTC; now, for a report that does not say it."""
    try:
        return datetime.fromisoformat(report.run.started_at).astimezone(UTC)
    except ValueError:
        return SystemClock().label()


def _document(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
