"""Agents through a dask cluster that exists: one on each host, started by one of its workers.

Dask gets one function by its name, strings, and for each host a token that is worth something
to the agent of that name only. What agents measure never passes it. It is an aid, not a part of
the run: when its scheduler or a worker dies the agents go on, because each belongs to the run. The
end of an agent, and of a dask worker, is passed on as a hint.

A task is not run again: there are no retries, and what was running on a worker that died is
cancelled before dask starts it elsewhere. Where dask is faster, the run refuses the second agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chaperon_engine.errors import UserError
from chaperon_engine.fleet.addresses import MAX_NAME, is_loopback
from chaperon_engine.fleet.order import Order
from chaperon_engine.fleet.protocol import Ended, Happening, Note, how_it_ended
from chaperon_engine.fleet.task import LEFT, run_agent
from chaperon_engine.text import visible

CONNECT_S = 10.0
LOOK_S = 0.5
"""How often the scheduler is asked which workers it has."""
ANSWER_S = 5.0
"""Beyond that it counts as gone."""
CLOSE_S = 3.0
_TLS_SETTINGS = ("ca-file", "client.cert", "client.key")


@dataclass(frozen=True)
class Place:
    """A dask worker that starts the agent of its host."""

    worker: Any
    """Its name, which survives a restart: text, or a number."""
    address: str
    host: str


class DaskFleet:
    """One agent on each host of a cluster."""

    is_watched = True
    start_timeout_s: float | None = None

    def __init__(self, scheduler: str, nodes: int | None):
        """`scheduler`: `tls://HOST:PORT`, or `tcp://` on this machine; `nodes`: None for all."""
        self._scheduler = scheduler
        self._nodes = nodes
        self._client: Any = None
        self._places: list[Place] = []
        self._futures: dict[str, Any] = {}
        """By the agent's name."""
        self._tasks: list[asyncio.Task[None]] = []
        self._is_gone = False
        """The scheduler does not answer any more."""

    @property
    def agents(self) -> int:
        """See `protocol.Fleet`."""
        return len(self._places) or self._nodes or 0

    def plan(self, order: Order) -> str:
        """See `protocol.Fleet`."""
        how_many = "each host" if self._nodes is None else f"{self._nodes} hosts"
        function = f"{run_agent.__module__}.{run_agent.__name__}"
        strings = [order.address, order.run_id, order.pin, "HOST", order.secret("HOST")]
        return (
            f"# on {how_many} of {self._scheduler}, by the first worker of the host\n"
            f"{function}({', '.join(strings)})"
        )

    async def prepare(self) -> None:
        """See `protocol.Fleet`."""
        Client = _client_class()
        try:
            async with asyncio.timeout(2 * CONNECT_S):
                self._client = await Client(
                    self._scheduler,
                    asynchronous=True,
                    security=_security(self._scheduler),
                    timeout=CONNECT_S,
                    set_as_default=False,
                )
                found = await self._workers()
        except (OSError, TimeoutError, ValueError) as error:
            await self.close(0.0)
            raise UserError(
                f"the dask scheduler {self._scheduler} cannot be used: {_cause(error)}"
            ) from None
        self._places = _one_of_each_host(found)
        await self._check_places()

    async def place(self, order: Order, report: Callable[[Happening], None]) -> None:
        """See `protocol.Fleet`."""
        from distributed import fire_and_forget

        for place in self._places:
            name = _name(place.host)
            future = self._client.submit(
                run_agent,
                order.address, order.run_id, order.pin, name, order.secret(name),
                key=f"chaperon-{order.run_id}-{name}",
                workers=[place.worker],
                allow_other_workers=False,
                pure=False,
                retries=0,
            )  # fmt: skip
            # Else a connection of ours that breaks would end all agents.
            fire_and_forget(future)
            self._futures[name] = future
            self._tasks.append(asyncio.create_task(self._follow(name, future, report)))
        self._tasks.append(asyncio.create_task(self._watch(report)))

    async def close(self, patience_s: float) -> None:
        """See `protocol.Fleet`."""
        if self._client is None:
            return
        following = [task for task in self._tasks[:-1] if not task.done()]
        if following:
            await asyncio.wait(following, timeout=patience_s)
        left = [future for future in self._futures.values() if not future.done()]
        if left and not self._is_gone:
            await self._cancel(left)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        client, self._client = self._client, None
        try:
            async with asyncio.timeout(2 * CLOSE_S):
                await client.close(timeout=CLOSE_S)
        except Exception:
            # In the middle of looking for its scheduler it raises anything, and it would try once
            # more when it is collected. There is nothing left that it should do.
            client.status = "closed"

    async def _check_places(self) -> None:
        here, wanted = len(self._places), self._nodes
        problem = ""
        if not here:
            problem = f"the dask scheduler {self._scheduler} has no workers"
        elif wanted is not None and wanted > here:
            hosts = "host" if here == 1 else "hosts"
            problem = (
                f"--nodes is {wanted}, and the workers of {self._scheduler} are on {here} {hosts}"
            )
        exposed = [place for place in self._places if not _is_private(place.address)]
        if exposed:
            problem = (
                f"the dask worker {visible(exposed[0].address, 100)} is spoken to without TLS: "
                "start scheduler and workers with certificates"
            )
        if problem:
            await self.close(0.0)
            raise UserError(problem)
        self._places = self._places[:wanted]

    async def _workers(self) -> Mapping[str, Mapping[str, Any]]:
        async with asyncio.timeout(ANSWER_S):
            identity = await self._client.scheduler.identity()
        workers: Mapping[str, Mapping[str, Any]] = identity["workers"]
        return workers

    async def _follow(self, name: str, future: Any, report: Callable[[Happening], None]) -> None:
        try:
            status, _, said = str(await future.result()).partition(" ")
            if status == LEFT:
                report(Note(f"agent {name} goes on alone: its dask worker closes"))
                return
            code = int(status)
        except (CancelledError, OSError):
            return  # told by who cancelled it, or by the end of the scheduler
        except Exception as error:
            # The worker could not run the function, or died more often than dask allows.
            reason = f"dask could not run it ({type(error).__name__}): is Chaperon installed there?"
            if type(error).__name__ == "KilledWorker":
                reason = "the dask worker that started it was killed"
            report(Ended(name, reason, False))
            return
        report(Ended(name, how_it_ended(code, said), code == 0))

    async def _watch(self, report: Callable[[Happening], None]) -> None:
        """Which of the workers that started agents are still those that did."""
        watched = {_name(place.host): place.address for place in self._places}
        while watched:
            await asyncio.sleep(LOOK_S)
            try:
                found = await self._workers()
            except (OSError, TimeoutError, ValueError) as error:
                self._is_gone = True
                report(Note(
                    f"the dask scheduler is gone ({_cause(error)}): the agents go on, and their "
                    "ends are noticed by the run alone"
                ))  # fmt: skip
                return
            for name, address in list(watched.items()):
                if self._futures[name].done():
                    del watched[name]
                elif address not in found:
                    del watched[name]
                    # Before dask runs it again on the worker's successor.
                    await self._cancel([self._futures[name]])
                    report(Ended(name, "dask lost the worker that started it", False))

    async def _cancel(self, futures: list[Any]) -> None:
        with suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_S):
                await self._client.cancel(futures, asynchronous=True, force=True)


