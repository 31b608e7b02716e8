"""What dask runs on a host: start an agent as a process of its own and wait for its end.

This function travels by its name; it takes and answers nothing but strings. It never raises: what
dask tells of an error would show the arguments, one of which is a token. Must not know the run.

The agent outlives the dask worker on purpose: it belongs to the run, which it leaves by itself when
that is over or cannot be reached any more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

Wish = Literal["wait", "leave", "end"]

POLL_S = 0.5
"""How often to look whether dask wants the task no more."""
LEAVE_S = 30.0
"""From a graceful end to an abort, and from that to the kill."""
MAX_SAID = 4096
LEFT = "left"
"""The answer instead, when the dask worker closes and the agent goes on."""
_TOKEN_VARIABLE = "CHAPERON_TOKEN"


def run_agent(address: str, run_id: str, pin: str, name: str, token: str) -> str:
    """Join the run as `name` and see it through; the answer is the exit status, a space, and the
    agent's last words."""
    try:
        return _run_agent(address, run_id, pin, name, token)
    except Exception as error:
        return f"1 the agent cannot be started: {type(error).__name__}"


def _run_agent(address: str, run_id: str, pin: str, name: str, token: str) -> str:
    words = [
        "worker", "join", address, "--run", run_id, "--pin", pin, "--name", name,
        "--token-file", "-",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != _TOKEN_VARIABLE}
    wish = _wish_of_dask()
    # A file and no pipe: nobody may be there to read when the dask worker has gone.
    with tempfile.TemporaryFile() as said:
        agent = subprocess.Popen(
            [sys.executable, "-P", "-m", "chaperon_engine.cli", *words],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
        assert agent.stdin is not None
        with suppress(OSError):
            agent.stdin.write(f"{token}\n".encode())
            agent.stdin.close()
        status = _wait(agent, wish)
        if status is None:
            return LEFT
        said.seek(max(0, said.seek(0, os.SEEK_END) - MAX_SAID))
        lines = said.read().decode(errors="replace").strip().splitlines()
    return f"{status} {lines[-1] if lines else ''}"


def _wait(agent: subprocess.Popen[bytes], wish: Callable[[], Wish]) -> int | None:
    """The agent's exit status; None when it is to be left alone."""
    while wish() == "wait":
        with suppress(subprocess.TimeoutExpired):
            return agent.wait(POLL_S)
    if wish() == "leave":
        return None
    for end in (agent.terminate, agent.terminate, agent.kill):
        end()
        with suppress(subprocess.TimeoutExpired):
            return agent.wait(LEAVE_S)
    return agent.wait()


def _wish_of_dask() -> Callable[[], Wish]:
    """What dask wants of the task now; it does not end threads itself."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wish() -> Wish:
        if worker.status.name not in ("running", "paused"):
            # It closes, perhaps because its scheduler has gone, and waits for this thread.
            return "leave"
        task = worker.state.tasks.get(key)
        return "end" if task is None or task.state == "cancelled" else "wait"

    return wish
