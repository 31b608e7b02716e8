"""Exporters from a package that pip installs, used through the command line."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chaperon_engine.export.json import encode_report
from tests.export.canned import report

ROOT = Path(__file__).parents[2]

SOURCE = '''
from chaperon_engine import Exporter, ExportError, ExportOption, FileExporter


class Shout(FileExporter):
    """A line in capital letters."""

    summary = "the name, loudly"
    extension = "txt"
    options = (ExportOption("mark", "at the end", "!"),)

    def encode(self, report, options):
        return (report.run.load_test.upper() + options["mark"]).encode()


class Pager(Exporter):
    """Tells somebody."""

    summary = "a message to whoever is on duty"
    destination = "NUMBER"
    options = (
        ExportOption("pin", "of the pager", secret=True, env="PAGER_PIN"),
        ExportOption("loud", "how loud"),
    )

    def check(self, output):
        if not output.destination.isdigit():
            raise ExportError(f"the pager's number is {output.destination!r}, expected digits")

    def export(self, report, output):
        if output.options["pin"] != "4711":
            raise ExportError(f"the pager does not know the pin {output.options['pin']}")
        return f"pager {output.destination}"


class Crash(FileExporter):
    extension = "txt"

    def encode(self, report, options):
        raise KeyError("no such thing")


class Half(FileExporter):
    extension = "txt"


class Nothing:
    pass
'''

ENTRY_POINTS = """[chaperon.exporters]
shout = loud_exporters:Shout
pager = loud_exporters:Pager
crash = loud_exporters:Crash
half = loud_exporters:Half
nothing = loud_exporters:Nothing
gone = no_such_module:X
"""


def make_wheel(folder: Path) -> Path:
    """A wheel as a build tool makes it: there is no network to fetch one from."""
    info = "loud_exporters-1.0.dist-info"
    files = {
        "loud_exporters.py": SOURCE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: loud-exporters\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": ENTRY_POINTS,
    }
    record = ""
    path = folder / "loud_exporters-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{name},sha256={digest.decode().rstrip('=')},{len(text.encode())}\n"
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip put the package."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", folder / "site", make_wheel(folder)],
        check=True,
        timeout=50,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )
    return folder / "site"


def chaperon(site: Path, home: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    (home / "run").mkdir(exist_ok=True)
    (home / "run" / "run.json").touch()
    (home / "run" / "report.json").write_bytes(encode_report(report()))
    done = subprocess.run(
        [sys.executable, "-m", "chaperon_engine.cli", *args],
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}", **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_its_documents_are_written_with_its_options(site: Path, home: Path) -> None:
    args = ("report", "./run", "--out", "shout=x.txt", "--out-option", "shout.mark=?")
    done = chaperon(site, home, *args)
    assert done.returncode == 0, done.stderr
    assert (home / "x.txt").read_text() == "CHECKOUTTEST?"


def test_it_may_send_elsewhere_and_take_secrets_from_the_environment(
    site: Path, home: Path
) -> None:
    done = chaperon(site, home, "report", "./run", "--out", "pager=12", PAGER_PIN="4711")
    assert done.returncode == 0, done.stderr
    assert "pager       pager 12" in done.stdout
    wrong = chaperon(site, home, "report", "./run", "--out", "pager=12", PAGER_PIN="9999")
    assert wrong.returncode == 1
    assert "does not know the pin ***; the report is kept" in wrong.stderr
    refused = chaperon(site, home, "report", "./run", "--out", "pager=me")
    assert refused.returncode == 104
    assert "'me', expected digits" in refused.stderr


def test_its_formats_stand_in_the_help_with_what_is_wrong_with_some(site: Path, home: Path) -> None:
    shown = chaperon(site, home, "report", "--help").stdout
    assert "shout[=PATH]" in shown
    assert "mark                at the end (default !)" in shown
    assert "pager=NUMBER" in shown
    assert "pin-env             environment variable that has the pin (default PAGER_PIN)" in shown
    assert "No module named" in shown


@pytest.mark.parametrize(
    ("format", "part"),
    [
        ("gone", "the exporter 'gone' (no_such_module:X) cannot be loaded: ModuleNotFoundError"),
        ("half", "the exporter 'half' (loud_exporters:Half) cannot be loaded: TypeError"),
        ("nothing", "the exporter 'nothing' (loud_exporters:Nothing) is no exporter"),
        ("shoot", "there is no export format 'shoot'; did you mean shout?"),
    ],
)
def test_broken_ones_are_named_in_one_sentence_before_the_run(
    site: Path, home: Path, format: str, part: str
) -> None:
    done = chaperon(site, home, "report", "./run", "--out", format, "--out", "csv=x.csv")
    assert done.returncode == 104
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (home / "x.csv").exists()


def test_one_that_fails_leaves_the_others_alone(site: Path, home: Path) -> None:
    done = chaperon(site, home, "report", "./run", "--out", "crash=a", "--out", "csv=x.csv")
    assert done.returncode == 1
    assert "chaperon: crash: the exporter 'crash' failed: KeyError: 'no such thing'" in done.stderr
    assert (home / "x.csv").exists()
    assert "CheckoutTest  complete" in done.stdout
