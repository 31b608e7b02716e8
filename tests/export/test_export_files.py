"""Where exports are written, and that they are there whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaperon_engine import export
from chaperon_engine.errors import UserError
from chaperon_engine.export.files import Destination, safe_name, write_file
from tests.export.canned import HOSTILE, report

STEM = "nightly-20261121T205716Z"


def write(*args: Any, **kwargs: Any) -> Path:
    return Path(export.write(*args, **kwargs))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_default_path_has_date_load_test_tag_and_time(tmp_path: Path) -> None:
    path = write(report(), "csv", folder=tmp_path)
    assert path == tmp_path / "2026-11-21" / "CheckoutTest" / f"{STEM}.csv"


def test_config_and_scenarios_lie_beside_the_default_path(tmp_path: Path) -> None:
    path = write(report(), "json", folder=tmp_path)
    config = json.loads(path.with_name(f"{STEM}.config.json").read_text())
    scenarios = json.loads(path.with_name(f"{STEM}.scenarios.json").read_text())
    assert config == {"timeout": 30, "config": {"token": "***"}}
    assert [population["name"] for population in scenarios] == ["buyers"]


def test_all_formats_of_a_run_share_their_stem_and_companions(tmp_path: Path) -> None:
    for format in ("csv", "json", "timeline"):
        write(report(), format, folder=tmp_path)
    assert {Path(name).name for name in names(tmp_path)} == {
        f"{STEM}.csv",
        f"{STEM}.json",
        f"{STEM}.timeline.csv",
        f"{STEM}.config.json",
        f"{STEM}.scenarios.json",
    }


def test_the_default_path_never_replaces_a_file(tmp_path: Path) -> None:
    first = write(report(), "csv", folder=tmp_path)
    first.write_text("mine")
    second = write(report(), "csv", folder=tmp_path)
    assert second.name == f"{STEM}-2.csv"
    assert first.read_text() == "mine"


def test_a_run_of_another_config_in_the_same_second_gets_names_of_its_own(tmp_path: Path) -> None:
    write(report(), "csv", folder=tmp_path)
    other = report()
    other.run.config = {"timeout": 31}
    path = write(other, "json", folder=tmp_path)
    assert path.name == f"{STEM}-2.json"
    assert json.loads(path.with_name(f"{STEM}-2.config.json").read_text()) == {"timeout": 31}


def test_an_explicit_path_is_replaced_and_stands_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.csv"
    target.parent.mkdir()
    target.write_text("old")
    assert write(report(), "csv", target) == target
    assert target.read_text().startswith("kind,")
    assert names(tmp_path) == ["new/out.csv"]


def test_an_explicit_folder_gets_a_named_file(tmp_path: Path) -> None:
    assert write(report(), "csv", tmp_path).name == f"{STEM}.csv"
    assert write(report(), "csv", f"{tmp_path}/deep/").parent == tmp_path / "deep"


@pytest.mark.parametrize("text", [*HOSTILE, "../../etc/passwd", "/", "..", ".hidden", "a/b", "con"])
def test_names_of_others_make_safe_file_names(text: str, tmp_path: Path) -> None:
    name = safe_name(text)
    assert name
    assert len(name.encode()) <= 100
    assert not name.startswith((".", "-"))
    assert all(char.isalnum() or char in "-_." for char in name)
    run = report()
    run.run.load_test = run.run.tag = text
    path = write(run, "csv", folder=tmp_path)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert len(path.relative_to(tmp_path).parts) == 3


def test_nothing_is_left_of_a_document_that_fails_halfway(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(export.ExportError):
        write_file(broken(), Destination(target))
    assert names(tmp_path) == ["out.csv"]
    assert target.read_text() == "before"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(export.ExportError) as caught:
        write(report(), "csv", tmp_path / "file" / "out.csv")
    assert isinstance(caught.value, UserError)
    assert str(caught.value).startswith(f"cannot write {tmp_path}/file/out.csv: ")


_FULL = """
import resource, sys
from chaperon_engine import export
from tests.export.canned import report
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    export.write(report(), "json", sys.argv[1])
except export.ExportError as error:
    print(error)
"""


def _write_in_child(path: Path, how: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(path), how],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_file_beyond_the_limit_is_one_sentence(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE is not None
    message = _write_in_child(tmp_path / "r.json", "limit")
    assert message.startswith(f"cannot write {tmp_path}/r.json: the file is larger than")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
        timeout=10,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        message = _write_in_child(tmp_path / "r.json", "disk")
        left = names(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True, timeout=10)
    assert message == (
        f"cannot write {tmp_path}/r.json: the disk is full; free some space or choose another "
        "path, the run's own report is not touched\n"
    )
    assert left == []


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(export.ExportError, match="no export format 'jsn'; did you mean json"):
        export.find("jsn")
    with pytest.raises(export.ExportError, match="there are csv, influxdb, json, s3, timeline"):
        export.find("nothing like it")
