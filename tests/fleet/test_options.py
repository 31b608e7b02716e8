"""`chaperon run --fleet`: what is refused, and what a dry run prints."""

from __future__ import annotations

import json
from pathlib import Path

import kubernetes_validate
import pytest

from chaperon_engine.cli.dispatch import main
from chaperon_engine.errors import UserError
from chaperon_engine.fleet.choice import Wish, chosen

LISTEN = ["--listen", "192.0.2.10:7700"]
IMAGE = ["--fleet-image", "registry.example.com/load:1"]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    monkeypatch.setenv("CHAPERON_HOME", str(tmp_path / "home"))
    file = tmp_path / "test.py"
    file.write_text("")

    def called(*arguments: str) -> tuple[int, str, str]:
        code = main(["run", str(file), *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return called


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fleet", "ssh://a"], "--listen HOST:PORT"),
        (["--nodes", "2"], "give --fleet as well"),
        (["--dry-run"], "give --fleet as well"),
        ([*LISTEN, "--fleet-image", "x"], "give --fleet as well"),
        ([*LISTEN, "--fleet", "slurm://x"], "expected dask://"),
        ([*LISTEN, "--fleet", "ssh"], "expected dask://"),
        ([*LISTEN, "--fleet", "kubernetes://x", "--nodes", "1"], "expected dask://"),
        ([*LISTEN, "--fleet", "ssh://a,b", "--nodes", "3"], "--nodes is 3"),
        ([*LISTEN, "--fleet", "ssh://-oProxyCommand=id"], "would be an option"),
        ([*LISTEN, "--fleet", "ssh://a", *IMAGE], "about pods"),
        ([*LISTEN, "--fleet", "ssh://a", "--fleet-cores", "3"], "about pods"),
        ([*LISTEN, "--fleet", "ssh://a", "--fleet-command", "'"], "how Chaperon is called"),
        ([*LISTEN, "--fleet", "ssh://a", "--fleet-command=-x"], "how Chaperon is called"),
        ([*LISTEN, "--fleet", "ssh://a", "--detach"], "leave --detach away"),
        ([*LISTEN, "--fleet", "dask://scheduler:8786"], "without TLS"),
        ([*LISTEN, "--fleet", "dask://127.0.0.1:1", "--fleet-command", "x"], "their own Python"),
        ([*LISTEN, "--fleet", "kubernetes", *IMAGE], "--nodes N"),
        ([*LISTEN, "--fleet", "kubernetes", "--nodes", "2"], "--fleet-image"),
        (["--listen", "0.0.0.0:1", "--fleet", "kubernetes", "--nodes", "2", *IMAGE], "where pods"),
        ([*LISTEN, "--fleet", "ssh://a,b", "--expect", "1"], "--expect is 1"),
        ([*LISTEN, "--fewer-ok"], "say how many attach with --expect N"),
        ([*LISTEN, "--on-loss", "fail"], "say how many attach with --expect N"),
        ([*LISTEN, "--workers", "0"], "--listen and --expect"),
        (["--workers", "0"], "--listen and --expect"),
        (["--tls-ca", "ca.pem"], "--tls-ca is about other machines: give --listen"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(
    run, arguments: list[str], sentence: str
) -> None:  # type: ignore[no-untyped-def]
    code, out, errors = run(*arguments)
    assert code == 104
    assert sentence in errors
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert not out


def test_a_dry_run_of_ssh_prints_the_commands(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(
        *LISTEN, "--fleet", "ssh://load1,ann@load2:2222", "--dry-run",
        "--fleet-command", "'my venv/bin/chaperon'",
    )  # fmt: skip
    assert code == 0
    comment, first, second = out.splitlines()
    assert "standard input" in comment
    assert " -- load1 " in first
    assert " -p 2222 -- ann@load2 " in second
    assert "worker join 192.0.2.10:7700 --run RUN --pin sha256:PIN --name load1" in first
    assert "--token-file -" in first
    assert "my venv/bin/chaperon" in first
    assert "BatchMode=yes" in first


def test_a_dry_run_of_dask_says_what_dask_would_get(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(*LISTEN, "--fleet", "dask://tls://s:8786", "--nodes", "4", "--dry-run")
    assert code == 0
    assert "on 4 hosts of tls://s:8786" in out
    assert "chaperon_engine.fleet.task.run_agent(192.0.2.10:7700, RUN" in out
    assert "***" in out


def test_a_dry_run_of_kubernetes_prints_manifests_that_the_api_takes(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(
        *LISTEN, "--fleet", "kubernetes", "--nodes", "3", *IMAGE, "--fleet-cores", "4", "--dry-run"
    )
    assert code == 0
    items = json.loads(out)["items"]
    for item in items:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
    (container,) = items[-1]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "4"


def test_a_dry_run_starts_nothing(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run(*LISTEN, "--fleet", "ssh://load1", "--dry-run")
    assert not (tmp_path / "home").exists()


def test_nodes_takes_the_first_of_the_hosts() -> None:
    fleet = chosen(Wish(fleet="ssh://a,b,c", host="192.0.2.10", nodes=2))
    assert fleet.agents == 2


@pytest.mark.parametrize("image", ["", "-x", "a b"])
def test_an_image_is_a_word(image: str) -> None:
    with pytest.raises(UserError, match="--fleet-image"):
        chosen(Wish(fleet="kubernetes", host="192.0.2.10", nodes=2, image=image))
