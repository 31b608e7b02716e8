"""The built wheel, installed into an environment of its own and used from another folder."""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it."""

    wheel: Path
    bin: Path
    site: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, "CHAPERON_HOME": str(self.folder / "home")}

    def __call__(self, name: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / name), *args],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Builds the wheel without a network and installs it into a new environment.

    With CI=true its dependencies are installed as a user would; else they are those of the
    environment that the tests run in, so that no network is needed.
    """
    base = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(base)]
    _run([*build, str(ROOT)])
    (wheel,) = base.glob("*.whl")
    environment = base / "env"
    venv.create(environment, with_pip=False, symlinks=True)
    paths = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    if os.environ.get("CI") == "true":
        _run([*pip, "install", "--quiet", str(wheel)])
    else:
        found = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "dependencies.pth").write_text("\n".join(found or site.getsitepackages()))
        _run([*pip, "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel)])
    folder = base / "elsewhere"
    folder.mkdir()
    return Installed(wheel, environment / "bin", packages, folder)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def target(installed: Installed) -> Iterator[str]:
    """The bundled target, served by the installed command."""
    process = subprocess.Popen(
        [str(installed.bin / "chaperon"), "target", "--port", "0"],
        cwd=installed.folder,
        env=installed.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Target at "), line
    yield line.split()[2]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def test_the_wheel_holds_both_packages_scenarios_and_types(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    assert {"chaperon_engine/py.typed", "chaperon_tui/py.typed"} <= names
    ours = {path.name for path in (ROOT / "scenarios").glob("*.py")}
    assert ours
    assert {f"chaperon_engine/bundled/{name}" for name in ours} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "chaperon_engine",
        "chaperon_tui",
    }
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_styles_of_the_user_interface_are_in_the_wheel(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    styles = {str(path.relative_to(ROOT)) for path in (ROOT / "chaperon_tui").rglob("*.tcss")}
    assert styles <= names


def test_the_installed_code_is_what_runs(installed: Installed) -> None:
    code = "import chaperon_engine; print(chaperon_engine.__file__)"
    done = installed("python", "-c", code)
    assert done.stdout.startswith(str(installed.site)), done.stdout + done.stderr


def test_exporters_are_found_through_their_entry_points(installed: Installed) -> None:
    code = (
        "from importlib.metadata import entry_points\n"
        "points = entry_points(group='chaperon.exporters')\n"
        "print(sorted(point.name for point in points if point.load()))"
    )
    formats = ["csv", "influxdb", "json", "s3", "timeline"]
    assert installed("python", "-c", code).stdout == f"{formats}\n"


def test_list_shows_the_bundled_scenarios(installed: Installed) -> None:
    done = installed("chaperon", "list")
    assert done.returncode == 0, done.stderr
    assert "Bundled" in done.stdout
    assert "hello.py" in done.stdout


def test_quick_runs_from_another_folder_and_exports(installed: Installed, target: str) -> None:
    done = installed("chaperon", "quick", f"{target}/", "-n", "200", "--out", "csv")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Requests    200 " in done.stdout
    assert list((installed.folder / "results").rglob("*.csv"))


def test_a_bundled_scenario_runs_from_another_folder(installed: Installed, target: str) -> None:
    hello = installed.site / "chaperon_engine" / "bundled" / "hello.py"
    done = installed(
        *("chaperon", "run", str(hello), "--duration", "1s", "--set", f"base_url={target}")
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "complete" in done.stdout
