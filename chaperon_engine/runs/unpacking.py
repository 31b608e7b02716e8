"""A bundle of test code where it arrives: checked, unpacked, removed.

Whoever sends is authenticated and may run code, yet names, sizes and digests are checked again:
nothing is written outside of a fresh folder that only this user may enter.

Must not know: connections.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.protocol.wire import BundleEnd, BundleFile
from chaperon_engine.runs.bundled import BundleLimits, Names, checked_name, digest_of
from chaperon_engine.text import visible


def localised(launch: LaunchRequest, folder: Path) -> LaunchRequest:
    """The launch of a bundle with the paths of the `folder` it was unpacked into. Raises
    UserError when it names files elsewhere."""
    changes: dict[str, str] = {}
    for key in ("file", "folder", "config_file", "working_folder"):
        name = getattr(launch, key)
        if name:
            changes[key] = str(folder / checked_name(name))
    if launch.working_folder:
        # Nothing need have been sent that lies there.
        Path(changes["working_folder"]).mkdir(mode=0o700, parents=True, exist_ok=True)
    return msgspec.structs.replace(launch, **changes)


class Unpacker:
    """Receives a bundle into a fresh folder that only this user may enter."""

    def __init__(self, *, limits: BundleLimits | None = None, within: Path | None = None):
        """`within`: where the folder is made; default the system's temporary folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="chaperon-", dir=within))
        self.digest: bytes | None = None
        """Of the bundle, once it is complete."""
        self._limits = limits or BundleLimits()
        self._names = Names()
        self._digests: dict[str, bytes] = {}
        self._total = 0
        self._open: _Incoming | None = None

    @property
    def is_complete(self) -> bool:
        return self.digest is not None

    def take(self, message: BundleFile | BundleEnd) -> None:
        """The next message of the bundle. Raises UserError; then it must not be used."""
        try:
            if isinstance(message, BundleEnd):
                self._end(message)
            else:
                self._piece(message)
        except OSError as error:
            raise UserError(
                f"the test code cannot be written to {visible(self.folder)}: {error.strerror}"
            ) from None

    def remove(self) -> None:
        """Forget all of it."""
        if self._open is not None:
            os.close(self._open.descriptor)
            self._open = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _piece(self, piece: BundleFile) -> None:
        if self.is_complete:
            raise UserError("the test code goes on after its end")
        if self._open is None:
            self._open = self._begin(piece)
        incoming = self._open
        if (piece.name, piece.offset, piece.size, piece.digest) != (
            incoming.name, incoming.received, incoming.size, incoming.digest,
        ):  # fmt: skip
            raise UserError(f"the pieces of {visible(piece.name, 200)!r} do not fit together")
        incoming.received += len(piece.data)
        if incoming.received > incoming.size or (not piece.data and incoming.size):
            raise UserError(f"{visible(piece.name, 200)!r} is not as long as was said")
        view = memoryview(piece.data)
        while view:
            view = view[os.write(incoming.descriptor, view) :]
        incoming.hash.update(piece.data)
        if incoming.received == incoming.size:
            self._open = None
            os.close(incoming.descriptor)
            if incoming.hash.digest() != incoming.digest:
                raise UserError(f"{visible(piece.name, 200)!r} arrived damaged")
            self._digests[piece.name] = piece.digest

    def _begin(self, piece: BundleFile) -> _Incoming:
        name = checked_name(piece.name)
        self._names.add(name)
        self._total += piece.size
        limits = self._limits
        if (
            piece.size > limits.file_bytes
            or self._total > limits.total_bytes
            or len(self._digests) >= limits.files
        ):
            raise UserError("the test code is larger than this agent takes")
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return _Incoming(name, piece.size, piece.digest, os.open(path, flags, 0o600))

    def _end(self, end: BundleEnd) -> None:
        digest = digest_of(self._digests.items())
        if self._open is not None or self.is_complete or len(self._digests) != end.files:
            raise UserError("the test code arrived incomplete")
        if digest != end.digest:
            raise UserError("the test code arrived damaged")
        self.digest = digest


@dataclass
class _Incoming:
    """A file that is being received."""

    name: str
    size: int
    digest: bytes
    descriptor: int
    received: int = 0
    hash: hashlib._Hash = field(default_factory=hashlib.sha256)
