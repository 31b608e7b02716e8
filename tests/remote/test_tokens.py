"""Tokens: how they derive, what stands in files, where they are read from."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.errors import UserError
from chaperon_engine.protocol.token import RunSecret, Token, observer_of
from chaperon_engine.remote.tokens import VARIABLE, read_token, write_token

SECRET = RunSecret(bytes(range(32)))
AGENT = SECRET.token("agent")


def test_each_role_of_each_run_has_a_token_of_its_own() -> None:
    other = RunSecret(bytes(32))
    keys = {
        run.token(role).key for run in (SECRET, other) for role in ("agent", "observer", "operator")
    }
    assert len(keys) == 6
    assert all(len(key) == 32 for key in keys)
    assert bytes(range(32)) not in keys


def test_an_operator_can_make_the_observers_token_and_nobody_else_can() -> None:
    assert observer_of(SECRET.token("operator")) == SECRET.token("observer")
    for role in ("agent", "observer"):
        with pytest.raises(ValueError, match="cannot make"):
            observer_of(SECRET.token(role))


def test_a_token_is_not_shown_by_accident() -> None:
    assert AGENT.text not in repr(AGENT)
    assert repr(AGENT.key) not in repr(AGENT)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", AGENT.text[:-1], AGENT.text + "A", AGENT.text.replace("agent", "admin"),
        AGENT.text.replace("-", "_", 1), AGENT.text[:-1] + "\u00e4", AGENT.text + "\n" + AGENT.text,
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UserError, match="is not a token of Chaperon") as caught:
        Token.parse(text)
    assert len(text) < 2 or text not in str(caught.value)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_token_or_a_sentence(text: str) -> None:
    with pytest.raises(UserError):
        Token.parse(text)


def test_a_token_is_written_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    path = write_token(tmp_path, AGENT)
    assert path == tmp_path / "agent.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == AGENT.text + "\n"
    assert read_token(str(path)) == AGENT


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_token_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_token(tmp_path, AGENT)
    path.chmod(mode)
    with pytest.raises(UserError, match="chmod 600"):
        read_token(str(path))


def test_a_token_file_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_token(str(tmp_path / "none"))
    with pytest.raises(UserError, match="Is a directory"):
        read_token(str(tmp_path))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UserError, match="no ordinary file"):
        read_token(str(tmp_path / "pipe"))
    (tmp_path / "wrong").touch(0o600)
    with pytest.raises(UserError, match=r"the token file .*wrong: that is not a token"):
        read_token(str(tmp_path / "wrong"))


def test_a_token_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(AGENT.text + "\nmore\n"))
    assert read_token("-") == AGENT
    with pytest.raises(UserError, match="standard input: that is not a token"):
        read_token("-")


def test_a_token_from_the_environment_is_taken_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, AGENT.text)
    assert read_token(None) == AGENT
    assert VARIABLE not in os.environ
    with pytest.raises(UserError, match="there is no token: give `--token-file"):
        read_token(None)
