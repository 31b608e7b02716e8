"""From a class, a path or plain data to a request that says what describe and the workers load.

A class of a notebook or of an interactive session has no file: the definitions of its cells are
written to one. Must not know: what else a launch decides.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaperon_engine.client.plain_data import plain_data
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.runs.directory import home
from chaperon_engine.runs.files import write_atomic

_DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef,
)  # fmt: skip


def request_for(load_test: type[Any] | str | Path | Mapping[str, Any]) -> LaunchRequest:
    """A launch of this load test and nothing else decided. Raises UserError.

    Plain data names its scenarios below the current directory.
    """
    if isinstance(load_test, Mapping):
        return LaunchRequest(data=plain_data(load_test), folder=str(Path.cwd()))
    file, name = _locate(load_test)
    return LaunchRequest(file=file, name=name)


def _locate(load_test: type[Any] | str | Path) -> tuple[str, str | None]:
    """(absolute path of the file, name within it). Raises UserError."""
    if isinstance(load_test, Path):
        return str(load_test.expanduser().absolute()), None
    if isinstance(load_test, str):
        file, _, name = load_test.rpartition(":")
        if not file or not name.isidentifier():
            file, name = load_test, ""
        return str(Path(file).expanduser().absolute()), name or None
    if not isinstance(load_test, type):
        raise UserError(
            f"run() takes a LoadTest class, a path or plain data, not {type(load_test).__name__}"
        )
    name = load_test.__qualname__
    if not name.isidentifier():
        raise UserError(
            f"{name} is not at the top level of its file, so workers cannot load it: move it there"
        )
    try:
        file = inspect.getsourcefile(load_test) or ""
    except (TypeError, OSError):
        file = ""
    if file and Path(file).is_file():
        return str(Path(file).absolute()), name
    return str(_write_cells(name)), name


def _write_cells(name: str) -> Path:
    """Write what the cells of this interactive session define, latest definition last."""
    cells = getattr(sys.modules.get("__main__"), "In", None)
    if not isinstance(cells, list):
        raise UserError(
            f"the source of {name} is in no file, so workers cannot load it: put it into one"
        )
    source = "\n\n".join(part for cell in cells if (part := _definitions(str(cell))))
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    folder = home() / "notebooks"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{name}-{digest}.py"
        write_atomic(path, source.encode())
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    return path


def _definitions(cell: str) -> str:
    """The imports, classes, functions and constants of one cell, without what it does."""
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return ""
    kept = [node for node in tree.body if isinstance(node, _DEFINITIONS) or _is_constant(node)]
    return ast.unparse(ast.Module(body=kept, type_ignores=[]))


def _is_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True
