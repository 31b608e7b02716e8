"""queue.json: the queue on disk, written whole after every change.

Owns: the file's schema and its check on reading, and the files that came with entries. Must not
know: what is done with the queue.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from chaperon_engine.errors import UserError
from chaperon_engine.runs.files import read_whole, write_atomic
from chaperon_engine.serve.line import MAX_ENDED, MAX_WAITING, Line
from chaperon_engine.text import visible

SCHEMA = 1
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    schema: int
    queue: Line


class QueueStore:
    """The files of one queue, in a folder of its owner alone."""

    def __init__(self, folder: Path):
        self.path = folder / "queue.json"
        self._inputs = folder / "inputs"

    def load(self) -> Line:
        """The queue as it was written last; empty when there is none. Raises UserError when it
        cannot be trusted: a person must decide then."""
        try:
            raw = read_whole(self.path)
        except FileNotFoundError:
            return Line()
        except OSError as error:
            raise UserError(f"{visible(self.path)} cannot be read: {error.strerror}") from None
        try:
            schema = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("schema")
            number = None if schema is None else msgspec.json.decode(schema, type=int)
            if number != SCHEMA:
                raise UserError(
                    f"{visible(self.path)} is of schema {number}, this version of Chaperon knows "
                    f"{SCHEMA}: use the version that wrote it, or move the file away"
                )
            line = msgspec.json.decode(raw, type=_Document).queue
            _check(line)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise UserError(
                f"{visible(self.path)} is damaged ({visible(error)}): move it away to begin with "
                "an empty queue"
            ) from None
        return line

    def save(self, line: Line) -> None:
        """Replace the file. Raises OSError."""
        document = _Document(schema=SCHEMA, queue=line)
        write_atomic(self.path, msgspec.json.format(msgspec.json.encode(document), indent=1))

    def write_input(self, id: str, name: str, document: dict[str, Any]) -> Path:
        """Keep what came with an entry as a JSON file. Raises OSError."""
        folder = self._inputs / id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / name
        write_atomic(path, msgspec.json.format(msgspec.json.encode(document), indent=1))
        return path

    def drop_inputs(self, id: str) -> None:
        """Remove what came with an entry."""
        shutil.rmtree(self._inputs / id, ignore_errors=True)

    def drop_strange_inputs(self, line: Line) -> None:
        """Remove what no entry needs any more, such as after a crash."""
        needed = {item.id for item in line.waiting}
        if line.running is not None:
            needed.add(line.running.id)
        if self._inputs.is_dir():
            for folder in self._inputs.iterdir():
                if folder.name not in needed and _ID.fullmatch(folder.name):
                    shutil.rmtree(folder, ignore_errors=True)


def _check(line: Line) -> None:
    """What types cannot say. Raises ValueError."""
    ids = [item.id for item in line.waiting] + [entry.id for entry in line.ended]
    if line.running is not None:
        ids.append(line.running.id)
    if not all(_ID.fullmatch(id) for id in ids):
        raise ValueError("an id is no UUID")
    if len(set(ids)) != len(ids):
        raise ValueError("an id is there twice")
    if not all(entry.has_ended for entry in line.ended):
        raise ValueError("an ended entry has not ended")
    if len(line.waiting) > MAX_WAITING or len(line.ended) > MAX_ENDED:
        raise ValueError("there are too many entries")
