"""Find scenario files, and ask a short-lived child process what one holds: user code never runs
here.

Owns: the child, its time limit, the translation of its answer. Must not know how files are loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaperon_engine.definition import discover as sources
from chaperon_engine.definition.plan import Entry, LaunchRequest, Plan
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration

INSIDE = "CHAPERON_INSIDE"
"""Environment variable that is set where user code is loaded: `run()` refuses to start there."""

_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class _Problem(msgspec.Struct):
    message: str
    path: str | None = None
    line: int | None = None


class _Answer(msgspec.Struct):
    plan: Plan | None = None
    error: _Problem | None = None


def discover(folders: Sequence[Path] | None = None) -> list[Entry]:
    """Load tests and scenarios found in the sources below `folders`; no code of them runs.

    Default: ./scenarios, the user's own folder and the bundled ones.
    """
    return sources.discover(folders)


async def describe(request: LaunchRequest, *, timeout_s: float = 15) -> Plan:
    """The plan that `request` resolves to. Raises UserError (also when loading the file takes
    longer than `timeout_s`), EngineError."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "chaperon_engine.definition.describe",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(),
        start_new_session=True,
        limit=_MAX_ANSWER_BYTES,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await child.communicate(msgspec.json.encode(request))
    except TimeoutError:
        raise UserError(
            f"loading the file took longer than {show_duration(timeout_s)}: does it loop or wait "
            "at import?",
            path=request.file or None,
        ) from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return _read_answer(request, output, errors, child.returncode)


def child_environment() -> dict[str, str]:
    """The environment of processes that load user code."""
    return {**os.environ, INSIDE: "1"}


def _read_answer(request: LaunchRequest, output: bytes, errors: bytes, code: Any) -> Plan:
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.MsgspecError:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise UserError(
            f"loading the file ended the process (exit status {code}): "
            f"{visible(last) or 'without a word'}",
            path=request.file or None,
        ) from None
    if answer.error is not None:
        raise UserError(
            answer.error.message, path=answer.error.path, line=answer.error.line
        )  # the child has made it visible already
    if answer.plan is None:
        raise EngineError("describe gave neither a plan nor an error")
    return answer.plan
