"""`python -m chaperon_engine.definition.describe`: what a launch would do, in its own process.

A LaunchRequest as JSON on standard input; on standard output `{"plan": ...}` or
`{"error": {"message", "path", "line"}}`, exit code 0 in both cases. The scenario file is executed
here, so what it prints goes to standard error, it has no input, and this process ends by itself
even when nobody waits for it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys

import msgspec

from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.errors import UserError

MAX_REQUEST_BYTES = 16 * 1024 * 1024
MAX_CPU_S = 60
MAX_LIFE_S = 120


class DescribeError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no plan. One sentence per line."""

    message: str
    path: str | None = None
    line: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What describe writes: one of the two."""

    plan: Plan | None = None
    error: DescribeError | None = None


def answer(request: bytes) -> Answer:
    """The plan for an encoded LaunchRequest, or why there is none. Never raises."""
    from chaperon_engine.definition.resolve import resolve

    try:
        if len(request) > MAX_REQUEST_BYTES:
            raise UserError("the launch request is larger than 16 MiB")
        launch = msgspec.json.decode(request, type=LaunchRequest)
        return Answer(plan=resolve(launch).plan)
    except msgspec.MsgspecError as error:
        return Answer(error=DescribeError(message=f"the launch request is not valid: {error}"))
    except UserError as error:
        return Answer(error=DescribeError(message=error.message, path=error.path, line=error.line))
    except Exception as error:
        # A fault of ours: the person gets a sentence, standard error has the traceback.
        sys.excepthook(type(error), error, error.__traceback__)
        message = f"the file could not be described ({type(error).__name__}: {error})"
        return Answer(error=DescribeError(message=message))


def main() -> None:
    """Answer the one request on standard input and end."""
    _limit_life()
    request = sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
    out = os.dup(1)  # Not inherited by anything that the scenario file starts.
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    reply = msgspec.json.encode(answer(request))
    with open(out, "wb") as stream:
        stream.write(reply)
    for stream_of_user in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream_of_user.flush()
    # Threads and exit handlers of the scenario file must not keep the answer waiting.
    os._exit(0)


def _limit_life() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(MAX_LIFE_S)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
