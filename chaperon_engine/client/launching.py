"""Start a run: describe the plan, make its directory, start its engine, wait for the load.

Owns: the order of these steps and what is left behind when one fails. Must not know: how an engine
works inside.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.describing import child_environment, describe
from chaperon_engine.clock import SystemClock
from chaperon_engine.definition.plan import ON_LOSS, LaunchRequest, Plan
from chaperon_engine.engine.address import address_of
from chaperon_engine.errors import EngineError, UserError
from chaperon_engine.platform import usable_cores
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.record import make_record, write_launch, write_record
from chaperon_engine.text import visible
from chaperon_engine.worker import descriptors

__all__ = ["describe", "launch"]

LISTEN_TIMEOUT_S = 20.0
"""How long a new engine may take until it listens."""
START_TIMEOUT_S = 120.0
"""How long it may take until the load begins; the engine's own barrier is shorter."""
END_TIMEOUT_S = 2.0
"""How long a killed engine may take to be gone."""
MAX_WORKERS = 256
MAX_AGENTS = 4096


async def launch(
    request: LaunchRequest, *, on_gathering: Callable[[Gathering], None] | None = None
) -> RunClient:
    """Start a run and connect to it; answers when the load begins. `on_gathering` hears the join
    line and which agents have attached, when agents are waited for; how others watch stands in each
    snapshot (`Snapshot.attach`).

    Raises UserError with one sentence when the input does not allow the run (also when a service
    cannot be reached), which leaves no run behind, and EngineError when the engine fails.
    """
    if request.exports or request.export_options:
        from chaperon_engine import export

        export.check(request.exports, request.export_options)
    plan = await describe(request)
    directory = _prepare(request, plan)
    engine = _start_engine(directory)
    try:
        timeout_s = START_TIMEOUT_S + (request.start_timeout_s if request.expect else 0.0)
        return await _connect(directory, engine, request, timeout_s, on_gathering)
    except EngineError:
        await _end(engine, gently=False)  # Its log stays, for the message names it.
        raise
    except BaseException:
        try:
            await _end(engine, gently=bool(request.listen))
        finally:
            directory.remove_socket()
            shutil.rmtree(directory.path, ignore_errors=True)
        raise


def _prepare(request: LaunchRequest, plan: Plan) -> RunDirectory:
    plan.check_ready()
    cores = usable_cores()
    workers = len(cores) if request.workers is None else request.workers
    _check_others(request)
    least = 0 if request.expect else 1
    if not least <= workers <= MAX_WORKERS:
        raise UserError(
            f"workers must be {least} to {MAX_WORKERS}, not {workers}"
            + ("; without workers here, agents must do it: --expect" if not workers else "")
        )
    if not request.expect:  # what agents can bear is not known here
        descriptors.check(plan, workers, descriptors.hard_limit())
    seed = secrets.randbits(63) if request.seed is None else request.seed
    at = SystemClock().label()
    directory = RunDirectory.create(plan.load_test, at)
    try:
        record = make_record(
            directory, request, plan, seed=seed, workers=workers, cpus=len(cores), at=at
        )
        record.socket = str(directory.socket_path())
        write_launch(directory, request)
        write_record(directory, record)
    except OSError as error:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise UserError(f"{directory.path} cannot be written: {error.strerror}") from None
    return directory


def _check_others(request: LaunchRequest) -> None:
    """What is said of other machines. Without agents a run that listens is only watched."""
    if not 0 <= request.expect <= MAX_AGENTS:
        raise UserError(f"--expect must be 1 to {MAX_AGENTS:,} agents, not {request.expect:,}")
    if not request.listen:
        if request.expect:
            raise UserError("--expect waits for agents, which attach where --listen says")
        return
    if request.on_loss not in ON_LOSS:
        expected = ", ".join(f"`{word}`" for word in ON_LOSS)
        raise UserError(f"--on-loss is {visible(request.on_loss)!r}, expected {expected}")
    address_of(request.listen)


def _start_engine(directory: RunDirectory) -> subprocess.Popen[bytes]:
    log = os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        engine = subprocess.Popen(
            [sys.executable, "-P", "-m", "chaperon_engine.engine", str(directory.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=True,
            start_new_session=True,
            env=child_environment(),
        )
    finally:
        os.close(log)
    # The engine may outlive this process, or end long before it and must not stay a zombie.
    threading.Thread(target=engine.wait, name=f"wait for {directory.id}", daemon=True).start()
    return engine


async def _connect(
    directory: RunDirectory,
    engine: subprocess.Popen[bytes],
    request: LaunchRequest,
    timeout_s: float,
    on_gathering: Callable[[Gathering], None] | None,
) -> RunClient:
    socket = directory.socket_path()
    limit = time.monotonic() + LISTEN_TIMEOUT_S
    while True:
        try:
            return await RunClient.open(
                directory,
                socket,
                lease=not request.detach,
                timeout_s=timeout_s,
                on_gathering=on_gathering,
            )
        except (FileNotFoundError, ConnectionRefusedError):
            if engine.returncode is not None:
                raise EngineError(
                    f"the engine ended at its start: {_last_words(directory)}"
                ) from None
            if time.monotonic() > limit:
                raise EngineError(
                    f"the engine does not listen after {LISTEN_TIMEOUT_S:.0f} s; its log is "
                    f"{directory.log}"
                ) from None
        except TimeoutError:
            raise EngineError(
                f"the load did not begin within {timeout_s:.0f} s; the log is {directory.log}"
            ) from None
        await asyncio.sleep(0.02)


def _last_words(directory: RunDirectory) -> str:
    try:
        lines = directory.log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return visible(lines[-1]) if lines else f"its log {directory.log} is empty"


async def _end(engine: subprocess.Popen[bytes], *, gently: bool) -> None:
    """End an engine that will not be used, and wait until it is gone: it writes no more then.
    `gently`: it has a moment to tell its agents, which would else look for it for minutes."""
    if gently:
        engine.terminate()
        await _gone(engine)
    engine.kill()
    await _gone(engine)


async def _gone(engine: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + END_TIMEOUT_S
    # A thread of its own waits for the process and has no event to offer.
    while engine.returncode is None and time.monotonic() < limit:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
