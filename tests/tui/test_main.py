"""`chaperon-tui` from the outside: arguments, and what happens without a terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chaperon_engine import UserError
from chaperon_tui.main import main, request_for

COMMAND = [sys.executable, "-c", "import sys; from chaperon_tui.main import main; sys.exit(main())"]


def run(*arguments, timeout=30, **settings):
    return subprocess.run(
        [*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout, check=False, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [[], ["attach"], ["queue"], ["http://127.0.0.1/"]])
def test_without_a_terminal_it_says_what_to_use_instead(arguments):
    done = run(*arguments)
    assert done.returncode == 104
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "chaperon run" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--nonsense"], "--nonsense"), (["a.py", "b"], "one argument too many")],
)
def test_wrong_arguments_are_one_sentence(arguments, word, capsys):
    assert main(arguments) == 104
    captured = capsys.readouterr()
    assert word in captured.err
    assert len(captured.err.splitlines()) == 1


def test_help_names_every_way_to_start(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("attach", "queue", "--demo", "FILE:NAME", "http://"):
        assert word in text


def test_without_a_terminal_no_toolkit_is_loaded():
    code = (
        "import sys; from chaperon_tui.main import main; main([]); "
        "print([m for m in sys.modules if m.split('.')[0] == 'textual'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_file_a_name_in_it_and_a_url_become_requests(tmp_path):
    path = tmp_path / "checkout.py"
    path.write_text("")
    assert request_for(str(path)).file == str(path)
    assert request_for(f"{path}:CheckoutTest").name == "CheckoutTest"
    assert any("127.0.0.1:9" in text for text in request_for("http://127.0.0.1:9/x").overrides)
    with pytest.raises(UserError, match="does not exist"):
        request_for(str(tmp_path / "missing.py"))


@pytest.mark.e2e
def test_the_demo_without_a_terminal_prints_its_summary_and_its_files(tmp_path):
    environment = {**os.environ, "CHAPERON_HOME": str(tmp_path / "home")}
    done = run("--demo", timeout=55, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "requests/s" in done.stdout
    assert "Load generator" in done.stdout
    written = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines()
               if line.split(maxsplit=1)[:1] in (["csv"], ["json"], ["report"])]  # fmt: skip
    assert len(written) == 3
    assert all((tmp_path / path).is_file() for path in written)
