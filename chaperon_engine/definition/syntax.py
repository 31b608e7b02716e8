"""Reads what a scenario file defines from its syntax tree. No code of the file runs."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

_ROOTS = ("LoadTest", "Scenario")


@dataclass(frozen=True)
class FoundClass:
    """A load test or scenario in a source text."""

    name: str
    line: int
    is_load_test: bool
    doc: str = ""
    scenarios: list[str] = field(default_factory=list)
    """Names of the scenarios of a load test, as far as they are written as names."""
    services: dict[str, str] = field(default_factory=dict)
    """Base URLs by name, as far as they are literals or constants of the module."""


def read_source(source: bytes) -> list[FoundClass]:
    """The entries of a file in their order: its load tests, else its scenarios.

    Names with a leading underscore and classes that others in the file build on are left out.
    Raises UserError with the line when the text is no valid Python.
    """
    if not any(root.encode() in source for root in _ROOTS):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        raise UserError(f"syntax error: {visible(error.msg)}", line=error.lineno) from None
    except ValueError as error:
        raise UserError(f"syntax error: {visible(error)}") from None
    except (RecursionError, MemoryError):
        raise UserError("the source is nested too deeply") from None
    return _Reader(tree).entries()


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self._doc = _doc_of(tree)
        self._kinds: dict[str, str] = {}
        """Local names that mean LoadTest or Scenario, or a class built on one."""
        self._modules: set[str] = set()
        """Local names of the chaperon_engine module."""
        self._constants: dict[str, str] = {}
        self._classes: dict[str, ast.ClassDef] = {}
        for node in _statements(tree.body):
            self._read(node)

    def entries(self) -> list[FoundClass]:
        bases = {
            base.id
            for node in self._classes.values()
            for base in node.bases
            if isinstance(base, ast.Name)
        }
        offered = [
            node for name, node in self._classes.items() if name not in bases and name[0] != "_"
        ]
        load_tests = [node for node in offered if self._kinds[node.name] == "LoadTest"]
        return [self._entry(node) for node in load_tests or offered]

    def _read(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chaperon_engine"):
            for alias in node.names:
                if alias.name == "*":
                    self._kinds.update({root: root for root in _ROOTS})
                elif alias.name in _ROOTS:
                    self._kinds[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "chaperon_engine":
                    self._modules.add(alias.asname or "chaperon_engine")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            text = _text_of(node.value) if node.value is not None else None
            if text is not None:
                for target in _targets(node):
                    self._constants[target] = text
        elif isinstance(node, ast.ClassDef):
            kinds = [kind for base in node.bases if (kind := self._kind_of(base)) is not None]
            if kinds:
                self._kinds[node.name] = kinds[0]
                self._classes[node.name] = node

    def _kind_of(self, base: ast.expr) -> str | None:
        if isinstance(base, ast.Name):
            return self._kinds.get(base.id)
        if isinstance(base, ast.Attribute) and base.attr in _ROOTS:
            root = base.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in self._modules:
                return base.attr
        return None

    def _entry(self, node: ast.ClassDef) -> FoundClass:
        is_load_test = self._kinds[node.name] == "LoadTest"
        doc = _doc_of(node)
        scenarios: list[str] = []
        services: dict[str, str] = {}
        if is_load_test:
            # A load test that builds on another in the file has what that one wrote.
            for ancestor in reversed(list(self._lineage(node))):
                scenarios = self._scenarios(ancestor) or scenarios
                services = self._services(ancestor) or services
            docs = [_doc_of(self._classes[name]) for name in scenarios if name in self._classes]
            doc = doc or self._doc or next(filter(None, docs), "")
        else:
            doc = doc or self._doc
        return FoundClass(node.name, node.lineno, is_load_test, doc, scenarios, services)

    def _lineage(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        seen: set[str] = set()
        found: ast.ClassDef | None = node
        while found is not None and found.name not in seen:
            yield found
            seen.add(found.name)
            names = [base.id for base in found.bases if isinstance(base, ast.Name)]
            found = next((self._classes[name] for name in names if name in self._classes), None)

    def _scenarios(self, node: ast.ClassDef) -> list[str]:
        value = _assigned(node, "scenarios")
        return list(_scenario_names(value)) if isinstance(value, ast.List | ast.Tuple) else []

    def _services(self, node: ast.ClassDef) -> dict[str, str]:
        value = _assigned(node, "services")
        if not isinstance(value, ast.Dict):
            return {}
        services: dict[str, str] = {}
        for key, item in zip(value.keys, value.values, strict=True):
            name = _text_of(key) if key is not None else None
            if name is None or not isinstance(item, ast.Call):
                continue
            url = _argument(item, "base_url")
            if isinstance(url, ast.Name):
                text = self._constants.get(url.id)
            else:
                text = _text_of(url) if url is not None else None
            services[name] = text or ""
        return services


def _scenario_names(value: ast.List | ast.Tuple) -> Iterator[str]:
    for item in value.elts:
        found: ast.expr | None = item
        if isinstance(item, ast.Call):
            found = _argument(item, "scenario")
        if isinstance(found, ast.Name):
            yield found.id
        elif isinstance(found, ast.Attribute):
            yield found.attr
        elif isinstance(found, ast.List | ast.Tuple):
            yield from _scenario_names(found)


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    """The first positional argument, or the one called `name`."""
    if call.args:
        return call.args[0]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _assigned(node: ast.ClassDef, name: str) -> ast.expr | None:
    value = None
    for statement in node.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and name in _targets(statement):
            value = statement.value
    return value


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _text_of(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]


def _doc_of(node: ast.Module | ast.ClassDef) -> str:
    doc = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
    return visible(" ".join(doc.split("\n\n")[0].split()), 500)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those below `if`, `try` and `with` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []))
