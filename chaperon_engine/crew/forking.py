"""The workers' processes: forked before there is a loop or a thread, and reaped.

Owns: what a child inherits and what it must not. Must not know: what a worker does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.platform import die_with_parent, pin
from chaperon_engine.worker.process import WorkerSetup, run_worker

MAX_TRACE_BYTES = 64 * 1024


@dataclass
class WorkerHandle:
    """A worker as its parent holds it."""

    number: int
    pid: int
    core: int | None
    commands: socket.socket
    """The coordinator's end of the socketpair to the worker."""
    frames: socket.socket
    """The coordinator's end of the socketpair from the worker."""
    trace_descriptor: int
    """File into which the worker writes where it is, at SIGUSR1."""
    exit_status: int | None = field(default=None)
    """Set by `reap`; negative is the number of the signal."""

    def reap(self) -> str | None:
        """How the process ended, in words; None while it lives."""
        if self.exit_status is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found == 0:
                return None
            self.exit_status = os.waitstatus_to_exitcode(status)
        if self.exit_status < 0:
            number = -self.exit_status
            name = signal.Signals(number).name if number in set(signal.Signals) else ""
            return f"killed by signal {number} ({name})" if name else f"killed by signal {number}"
        return f"exit status {self.exit_status}"

    def kill(self) -> None:
        """SIGKILL; nothing when it is gone already."""
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def ask_where(self) -> None:
        """Make the process write into its trace file where it is."""
        if self.exit_status is None:
            os.ftruncate(self.trace_descriptor, 0)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)

    def trace(self) -> str:
        """What the process wrote since `ask_where`."""
        size = os.fstat(self.trace_descriptor).st_size
        start = max(0, size - MAX_TRACE_BYTES)
        return os.pread(self.trace_descriptor, MAX_TRACE_BYTES, start).decode(errors="replace")


def fork_workers(cores: Sequence[int | None], counters: RunCounters) -> list[WorkerHandle]:
    """One worker for each element of `cores`: the core to be pinned to, or None."""
    pairs = [(socket.socketpair(), socket.socketpair()) for _ in cores]
    ends = [end for commands, frames in pairs for end in (*commands, *frames)]
    handles: list[WorkerHandle] = []
    parent = os.getpid()
    for number, core in enumerate(cores):
        (our_commands, their_commands), (our_frames, their_frames) = pairs[number]
        with tempfile.TemporaryFile() as file:
            trace = os.dup(file.fileno())
        os.set_blocking(trace, True)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            # Otherwise a worker would keep another's socket open and hide that it is gone.
            for end in ends:
                if end is not their_commands and end is not their_frames:
                    end.close()
            setup = WorkerSetup(
                worker=number,
                core=core,
                commands=their_commands,
                frames=their_frames,
                counters=counters.worker(number),
                trace_descriptor=trace,
            )
            _be_worker(setup, parent)
        handles.append(WorkerHandle(number, pid, core, our_commands, our_frames, trace))
    for (_, their_commands), (_, their_frames) in pairs:
        their_commands.close()
        their_frames.close()
    return handles


def _be_worker(setup: WorkerSetup, parent: int) -> None:
    """Never returns."""
    status = 70
    try:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(71)
        # The engine decides what a signal to the process group means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # What user code prints goes through sys.stdout to the run's log; programs that it starts
        # would write to the engine's log without bound.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        if setup.core is not None:
            pin(setup.core)
        run_worker(setup)
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        with contextlib.suppress(Exception):
            sys.__stderr__.flush()  # type: ignore[union-attr]
        os._exit(status)
