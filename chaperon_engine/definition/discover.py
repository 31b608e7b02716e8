"""Finds the entries of the menu in folders, without running any code in them.

The folders are other people's: their size, loops of links and unreadable files must do no harm.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaperon_engine.definition.plan import Entry
from chaperon_engine.definition.syntax import read_source
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

MAX_FILES = 500
"""Files read in one folder and below."""
MAX_FOLDERS = 200
"""Folders looked into below one folder."""
MAX_DEPTH = 4
"""Levels of folders below the one given."""
MAX_ITEMS = 20_000
"""Names looked at in one folder and below."""
MAX_SOURCE_BYTES = 1024 * 1024
"""Larger files become an entry with a problem."""

_SUFFIXES = (".py", ".toml", ".json")
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(frozen=True)
class Folder:
    """A place to look for scenarios."""

    path: Path
    origin: str = "project"
    """`project`, `user` or `bundled`, as in `Entry.origin`."""
    is_optional: bool = False
    """Nothing is wrong when it does not exist."""


def default_folders(project: Path | None = None) -> list[Folder]:
    """`./scenarios`, the user's own folder and the bundled examples, in this order."""
    project = Path.cwd() if project is None else project
    return [
        Folder(project / "scenarios", "project", is_optional=True),
        Folder(user_folder(), "user", is_optional=True),
        Folder(bundled_folder(), "bundled", is_optional=True),
    ]


def user_folder() -> Path:
    """The user's own scenarios: `scenarios` in the data folder, which CHAPERON_HOME overrides."""
    home = os.environ.get("CHAPERON_HOME")
    if home:
        return Path(home) / "scenarios"
    import platformdirs

    return Path(platformdirs.user_data_dir("chaperon", appauthor=False)) / "scenarios"


def bundled_folder() -> Path:
    """The examples that come with Chaperon: in the package, or beside it in a source tree."""
    package = Path(__file__).resolve().parent.parent
    bundled = package / "bundled"
    return bundled if bundled.is_dir() else package.parent / "scenarios"


def discover(folders: Sequence[Path | Folder] | None = None) -> list[Entry]:
    """The entries of `folders` (or of single files), in the order given and then by path and line.

    None means the default folders. A file that two folders share is listed once. Raises UserError
    when a path given does not exist.
    """
    entries: list[Entry] = []
    seen: set[Path] = set()
    for item in default_folders() if folders is None else folders:
        folder = item if isinstance(item, Folder) else Folder(item)
        if not os.path.lexists(folder.path):
            if folder.is_optional:
                continue
            raise UserError("there is no such file or folder", path=folder.path)
        for path, problem in _files(folder.path):
            real = Path(os.path.realpath(path))
            if real not in seen:
                seen.add(real)
                entries += _entries_of(path, problem, folder.origin)
    return entries


def _entries_of(path: Path, problem: str, origin: str) -> list[Entry]:
    file = os.path.abspath(path)
    try:
        if problem:
            raise UserError(problem)
        if path.suffix == ".py":
            return [
                Entry(
                    file=file,
                    name=found.name,
                    line=found.line,
                    doc=found.doc,
                    is_load_test=found.is_load_test,
                    scenarios=found.scenarios,
                    services=found.services,
                    origin=origin,
                )
                for found in read_source(_read(path, MAX_SOURCE_BYTES))
            ]
        return _data_entry(path, file, origin)
    except UserError as error:
        line = error.line or 0
        words = f"line {line}: {error.message}" if line else error.message
        return [
            Entry(
                file=file,
                name=path.stem,
                line=line,
                is_load_test=False,
                origin=origin,
                problem=words,
            )
        ]


def _data_entry(path: Path, file: str, origin: str) -> list[Entry]:
    """A load test as data; other data files that lie about are none of our business."""
    # With it come the parsers and the table of all settings: only for who has data files.
    from chaperon_engine.definition.sources import MAX_FILE_BYTES, read_document

    if b"scenario" not in _read(path, MAX_FILE_BYTES):
        return []
    table = read_document(path, "the load test").table
    scenarios, services = table.get("scenarios"), table.get("services")
    if not isinstance(scenarios, list):
        return []
    names = [item.get("scenario") if isinstance(item, dict) else item for item in scenarios]
    urls: dict[str, str] = {}
    for name, service in services.items() if isinstance(services, dict) else ():
        url = service.get("base_url") if isinstance(service, dict) else service
        urls[name] = url if isinstance(url, str) else ""
    given = table.get("name")
    return [
        Entry(
            file=file,
            name=given if isinstance(given, str) and given else path.stem,
            line=1,
            doc=visible(table.get("doc", ""), 500),
            is_load_test=True,
            scenarios=[name.rpartition(":")[2] for name in names if isinstance(name, str)],
            services=urls,
            origin=origin,
        )
    ]


def _read(path: Path, limit: int) -> bytes:
    """The whole of a regular file. A pipe or device is refused: opening it might never return."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError("this is not a regular file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise UserError(f"the file is larger than {limit // 2**20} MiB")
    return content


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Files to look at, sorted, each with the problem that keeps it from being read."""
    if not os.path.isdir(root):
        yield root, "" if root.suffix in _SUFFIXES else "a scenario file must end in .py"
        return
    walk = _Walk()
    walk.look_into(root, 0)
    yield from sorted(walk.found, key=lambda found: str(found[0]).casefold())
    if walk.limit:
        yield root, walk.limit


class _Walk:
    """One bounded walk through a folder."""

    def __init__(self) -> None:
        self.found: list[tuple[Path, str]] = []
        self.limit = ""
        """Which limit cut the walk short, else empty."""
        self._items = 0
        self._folders: set[tuple[int, int]] = set()
        """Device and inode of the folders seen: a link may lead back to one of them."""

    def look_into(self, folder: Path, depth: int) -> None:
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in self._folders:
                return
            self._folders.add(identity)
            with os.scandir(folder) as items:
                inner = [path for item in items if (path := self._take(item)) is not None]
        except OSError as error:
            self.found.append((folder, f"the folder cannot be read: {error.strerror}"))
            return
        for path in sorted(inner):
            if len(self._folders) >= MAX_FOLDERS:
                self.limit = f"only the first {MAX_FOLDERS} folders in here are shown"
            if depth < MAX_DEPTH and not self.limit and not os.path.exists(path / "pyvenv.cfg"):
                self.look_into(path, depth + 1)

    def _take(self, item: os.DirEntry[str]) -> Path | None:
        """Note a file; a folder is returned to be looked into later."""
        self._items += 1
        if self._items > MAX_ITEMS or len(self.found) >= MAX_FILES:
            self.limit = f"only the first {MAX_FILES} files in here are shown"
            return None
        if item.name.startswith(".") or item.name in _SKIPPED:
            return None
        path = Path(item.path)
        if os.path.isdir(path):  # Unlike the item's own, it never raises.
            return path
        if path.suffix in _SUFFIXES:
            self.found.append((path, ""))
        return None
