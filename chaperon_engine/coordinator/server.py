"""Viewers: the unix socket in the run's directory, and links to other machines.

Owns: who may connect and how many, leases, and what all viewers are told. What one viewer gets is
in `viewer`. Must not know how a snapshot is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from chaperon_engine.coordinator.viewer import (
    HELLO_TIMEOUT_S,
    Allowance,
    RunView,
    Viewer,
    ViewerRole,
    Wire,
)
from chaperon_engine.coordinator.wires import LinkWire, UnixWire
from chaperon_engine.protocol.lease import Leases
from chaperon_engine.protocol.messages import Gathering, Hello, Refused, Welcome
from chaperon_engine.remote.link import ViewerLink

MAX_CLIENTS = 64
"""Viewers on this host."""
MAX_REMOTE = 32
"""Viewers on other machines: each costs processor time that steering and agents need as well."""
FAREWELL_S = 5.0
"""How long viewers have to take the last snapshot and close."""
SUBSCRIBE_S = 1.0
"""How long those have of it who are there and have not yet said what they look at."""
LINGER_S = 15.0
"""How long beyond that the engine stays for viewers elsewhere whose connection broke. They dial at
least every 5 s; one that hears nothing and was not told so notices it within 19 s."""
RECENTLY_S = 30.0
"""Those that have been away for longer are not waited for."""


class ClientServer:
    """Speaks with all viewers of one run."""

    def __init__(self, run: RunView, leases: Leases, now: Callable[[], float]):
        self._run = run
        self._leases = leases
        self._now = now
        self._viewers: dict[int, Viewer] = {}
        self._numbers = 0
        self._was_answered = asyncio.Event()
        self._answer: Welcome | Refused | None = None
        self._gathering: Gathering | None = None
        self._gathering_elsewhere: Gathering | None = None
        self._server: asyncio.AbstractServer | None = None
        self._path: Path | None = None
        self._is_over = False
        self._is_closed = False
        self._left = asyncio.Event()
        """Somebody has."""
        self._missing: dict[bytes, float] = {}
        """When connections broke of viewers that may return, by instance."""
        # The run's messages wait while its journal is read.
        self._reads_elsewhere = Allowance(burst=4.0, per_s=0.5, left=4.0)

    @property
    def viewers(self) -> int:
        """Connections now."""
        return len(self._viewers)

    async def listen(self, path: Path) -> None:
        """Begin to accept connections at `path`; a stale socket there is replaced."""
        _remove(path)
        loop = asyncio.get_running_loop()
        previous = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(lambda: UnixWire(self), str(path))
        finally:
            os.umask(previous)
        self._path = path

    def receive(self, link: ViewerLink) -> None:
        """Somebody on another machine proved an observer's or operator's token."""
        remote = len(self._viewers) - self._here()
        reason = ""
        if self._is_closed:
            reason = "this run is over"
        elif remote >= MAX_REMOTE:
            reason = f"{remote} viewers on other machines watch this run, and it takes no more"
        if reason:
            link.dismiss(Refused(reason=reason, user_error=False), HELLO_TIMEOUT_S)
            return
        role: ViewerRole = "operator" if link.role == "operator" else "observer"
        host = link.address.rpartition(":")[0]
        viewer = self._add(LinkWire(link), role, by=f"{role} {link.name} from {host}")
        link.begin(
            lambda message: viewer.hear(message, self._now()),
            lambda reason: self.remove(viewer),
        )

    def answer_all(self, answer: Welcome | Refused) -> None:
        """Say to all who wait, and to all who come, that the load began or that it will not."""
        self._answer = answer
        for viewer in list(self._viewers.values()):
            if viewer.said_hello:
                self._tell_answer(viewer, answer)

    def gather(self, gathering: Gathering | None, elsewhere: Gathering) -> None:
        """Tell all who wait for the load, and all who will, how far the agents are; `elsewhere`
        is for viewers on other machines."""
        if elsewhere == self._gathering_elsewhere or self._answer is not None:
            return
        self._gathering, self._gathering_elsewhere = gathering, elsewhere
        for viewer in list(self._viewers.values()):
            if viewer.said_hello:
                self._tell_gathering(viewer)

    def publish(self) -> None:
        """Send snapshots to the viewers whose time has come and who took the last one."""
        now = self._now()
        for viewer in list(self._viewers.values()):
            viewer.publish(now)

    async def close(self) -> None:
        """Send the last snapshot to everybody, wait a bounded time until they have left, and until
        those elsewhere have come for it whose connection broke shortly before; leave."""
        if isinstance(self._answer, Refused):
            # Who started the run may not have come yet, and has no other way to hear the reason.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._was_answered.wait()
        self._is_over = True
        self._forget_missing()
        for viewer in list(self._viewers.values()):
            if viewer.looks:
                viewer.publish_last()
        if not await self._all_leave(SUBSCRIBE_S):
            for viewer in list(self._viewers.values()):
                viewer.publish_last()
            await self._all_leave(FAREWELL_S - SUBSCRIBE_S)
        self._abort_all()
        await self._all_leave(LINGER_S, missing=True)
        self._is_closed = True
        self._abort_all()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._path is not None:
            _remove(self._path)

    async def _all_leave(self, within_s: float, *, missing: bool = False) -> bool:
        """Whether all viewers have gone by then, those too that come meanwhile; `missing`: and
        those have come that are waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._viewers or (missing and self._missing):
                    self._left.clear()
                    await self._left.wait()
        return not self._viewers

    def _abort_all(self) -> None:
        for viewer in list(self._viewers.values()):
            viewer.abort()

    def _forget_missing(self) -> None:
        since = self._now() - RECENTLY_S
        self._missing = {who: at for who, at in self._missing.items() if at >= since}

    # what wires and viewers call

    @property
    def is_over(self) -> bool:
        """See `viewer.Host`."""
        return self._is_over

    def admit(self, wire: Wire) -> Viewer | None:
        """See `wires.Reception`."""
        return self._add(wire, "owner", by="client") if self._here() < MAX_CLIENTS else None

    def remove(self, viewer: Viewer) -> None:
        """The viewer's connection is gone."""
        viewer.has_gone()
        if self._viewers.pop(viewer.number, None) is None:
            return
        self._leases.release(viewer.number, self._now())
        if viewer.has_left:
            self._missing.pop(viewer.instance, None)
        elif viewer.may_return:
            self._forget_missing()
            if len(self._missing) < MAX_REMOTE:
                self._missing[viewer.instance] = self._now()
        self._left.set()

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now()

    def greet(self, viewer: Viewer, hello: Hello) -> None:
        """See `viewer.Host`."""
        for other in list(self._viewers.values()):
            if viewer.instance and other.instance == viewer.instance and other is not viewer:
                other.supersede()
        # Who is elsewhere comes and goes with the network: no run may depend on it.
        if hello.lease and viewer.role == "owner":
            self._leases.acquire(viewer.number)
        if self._answer is not None:
            self._tell_answer(viewer, self._answer)
        else:
            self._tell_gathering(viewer)

    def may_read(self, viewer: Viewer) -> bool:
        """See `viewer.Host`: viewers elsewhere share what they may have read."""
        return viewer.role == "owner" or self._reads_elsewhere.takes(1.0, self._now())

    def _add(self, wire: Wire, role: ViewerRole, by: str) -> Viewer:
        self._numbers += 1
        viewer = Viewer(self._numbers, self, self._run, wire, role=role, by=by)
        self._viewers[viewer.number] = viewer
        return viewer

    def _here(self) -> int:
        return sum(viewer.role == "owner" for viewer in self._viewers.values())

    def _tell_answer(self, viewer: Viewer, answer: Welcome | Refused) -> None:
        viewer.answer(answer)
        if viewer.role == "owner":
            self._was_answered.set()

    def _tell_gathering(self, viewer: Viewer) -> None:
        known = self._gathering if viewer.role == "owner" else self._gathering_elsewhere
        if known is not None:
            viewer.send(known)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
