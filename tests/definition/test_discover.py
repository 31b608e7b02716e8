"""The menu: what is read from syntax trees, and folders that mean no good."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition import discover as module
from chaperon_engine.definition.discover import Folder, bundled_folder, default_folders, discover
from chaperon_engine.definition.plan import Entry
from chaperon_engine.definition.syntax import read_source
from chaperon_engine.errors import UserError
from tests.definition.conftest import Workbench

HEAD = "from chaperon_engine import LoadTest, Population, Scenario, Service\n"


def names(folder: Path | Folder) -> list[tuple[str, str]]:
    return [(Path(entry.file).name, entry.name) for entry in discover([folder])]


def test_a_load_test_is_read_with_its_parts(bench: Workbench) -> None:
    path = bench.write('''\
        """About the file."""
        from chaperon_engine import LoadTest, Population, Scenario, Service

        URL = "http://push"
        print("never run"); 1 / 0

        class A(Scenario): ...
        class B(Scenario): ...

        class T(LoadTest):
            """Loads the shop.

            With more words.
            """
            services = {
                "shop": Service("http://h:1", timeout=5),
                "push": Service(base_url=URL),
                "other": Service(make()),
            }
            scenarios = [Population(A, sessions=5), B, [A, B], Population(scenario=[B])]
        ''')
    assert discover([bench.folder]) == [
        Entry(
            file=str(path),
            name="T",
            line=10,
            doc="Loads the shop.",
            is_load_test=True,
            scenarios=["A", "B", "A", "B", "B"],
            services={"shop": "http://h:1", "push": "http://push", "other": ""},
        )
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (HEAD + "class A(Scenario): ...\n", ["A"]),
        (HEAD + "class A(Scenario): ...\nclass B(A): ...\nclass C(B): ...\n", ["C"]),
        (HEAD + "class A(Scenario): ...\nclass T(LoadTest): ...\n", ["T"]),
        (HEAD + "class S(LoadTest): ...\nclass T(S): ...\nclass U(S): ...\n", ["T", "U"]),
        (HEAD + "class _A(Scenario): ...\nclass B(Scenario): ...\n", ["B"]),
        ("from chaperon_engine import Scenario as S\nclass A(S): ...\n", ["A"]),
        ("from chaperon_engine import *\nclass A(Scenario): ...\n", ["A"]),
        ("import chaperon_engine\nclass A(chaperon_engine.Scenario): ...\n", ["A"]),
        ("import chaperon_engine as ce\nclass A(ce.LoadTest): ...\n", ["A"]),
        ("from chaperon_engine.definition.model import Scenario\nclass A(Scenario): ...\n", ["A"]),
        ("try:\n    from chaperon_engine import Scenario\nexcept ImportError:\n    raise\n"
         "if True:\n    class A(Scenario): ...\n", ["A"]),
        ("class Scenario: ...\nclass A(Scenario): ...\n", []),
        ("import other\nclass A(other.Scenario): ...\n", []),
        ("LoadTest = 5\n", []),
        ("x = 1\n", []),
        ("", []),
        (HEAD + "class A(A): ...\n", []),
    ],
)  # fmt: skip
def test_classes_are_found_by_their_bases(source: str, found: list[str]) -> None:
    assert [entry.name for entry in read_source(source.encode())] == found


def test_a_load_test_shows_what_the_one_it_builds_on_says() -> None:
    (entry,) = read_source(
        (HEAD + "class A(Scenario): ...\nclass Base(LoadTest):\n    scenarios = [A]\n"
         "    services = {'a': Service('http://h')}\n"
         "class T(Base):\n    services = {'b': Service('http://i')}\n").encode()
    )  # fmt: skip
    assert (entry.scenarios, entry.services) == (["A"], {"b": "http://i"})


@pytest.mark.parametrize(
    ("source", "doc"),
    [
        (HEAD + "class A(Scenario):\n    '''Own.'''\n", "Own."),
        ("'''File.'''\n" + HEAD + "class A(Scenario): ...\n", "File."),
        (HEAD + "class A(Scenario):\n    '''Walk.'''\nclass T(LoadTest):\n    scenarios = [A]\n",
         "Walk."),
        (HEAD + "class A(Scenario):\n    '''a\n    b\\x1b'''\n", "a b\\x1b"),
        (HEAD + "class A(Scenario): ...\n", ""),
    ],
)  # fmt: skip
def test_the_doc_of_an_entry_comes_from_the_nearest_place(source: str, doc: str) -> None:
    (entry,) = read_source(source.encode())
    assert entry.doc == doc


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (HEAD + "class A(Scenario:\n", 2, "line 2: syntax error: invalid syntax"),
        ("Scenario\0", 0, "syntax error: source code string cannot contain null bytes"),
        ("Scenario = " + "(" * 300, 1, "line 1: syntax error: too many nested parentheses"),
        ("Scenario" + "#" * module.MAX_SOURCE_BYTES, 0, "the file is larger than 1 MiB"),
    ],
    ids=["syntax", "null", "nested", "huge"],
)
def test_a_file_that_cannot_be_read_is_an_entry_with_its_problem(
    bench: Workbench, content: str, line: int, problem: str
) -> None:
    bench.write(content)
    (entry,) = discover([bench.folder])
    assert (entry.name, entry.line, entry.problem) == ("load", line, problem)


def test_very_deep_source_is_an_entry_with_a_problem(bench: Workbench) -> None:
    bench.write("Scenario = " + "-" * 100_000 + "1\n")
    (entry,) = discover([bench.folder])
    assert entry.problem.endswith(("nested too deeply", "too many nested parentheses"))


def test_questionable_escapes_in_a_file_print_no_warning(bench: Workbench) -> None:
    bench.write(HEAD + "PATTERN = '\\d'\nclass A(Scenario): ...\n")
    assert names(bench.folder) == [("load.py", "A")]


def test_pipes_dangling_links_and_folders_called_py_do_no_harm(bench: Workbench) -> None:
    os.mkfifo(bench.folder / "pipe.py")
    (bench.folder / "gone.py").symlink_to(bench.folder / "nowhere")
    (bench.folder / "folder.py").mkdir()
    bench.write(HEAD + "class A(Scenario): ...\n", "folder.py/in.py")
    found = {Path(entry.file).name: entry.problem for entry in discover([bench.folder])}
    assert found == {
        "gone.py": "the file cannot be read: No such file or directory",
        "in.py": "",
        "pipe.py": "this is not a regular file",
    }


def test_a_loop_of_links_ends_and_a_shared_file_is_listed_once(bench: Workbench) -> None:
    bench.write(HEAD + "class A(Scenario): ...\n", "inner/a.py")
    (bench.folder / "inner" / "back").symlink_to(bench.folder)
    (bench.folder / "again.py").symlink_to(bench.folder / "inner" / "a.py")
    assert names(bench.folder) == [("again.py", "A")]
    assert len(discover([bench.folder / "inner", bench.folder])) == 1


def test_hidden_folders_environments_and_deep_ones_are_left_out(bench: Workbench) -> None:
    text = HEAD + "class A(Scenario): ...\n"
    for name in (".git/a.py", "__pycache__/a.py", "node_modules/a.py", "env/lib/a.py", ".a.py",
                 "1/2/3/4/5/a.py", "1/2/3/4/deep.py"):  # fmt: skip
        bench.write(text, name)
    (bench.folder / "env" / "pyvenv.cfg").touch()
    assert names(bench.folder) == [("deep.py", "A")]


def test_too_many_files_or_folders_are_said(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    for number in range(5):
        bench.write(HEAD + "class A(Scenario): ...\n", f"{number}.py")
    entries = discover([bench.folder])
    assert len(entries) == 4
    assert entries[-1].problem == "only the first 3 files in here are shown"
    monkeypatch.setattr(module, "MAX_FILES", 100)
    monkeypatch.setattr(module, "MAX_FOLDERS", 2)
    for number in range(3):
        bench.write(HEAD + "class A(Scenario): ...\n", f"folder{number}/a.py")
    assert discover([bench.folder])[-1].problem == "only the first 2 folders in here are shown"


def test_entries_are_sorted_by_folder_path_and_line(bench: Workbench) -> None:
    two = HEAD + "class Z(Scenario): ...\nclass A(Scenario): ...\n"
    for name in ("one/b.py", "one/A.py", "one/sub/c.py", "two/a.py"):
        bench.write(two, name)
    found = discover([Folder(bench.folder / "two", "user"), Folder(bench.folder / "one")])
    assert [(os.path.relpath(e.file, bench.folder), e.name, e.origin) for e in found] == [
        ("two/a.py", "Z", "user"), ("two/a.py", "A", "user"),
        ("one/A.py", "Z", "project"), ("one/A.py", "A", "project"),
        ("one/b.py", "Z", "project"), ("one/b.py", "A", "project"),
        ("one/sub/c.py", "Z", "project"), ("one/sub/c.py", "A", "project"),
    ]  # fmt: skip


def test_a_single_file_can_be_asked_for(bench: Workbench) -> None:
    path = bench.write(HEAD + "class A(Scenario): ...\n")
    assert names(path) == [("load.py", "A")]
    (entry,) = discover([bench.write("x", "notes.txt")])
    assert entry.problem == "a scenario file must end in .py"


def test_a_path_that_does_not_exist_is_an_error_unless_it_is_optional(bench: Workbench) -> None:
    missing = bench.folder / "missing"
    error = bench.error(discover, [missing])
    assert (error.message, error.path) == ("there is no such file or folder", str(missing))
    assert discover([Folder(missing, is_optional=True)]) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("l.toml", 'name = "Big"\ndoc = "Much."\nservices.a = "http://h"\n'
         'services.b.base_url = "http://i"\nscenarios = [{scenario = "a.py:A"}, "b.py:B", 5]',
         {"name": "Big", "doc": "Much.", "scenarios": ["A", "B"], "is_load_test": True,
          "services": {"a": "http://h", "b": "http://i"}, "problem": ""}),
        ("l.json", '{"scenarios": []}', {"name": "l", "is_load_test": True}),
        ("l.json", '{"scenarios": 5}', None),
        ("l.json", '{"name": "package"}', None),
        ("l.json", "broken", None),
        ("l.json", '{"scenarios": [}',
         {"name": "l", "line": 1, "problem": "line 1: no valid JSON: Expecting value"}),
    ],
)  # fmt: skip
def test_load_tests_as_data_are_listed_and_other_data_is_not(
    bench: Workbench, name: str, content: str, expected: dict[str, Any] | None
) -> None:
    bench.write(content, name)
    entries = discover([bench.folder])
    if expected is None:
        assert entries == []
    else:
        (entry,) = entries
        assert {key: getattr(entry, key) for key in expected} == expected


def test_the_default_folders_are_the_projects_the_users_and_the_bundled(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAPERON_HOME", str(bench.folder / "home"))
    folders = default_folders(bench.folder)
    assert [(folder.path, folder.origin) for folder in folders] == [
        (bench.folder / "scenarios", "project"),
        (bench.folder / "home" / "scenarios", "user"),
        (bundled_folder(), "bundled"),
    ]
    bench.write(HEAD + "class Mine(Scenario): ...\n", "home/scenarios/mine.py")
    monkeypatch.chdir(bench.folder)
    origins = {entry.name: entry.origin for entry in discover()}
    assert origins["Mine"] == "user"
    assert origins["CheckoutTest"] == "bundled"


@given(st.binary() | st.text().map(lambda text: f"Scenario{text}".encode()))
def test_any_source_is_read_or_refused(source: bytes) -> None:
    with contextlib.suppress(UserError):
        read_source(source)