def _client_class() -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "--fleet dask:// needs dask.distributed: pip install 'chaperon[fleet]'"
        ) from None
    # It would print its troubles among the figures of the run; some loggers have their own way out.
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.addHandler(logging.NullHandler())
            logger.propagate = False
    return Client


def _security(scheduler: str) -> Any:
    """As dask's own configuration says. Raises UserError when it has no certificates."""
    import dask
    from distributed import Security

    if scheduler.startswith("tcp:"):
        return Security(require_encryption=False)
    missing = [
        name for name in _TLS_SETTINGS if not dask.config.get(f"distributed.comm.tls.{name}", None)
    ]
    if missing:
        names = ", ".join(f"distributed.comm.tls.{name}" for name in missing)
        raise UserError(
            f"dask's configuration has no {names}: a scheduler with TLS asks for a certificate; "
            "set them in ~/.config/dask, or in the environment as "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY"
        )
    return Security(require_encryption=True)


def _one_of_each_host(workers: Mapping[str, Mapping[str, Any]]) -> list[Place]:
    """The first worker of each host, in the order of the hosts' names."""
    found: dict[str, Place] = {}
    for address, worker in sorted(workers.items()):
        place = Place(worker=worker["name"], address=address, host=str(worker["host"]))
        found.setdefault(place.host, place)
    return [found[host] for host in sorted(found)]


def _is_private(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    return scheme == "tls" or (scheme == "tcp" and is_loopback(rest.rpartition(":")[0].strip("[]")))


def _name(host: str) -> str:
    """Of the agent on this host."""
    return visible(host, MAX_NAME - 1)


def _cause(error: BaseException) -> str:
    text = visible(error.__cause__ or error, 300)
    return text or type(error).__name__
