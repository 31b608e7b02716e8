"""Executes a scenario file and finds the classes in it. Everything that can go wrong with the
user's file is a UserError with file and line.

Only workers, `describe` and `trial` come here: the file is the user's code and may do anything.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import stat
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TypeVar

from chaperon_engine.definition.model import LoadTest, Scenario
from chaperon_engine.definition.problems import did_you_mean, listed
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

MAX_SOURCE_BYTES = 8 * 1024 * 1024
"""Larger scenario files are refused."""

_SIBLING_MARK = "__chaperon_scenario_folder__"
_numbers = itertools.count(1)
_Base = TypeVar("_Base", bound=object)


class _ScenarioFolder(str):
    """An entry of sys.path that this module put there."""

    __slots__ = ()


def forget() -> None:
    """Undo earlier loads in this process: the next load sees changed files beside it, too.

    Modules that were imported from a scenario's folder are dropped, and the folder leaves sys.path.
    """
    sys.path[:] = [entry for entry in sys.path if not isinstance(entry, _ScenarioFolder)]
    for name, module in list(sys.modules.items()):
        if getattr(module, _SIBLING_MARK, False) is True:
            del sys.modules[name]
    importlib.invalidate_caches()


def load(path: Path, root: Path | None = None) -> ModuleType:
    """Execute the scenario file fresh under a unique module name. Raises UserError.

    Its folder is importable afterwards, and `root` when there is one. They stand last on sys.path,
    because a scenario called `http.py` or `json.py` must not hide the module of that name from
    anybody else.
    """
    path = Path(os.path.abspath(path))
    folders = list(dict.fromkeys([path.parent, root or path.parent]))
    source = _read(path)
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _syntax_error(error, path) from None
    except ValueError as error:
        raise UserError(f"syntax error: {visible(error)}", path=path) from None
    name = f"chaperon_scenario_{next(_numbers)}_{path.stem if path.stem.isidentifier() else 'file'}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise UserError("the file cannot be loaded as a Python module", path=path)
    module = importlib.util.module_from_spec(spec)
    sys.path += [_ScenarioFolder(folder) for folder in folders if str(folder) not in sys.path]
    before = set(sys.modules)
    # Registered before it runs: dataclasses and typing look their module up there.
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except KeyboardInterrupt:
        sys.modules.pop(name, None)
        raise
    except BaseException as error:
        sys.modules.pop(name, None)
        raise _import_failure(error, path) from None
    finally:
        _mark_siblings(set(sys.modules) - before, folders)
    return module


def scenarios_of(module: ModuleType) -> dict[str, type[Scenario]]:
    """The scenario classes that the module itself defines, in their order."""
    return _classes(module, Scenario)


def load_tests_of(module: ModuleType) -> dict[str, type[LoadTest]]:
    """The load test classes that the module itself defines, in their order."""
    return _classes(module, LoadTest)


def choose(module: ModuleType, path: Path, name: str | None) -> type[LoadTest] | type[Scenario]:
    """The class that a launch means: the named one, else the only load test, else the only
    scenario. Raises UserError."""
    load_tests, scenarios = load_tests_of(module), scenarios_of(module)
    if name is not None:
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, LoadTest | Scenario):
            return found
        hint = did_you_mean(name, [*load_tests, *scenarios])
        raise UserError(f"there is no load test or scenario '{visible(name, 80)}'{hint}", path=path)
    for kind, classes in (("load tests", load_tests), ("scenarios", scenarios)):
        public = {key: found for key, found in classes.items() if not key.startswith("_")}
        candidates = list((public or classes).values())
        # A class that others in the file build on is their base, not one of the choices.
        chosen = [
            found
            for found in candidates
            if not any(other is not found and issubclass(other, found) for other in candidates)
        ]
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            names = [found.__name__ for found in chosen]
            raise UserError(
                f"there are several {kind}: {listed(names)}; say which with {path.name}:{names[0]}",
                path=path,
            )
    raise UserError(
        "there is no load test and no scenario in this file; define a class with Scenario from "
        "chaperon_engine as its base",
        path=path,
    )


def line_of(found: type | FunctionType) -> int | None:
    """The line where a class or function is defined, or None."""
    import inspect

    try:
        return inspect.getsourcelines(found)[1]
    except (OSError, TypeError, SyntaxError):
        return None


def _classes(module: ModuleType, base: type[_Base]) -> dict[str, type[_Base]]:
    return {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, type)
        and issubclass(found, base)
        and found.__module__ == module.__name__
        and found.__name__ == name
    }


def _read(path: Path) -> bytes:
    if path.suffix != ".py":
        raise UserError("a scenario file must end in .py (or .toml or .json for data)", path=path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError("this is a folder, not a scenario file", path=path)
        if not stat.S_ISREG(mode):
            raise UserError("this is not a regular file", path=path)
        with path.open("rb") as file:
            source = file.read(MAX_SOURCE_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"there is no such file{_near_file(path)}", path=path) from None
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", path=path) from None
    if len(source) > MAX_SOURCE_BYTES:
        raise UserError(f"the file is larger than {MAX_SOURCE_BYTES // 2**20} MiB", path=path)
    return source


def _near_file(path: Path) -> str:
    try:
        names = [
            entry.name
            for entry in itertools.islice(path.parent.iterdir(), 1000)
            if entry.suffix == ".py"
        ]
    except OSError:
        return f"; the folder {visible(path.parent)} does not exist" * (not path.parent.is_dir())
    return did_you_mean(path.name, names) if names else ""


def _syntax_error(error: SyntaxError, path: Path) -> UserError:
    where = path if error.filename in (None, str(path)) else Path(str(error.filename))
    return UserError(f"syntax error: {visible(error.msg)}", path=where, line=error.lineno)


def _import_failure(error: BaseException, path: Path) -> UserError:
    line = _line_in(error, path)
    if isinstance(error, SyntaxError):
        return _syntax_error(error, path)
    if isinstance(error, UserError):
        return UserError(error.message, path=path, line=line)
    message = visible(_words(error))
    is_of_chaperon = (getattr(error, "name", None) or "").startswith("chaperon_engine")
    if isinstance(error, ModuleNotFoundError) and not is_of_chaperon:
        return UserError(
            f"cannot import '{visible(error.name or '?', 80)}': there is no such module; install "
            "it for the Python that runs chaperon, or put it beside this file",
            path=path,
            line=line,
        )
    if isinstance(error, ImportError):
        return UserError(f"import failed: {message}", path=path, line=line)
    if isinstance(error, SystemExit):
        return UserError(
            "the file calls sys.exit while it is loaded; it must only define classes",
            path=path,
            line=line,
        )
    name = type(error).__name__
    ending = f": {message}" if message else ""
    return UserError(f"the file raises {name} while it is loaded{ending}", path=path, line=line)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _line_in(error: BaseException, path: Path) -> int | None:
    """The line of the user's file that was running, the innermost one."""
    line = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == str(path):
            line = number
    return line


def _mark_siblings(names: Iterable[str], folders: Sequence[Path]) -> None:
    """Mark modules that came from the scenario's own folders, so that `forget` drops them."""
    tops = set()
    for name in names:
        top = name.partition(".")[0]
        is_ours = top in ("chaperon_engine", "chaperon_tui")
        homes = [home for folder in folders for home in (folder / f"{top}.py", folder / top)]
        if not is_ours and _home_of(sys.modules.get(top)) in homes:
            tops.add(top)
    for name in names:
        module = sys.modules.get(name)
        is_scenario = name.startswith("chaperon_scenario_")
        if module is not None and (is_scenario or name.partition(".")[0] in tops):
            setattr(module, _SIBLING_MARK, True)


def _home_of(module: ModuleType | None) -> Path | None:
    """The file of a module, the folder of a package."""
    file = getattr(module, "__file__", None)
    if file:
        return Path(file).parent if Path(file).name == "__init__.py" else Path(file)
    # A package without an __init__.py has no file.
    return next((Path(folder) for folder in getattr(module, "__path__", ())), None)
