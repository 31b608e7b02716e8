"""Try a scenario: one session, once, in a child process, every exchange as an event.

Owns: the child, its time limit, the decoding of what it tells. User code never runs here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncGenerator
from typing import IO

import msgspec

from chaperon_engine.client.describing import child_environment
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible
from chaperon_engine.units import show_duration
from chaperon_engine.worker.trial_events import (
    TrialEvent,
    TrialFinished,
    TrialLine,
    TrialRefused,
)

__all__ = ["TrialEvent", "trial"]

DEFAULT_TIMEOUT_S = 120.0
"""Longest trial unless the request has `max_time_s`."""
LOADING_S = 30.0
"""What the child gets besides: loading the file, ending its session."""
_MAX_LINE_BYTES = 16 * 1024 * 1024
_ERRORS_KEPT = 4096


async def trial(request: LaunchRequest) -> AsyncGenerator[TrialEvent, None]:
    """Run one session of each population of `request` once; its events as they happen.

    The last one is a TrialFinished. `request.max_time_s` bounds the trial, by default 2 minutes.
    Raises UserError when the file cannot be used or does not come to an end. Closing the iterator
    ends the trial.
    """
    limit_s = DEFAULT_TIMEOUT_S if request.max_time_s is None else request.max_time_s
    with tempfile.TemporaryFile() as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "chaperon_engine.worker.trial",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=child_environment(),
            start_new_session=True,
            limit=_MAX_LINE_BYTES,
        )  # fmt: skip
        try:
            await _ask(child, request)
            loop = asyncio.get_running_loop()
            end = loop.time() + limit_s + LOADING_S
            decoder = msgspec.json.Decoder(TrialLine)
            while True:
                try:
                    # Not `wait_for`: before 3.12 it loses an interrupt that comes with a line.
                    async with asyncio.timeout_at(end):
                        line = await _read(child)
                except TimeoutError:
                    raise _too_long(request, limit_s) from None
                if not line:
                    await child.wait()
                    raise _ended(request, child.returncode, errors)
                event = decoder.decode(line)
                if isinstance(event, TrialRefused):
                    raise UserError(event.message, path=event.path, line=event.line)
                yield event
                if isinstance(event, TrialFinished):
                    return
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()


async def _ask(child: asyncio.subprocess.Process, request: LaunchRequest) -> None:
    assert child.stdin is not None
    # A child that dies at once is noticed where its answer is read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(msgspec.json.encode(request))
        await child.stdin.drain()
        child.stdin.close()


async def _read(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None
    return await child.stdout.readline()


def _too_long(request: LaunchRequest, limit_s: float) -> UserError:
    return UserError(
        f"the trial did not end within {show_duration(limit_s + LOADING_S)}: does its code loop "
        "without waiting?",
        path=request.file or None,
    )


def _ended(request: LaunchRequest, code: int | None, errors: IO[bytes]) -> UserError:
    errors.seek(0, 2)
    errors.seek(max(0, errors.tell() - _ERRORS_KEPT))
    last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    return UserError(
        f"the trial ended its process (exit status {code}): {visible(last) or 'without a word'}",
        path=request.file or None,
    )
