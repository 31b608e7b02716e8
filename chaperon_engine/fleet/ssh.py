"""Agents through the system's `ssh`: one process of it for each host.

Owns: these processes, from their start to their end. The agent on the other side belongs to the
run, not to the connection: when only ssh breaks it goes on, and when the run is over it ends.

The token goes over standard input; arguments can be read by every user of both machines.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from chaperon_engine.errors import UserError
from chaperon_engine.fleet.addresses import Host
from chaperon_engine.fleet.order import Order
from chaperon_engine.fleet.protocol import Ended, Happening, how_it_ended
from chaperon_engine.text import visible

CONNECT_S = 15
KILL_S = 2.0
MAX_SAID = 4096
"""Bytes of the last words of a host that are kept."""
SSH_FAILED = 255
"""Exit status of ssh for a failure of its own."""
NOT_FOUND = 127
"""Exit status of a shell that does not know the command."""


class SshFleet:
    """One agent on each host."""

    is_watched = True
    start_timeout_s: float | None = None

    def __init__(self, hosts: Sequence[Host], command: Sequence[str]):
        """`command`: how Chaperon is called there."""
        self._hosts = hosts
        self._command = command
        self._processes: list[asyncio.subprocess.Process] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def agents(self) -> int:
        """One each."""
        return len(self._hosts)

    def plan(self, order: Order) -> str:
        """See `protocol.Fleet`."""
        lines = ["# each with a token of its own on its standard input"]
        lines += [shlex.join(self._words(host, order)) for host in self._hosts]
        return "\n".join(lines)

    async def prepare(self) -> None:
        """See `protocol.Fleet`."""
        if shutil.which("ssh") is None:
            raise UserError("--fleet ssh:// needs the command `ssh`, which is not installed here")

    async def place(self, order: Order, report: Callable[[Happening], None]) -> None:
        """See `protocol.Fleet`."""
        for host in self._hosts:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._words(host, order),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    # Ctrl-C is for the run, which ends its agents gracefully.
                    start_new_session=True,
                )
            except OSError as error:
                raise UserError(f"ssh cannot be started: {error.strerror}") from None
            self._processes.append(process)
            follow = self._follow(host, process, order.secret(host.name), report)
            self._tasks.append(asyncio.create_task(follow))

    async def close(self, patience_s: float) -> None:
        """See `protocol.Fleet`."""
        await self._until_gone(patience_s)
        for kill in (False, True):
            for process in self._processes:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill() if kill else process.terminate()
            await self._until_gone(KILL_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until_gone(self, wait_s: float) -> None:
        waiting = [task for task in self._tasks if not task.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=wait_s)

    def _words(self, host: Host, order: Order) -> list[str]:
        port = [] if host.port is None else ["-p", str(host.port)]
        remote = shlex.join([*self._command, *order.words(host.name)])
        return [
            "ssh", "-T", "-x", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}",
            "-o", "ServerAliveInterval=5", *port, "--", host.destination, remote,
        ]  # fmt: skip

    async def _follow(
        self,
        host: Host,
        process: asyncio.subprocess.Process,
        secret: str,
        report: Callable[[Happening], None],
    ) -> None:
        assert process.stdin is not None
        assert process.stderr is not None
        began_at = time.monotonic()
        said = b""
        with suppress(OSError):  # a host that cannot be reached takes nothing
            process.stdin.write(f"{secret}\n".encode())
            await process.stdin.drain()
            process.stdin.close()
        with suppress(OSError):
            while data := await process.stderr.read(MAX_SAID):
                said = (said + data)[-MAX_SAID:]
        status = await process.wait()
        report(Ended(host.name, _reason(status, said, time.monotonic() - began_at), status == 0))


def _reason(status: int, said: bytes, lasted_s: float) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    last = visible(lines[-1].strip(), 500) if lines else ""
    if status == SSH_FAILED:
        return f"ssh failed: {last}" if last else "ssh failed without a word"
    if status == NOT_FOUND and lasted_s < CONNECT_S:
        return f"{last or 'no such command'} (--fleet-command says how Chaperon is called there)"
    return f"ssh was {how_it_ended(status, last)}" if status < 0 else how_it_ended(status, last)
