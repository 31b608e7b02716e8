"""Loading a scenario file: what works, and the sentence for everything that does not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from chaperon_engine.definition import loader
from chaperon_engine.errors import UserError
from tests.definition.conftest import Workbench

SCENARIO = """\
from chaperon_engine import Scenario
class A(Scenario):
    async def run(self, session): ...
"""


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("x = 1\ndef f(:\n", "syntax error: invalid syntax", 2),
        ("x = (\n", "syntax error: '(' was never closed", 1),
        ("if True:\nx = 1\n", "syntax error: expected an indented block after 'if' statement"
         " on line 1", 2),
        ("x = 1\x00", "syntax error: source code string cannot contain null bytes", None),
        ("import os\nimport no_such_module_anywhere\n",
         "cannot import 'no_such_module_anywhere': there is no such module; install it for the "
         "Python that runs chaperon, or put it beside this file", 2),
        ("x = 1\ny = 2\n1 / 0\n",
         "the file raises ZeroDivisionError while it is loaded: division by zero", 3),
        ("def f():\n    raise KeyError('k')\n\nf()\n",
         "the file raises KeyError while it is loaded: 'k'", 2),
        ("raise Exception\n", "the file raises Exception while it is loaded", 1),
        ("import sys\nsys.exit(3)\n",
         "the file calls sys.exit while it is loaded; it must only define classes", 2),
        ("raise ValueError('\\x1b[31m red')\n",
         "the file raises ValueError while it is loaded: \\x1b[31m red", 1),
        ("class E(Exception):\n    def __str__(self): raise OSError\nraise E\n",
         "the file raises E while it is loaded", 3),
        ("import json\njson.loads('{')\n",
         "the file raises JSONDecodeError while it is loaded: Expecting property name enclosed in "
         "double quotes: line 1 column 2 (char 1)", 2),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_executed_is_one_sentence_with_its_line(
    bench: Workbench, source: str, message: str, line: int | None
) -> None:
    path = bench.folder / "load.py"
    path.write_text(source)
    error = bench.error(loader.load, path)
    assert error.message == message
    if line is not None:
        assert (error.path, error.line) == (str(path), line)


def test_a_missing_name_in_an_import_names_the_line(bench: Workbench) -> None:
    path = bench.write("\nfrom os import no_such_name\n")
    error = bench.error(loader.load, path)
    assert error.message.startswith("import failed: cannot import name 'no_such_name' from 'os'")
    assert (error.path, error.line) == (str(path), 2)


def test_a_missing_part_of_chaperon_is_not_said_to_be_installable(bench: Workbench) -> None:
    error = bench.error(loader.load, bench.write("import chaperon_engine.nothing\n"))
    assert error.message == "import failed: No module named 'chaperon_engine.nothing'"


def test_a_syntax_error_in_a_sibling_names_the_sibling(bench: Workbench) -> None:
    sibling = bench.write("x = 1\ny = (\n", "broken_sibling.py")
    error = bench.error(loader.load, bench.write("import broken_sibling\n"))
    assert (error.path, error.line) == (str(sibling), 2)
    assert error.message == "syntax error: '(' was never closed"


def test_a_file_in_another_encoding_is_one_sentence(bench: Workbench) -> None:
    path = bench.folder / "load.py"
    path.write_bytes(b"x = '\xff'\n")
    error = bench.error(loader.load, path)
    assert error.message.startswith("syntax error: (unicode error) 'utf-8' codec can't decode")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lod.py", "there is no such file; did you mean 'load.py'?"),
        ("load.txt", "a scenario file must end in .py (or .toml or .json for data)"),
        ("folder.py", "this is a folder, not a scenario file"),
        ("pipe.py", "this is not a regular file"),
    ],
)
def test_a_path_that_is_no_scenario_file_says_why(
    bench: Workbench, name: str, message: str
) -> None:
    bench.write("")
    (bench.folder / "folder.py").mkdir()
    os.mkfifo(bench.folder / "pipe.py")
    error = bench.error(loader.load, bench.folder / name)
    assert (error.message, error.path) == (message, str(bench.folder / name))


def test_a_missing_folder_is_named(bench: Workbench) -> None:
    error = bench.error(loader.load, bench.folder / "nowhere" / "x.py")
    assert error.message == (
        f"there is no such file; the folder {bench.folder / 'nowhere'} does not exist"
    )


def test_a_huge_file_is_refused(bench: Workbench) -> None:
    path = bench.write("#" * (loader.MAX_SOURCE_BYTES + 1))
    assert bench.error(loader.load, path).message == "the file is larger than 8 MiB"


def test_every_load_is_fresh_and_registered_under_a_name_of_its_own(bench: Workbench) -> None:
    path = bench.write("import dataclasses\n@dataclasses.dataclass\nclass D:\n    x: int = 1\n")
    first = loader.load(path)
    path.write_text("VALUE = 2\n")
    second = loader.load(path)
    assert first.__name__ != second.__name__
    assert sys.modules[second.__name__] is second
    assert not hasattr(second, "D")
    assert second.VALUE == 2


def test_a_module_that_failed_is_not_left_registered(bench: Workbench) -> None:
    before = set(sys.modules)
    bench.error(loader.load, bench.write("1 / 0\n"))
    assert {name for name in set(sys.modules) - before if name.startswith("chaperon_")} == set()


def test_siblings_can_be_imported_and_are_fresh_after_forget(bench: Workbench) -> None:
    sibling = bench.write("VALUE = 1\n", "sibling_of_load.py")
    path = bench.write("from sibling_of_load import VALUE\n")
    assert loader.load(path).VALUE == 1
    sibling.write_text("VALUE = 22\n")
    loader.forget()
    assert str(bench.folder) not in sys.path
    assert loader.load(path).VALUE == 22


def test_a_scenario_named_like_a_module_of_python_hides_nothing(bench: Workbench) -> None:
    bench.write("raise RuntimeError('hidden')\n", "colorsys.py")
    sys.modules.pop("colorsys", None)
    module = loader.load(bench.write("import colorsys\nFOUND = colorsys.__file__\n"))
    assert not Path(module.FOUND).is_relative_to(bench.folder)


def test_a_relative_path_is_loaded_from_the_working_directory(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("VALUE = 1\n")
    monkeypatch.chdir(bench.folder)
    module = loader.load(Path("load.py"))
    assert module.__file__ == os.path.join(bench.folder, "load.py")


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("x = 1\n", None,
         "there is no load test and no scenario in this file; define a class with Scenario from "
         "chaperon_engine as its base"),
        ("from chaperon_engine import Scenario, LoadTest\n", None,
         "there is no load test and no scenario in this file; define a class with Scenario from "
         "chaperon_engine as its base"),
        (SCENARIO + "class B(Scenario): ...\n", None,
         "there are several scenarios: A and B; say which with load.py:A"),
        (SCENARIO + "from chaperon_engine import LoadTest\n"
         "class S(LoadTest): ...\nclass T(LoadTest): ...\n", None,
         "there are several load tests: S and T; say which with load.py:S"),
        (SCENARIO, "a", "there is no load test or scenario 'a'; did you mean 'A'?"),
        (SCENARIO, "Other", "there is no load test or scenario 'Other'; known are A"),
        ("x = 1\n", "x", "there is no load test or scenario 'x'"),
    ],
)  # fmt: skip
def test_a_choice_that_is_not_clear_names_what_there_is(
    bench: Workbench, source: str, name: str | None, message: str
) -> None:
    path = bench.write(source)
    module = loader.load(path)
    with pytest.raises(UserError) as caught:
        loader.choose(module, path, name)
    assert (caught.value.message, caught.value.path) == (message, str(path))


@pytest.mark.parametrize(
    ("more", "name", "chosen"),
    [
        ("", None, "A"),
        ("class B(A): ...\n", None, "B"),
        ("class _Hidden(Scenario): ...\n", None, "A"),
        ("class B(Scenario): ...\n", "B", "B"),
        ("from chaperon_engine import LoadTest\nclass T(LoadTest): ...\n", None, "T"),
        ("from chaperon_engine import LoadTest\nclass T(LoadTest): ...\n", "A", "A"),
        ("Alias = A\n", None, "A"),
    ],
)
def test_the_class_meant_is_found(
    bench: Workbench, more: str, name: str | None, chosen: str
) -> None:
    path = bench.write(SCENARIO + more)
    assert loader.choose(loader.load(path), path, name).__name__ == chosen


def test_the_line_of_a_class_is_known(bench: Workbench) -> None:
    module = loader.load(bench.write("\n\n" + SCENARIO))
    assert loader.line_of(module.A) == 4
    assert loader.line_of(int) is None
