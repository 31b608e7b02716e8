"""The test code on its way to other machines: what travels, listed and in pieces.

code/...              the folder of the scenario file, or of a load test as data
extra/N/NAME          files outside of it that the launch names: --config, TLS files

What stays behind: Chaperon's own folder with its runs and tokens, version control, virtual
environments, caches, `.env` files, links, whatever is no ordinary file, and what .gitignore and
.chaperonignore say (of one folder the latter has the last word, so `!users.csv` takes along what
git ignores). The launch that travels names its files within the bundle.

Must not know: connections, or when a bundle is sent. `unpacking` is the other end.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from pathspec import GitIgnoreSpec

from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.errors import UserError
from chaperon_engine.protocol.wire import MAX_PIECE_BYTES, BundleEnd, BundleFile
from chaperon_engine.runs.bundled import BundleLimits, Names, checked_name, digest_of
from chaperon_engine.runs.directory import home
from chaperon_engine.text import visible
from chaperon_engine.units import show_bytes

IGNORE_FILES = (".gitignore", ".chaperonignore")
LEFT_OUT_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv", ".tox", ".nox",
     ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".idea", ".vscode"}
)  # fmt: skip
_TLS_FILES = ("ca_file", "cert_file", "key_file")


@dataclass(frozen=True)
class BundledFile:
    """A file that travels."""

    name: str
    """Within the bundle, with forward slashes."""
    size: int
    digest: bytes
    """SHA-256."""
    path: Path
    """Where it is on the machine that sends it."""


@dataclass(frozen=True)
class Bundle:
    """What an agent needs to run a load test."""

    files: list[BundledFile]
    launch: LaunchRequest
    """With names within the bundle."""
    left_out: list[str] = field(default_factory=list)
    """Links and other files that cannot travel, for people."""

    @property
    def digest(self) -> bytes:
        """Of names and digests of all files."""
        return digest_of((file.name, file.digest) for file in self.files)

    def listing(self) -> list[str]:
        """A line for each file, for people: size, digest, name."""
        return [
            f"{show_bytes(file.size):>9}  {file.digest.hex()[:16]}  {visible(file.name)}"
            for file in self.files
        ]

    def pieces(self) -> Iterator[BundleFile | BundleEnd]:
        """The messages. Raises UserError when a file is no longer what was listed."""
        for file in self.files:
            yield from _pieces(file)
        yield BundleEnd(digest=self.digest, files=len(self.files))


def collect(
    launch: LaunchRequest, plan: Plan | None = None, *, limits: BundleLimits | None = None
) -> Bundle:
    """List what must travel for this launch. `plan` names the TLS files of its services.

    Raises UserError: too much, a file that cannot be read.
    """
    collector = _Collector(limits or BundleLimits())
    changes: dict[str, object] = {"workers": None, "exports": {}, "export_options": {}}
    # Where the run listens, and with which certificate, is its own affair.
    changes |= {"listen": "", "tls_cert": None, "tls_key": None, "tls_ca": None}
    if launch.file:
        file = Path(launch.file)
        collector.add_folder(file.parent, [file])
        changes["file"] = f"code/{file.name}"
    elif launch.folder:
        collector.add_folder(Path(launch.folder), [])
        changes["folder"] = "code"
    if launch.config_file is not None:
        changes["config_file"] = collector.add_extra(Path(launch.config_file))
    changes["overrides"] = [*launch.overrides, *_tls_overrides(plan, collector)]
    files = sorted(collector.files.values(), key=lambda found: found.name)
    launch = msgspec.structs.replace(launch, **changes)
    return Bundle(files=files, launch=launch, left_out=collector.left_out)


def _tls_overrides(plan: Plan | None, collector: _Collector) -> list[str]:
    """TLS files are relative to the folder of the test, wherever they are named."""
    overrides: list[str] = []
    for service in plan.services if plan is not None else []:
        tls = service.settings.get("tls")
        if not isinstance(tls, dict):
            continue
        for key in _TLS_FILES:
            if tls.get(key):
                name = collector.add_extra(Path(str(tls[key])))
                overrides.append(
                    f"services.{json.dumps(service.name)}.tls.{key}={json.dumps(f'../{name}')}"
                )
    return overrides


class _Collector:
    """Finds files, with their sizes and digests, within the limits."""

    def __init__(self, limits: BundleLimits):
        self.files: dict[str, BundledFile] = {}
        self.left_out: list[str] = []
        self._limits = limits
        self._total = 0
        self._names = Names()
        self._home = home()
        """Runs, their reports and tokens lie there."""
        self._extras: dict[Path, str] = {}

    def add_folder(self, folder: Path, always: list[Path]) -> None:
        """Everything below `folder` that is not to be left out; `always` is, whatever it says."""
        for path in always:
            self._add(f"code/{path.name}", path)
        rules = [*_rules_above(folder), *_rules_of(folder)]
        self._walk(folder, folder, rules)

    def add_extra(self, path: Path) -> str:
        """A file that the launch names; the answer is its name in the bundle."""
        if path not in self._extras:
            name = f"extra/{len(self._extras)}/{path.name}"
            self._add(name, path)
            self._extras[path] = name
        return self._extras[path]

    def _walk(self, root: Path, folder: Path, rules: list[_Rules]) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", path=folder) from None
        for entry in entries:
            path = folder / entry.name
            name = path.relative_to(root).as_posix()
            if f"code/{name}" in self.files or _is_private(entry.name):
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_ignored(path, is_folder, rules):
                continue
            if is_folder and (entry.name in LEFT_OUT_FOLDERS or path == self._home):
                continue
            if is_folder and not (path / "pyvenv.cfg").exists():
                self._walk(root, path, [*rules, *_rules_of(path)])
            elif entry.is_file(follow_symlinks=False):
                self._add(f"code/{name}", path)
            elif not is_folder:
                kind = "a link" if entry.is_symlink() else "no ordinary file"
                self.left_out.append(f"{visible(name)} is {kind}")

    def _add(self, name: str, path: Path) -> None:
        limits = self._limits
        checked_name(name)
        self._names.add(name)
        try:
            with open(path, "rb", opener=_ordinary) as file:
                size = os.fstat(file.fileno()).st_size
                if size > limits.file_bytes:
                    raise UserError(
                        f"{show_bytes(size)} is more than the {show_bytes(limits.file_bytes)} that "
                        "a file may have to travel to agents: leave it out with a line in "
                        ".chaperonignore",
                        path=path,
                    )
                self._total += size
                if self._total > limits.total_bytes or len(self.files) >= limits.files:
                    raise UserError(
                        f"the folder has more than the {show_bytes(limits.total_bytes)} or "
                        f"{limits.files:,} files that may travel to agents: put the test into a "
                        "folder of its own, or leave files out with lines in .chaperonignore",
                        path=path.parent,
                    )
                digest = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", path=path) from None
        self.files[name] = BundledFile(name, size, digest, path)


@dataclass(frozen=True)
class _Rules:
    """The lines of one ignore file."""

    folder: Path
    spec: GitIgnoreSpec


def _rules_of(folder: Path) -> list[_Rules]:
    found: list[_Rules] = []
    for name in IGNORE_FILES:
        path = folder / name
        try:
            if not path.is_file():
                continue
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found.append(_Rules(folder, GitIgnoreSpec.from_lines(lines)))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot be used: {visible(error)}", path=path) from None
    return found


def _rules_above(folder: Path) -> list[_Rules]:
    """Ignore files of the folders above, up to the root of the repository; none without one."""
    above: list[_Rules] = []
    if (folder / ".git").exists():
        return []
    for parent in folder.parents:
        above = [*_rules_of(parent), *above]
        if (parent / ".git").exists():
            return above
    return []


def _is_ignored(path: Path, is_folder: bool, rules: list[_Rules]) -> bool:
    """The last ignore file that says something decides."""
    for rule in reversed(rules):
        name = path.relative_to(rule.folder).as_posix()
        verdict = rule.spec.check_file(f"{name}/" if is_folder else name).include
        if verdict is not None:
            return verdict
    return False


def _is_private(name: str) -> bool:
    return name == ".env" or name.startswith(".env.") or name.endswith((".pyc", ".pyo"))


def _pieces(file: BundledFile) -> Iterator[BundleFile]:
    changed = UserError("the file was changed while the run began: start it again", path=file.path)
    offset = 0
    check = hashlib.sha256()
    try:
        with open(file.path, "rb", opener=_ordinary) as content:
            while offset < file.size or not file.size:
                data = content.read(min(MAX_PIECE_BYTES, file.size - offset))
                if len(data) == 0 and file.size:
                    raise changed
                check.update(data)
                if offset + len(data) == file.size and check.digest() != file.digest:
                    raise changed
                yield BundleFile(
                    name=file.name, digest=file.digest, size=file.size, offset=offset, data=data
                )
                offset += len(data)
                if not file.size:
                    return
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path=file.path) from None


def _ordinary(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError("this is no ordinary file", path=path)
    return descriptor
