"""multipart/form-data: files are read from disk in pieces while they are sent."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from chaperon_engine.errors import InvalidRequest
from chaperon_engine.http.options import FilePart, Part
from chaperon_engine.net.url import refuse_control
from chaperon_engine.text import visible

PIECE_BYTES = 64 * 1024


class _File:
    """A file with the size that was announced for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.size = file.seek(0, 2)
        except OSError as error:
            raise InvalidRequest(
                f"multipart: the file {visible(path)} cannot be read: {error.strerror}"
            ) from None


class MultipartBody:
    """A multipart body of known size. Can be sent again while its files stay as they are."""

    replayable = True

    def __init__(self, parts: Mapping[str, Part | Sequence[Part]]) -> None:
        boundary = f"chaperon-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._pieces: list[bytes | _File] = []
        for name, value in parts.items():
            several = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
            for part in value if several else (value,):  # type: ignore[union-attr]
                self._add(boundary, name, part)  # type: ignore[arg-type]
        self._pieces.append(f"--{boundary}--\r\n".encode())
        self.length = sum(
            piece.size if isinstance(piece, _File) else len(piece) for piece in self._pieces
        )

    def _add(self, boundary: str, name: str, part: Part) -> None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if isinstance(part, FilePart):
            path = Path(part.path)
            refuse_control(part.content_type, "multipart: content_type")
            filename = _quoted(path.name if part.filename is None else part.filename)
            head += f'; filename="{filename}"\r\nContent-Type: {part.content_type}\r\n\r\n'
            self._pieces += [_encoded(head), _File(path), b"\r\n"]
        elif isinstance(part, (str, bytes)):
            content = _encoded(part) if isinstance(part, str) else part
            self._pieces += [_encoded(head + "\r\n\r\n"), content, b"\r\n"]
        else:
            raise InvalidRequest(
                f"multipart: {visible(name)} must be text, bytes or a FilePart, "
                f"not {type(part).__name__}"
            )

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            left = piece.size
            with piece.path.open("rb") as file:
                while left:
                    data = file.read(min(PIECE_BYTES, left))
                    if not data:
                        raise InvalidRequest(
                            f"multipart: the file {visible(piece.path)} became shorter"
                        )
                    left -= len(data)
                    yield data


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("multipart: a name or text contains half a surrogate pair") from None


def _quoted(name: object) -> str:
    """A name in a Content-Disposition, escaped as browsers do."""
    if not isinstance(name, str) or "\0" in name:
        raise InvalidRequest(f"multipart: {visible(name)} cannot be the name of a part")
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
