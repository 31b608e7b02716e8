"""`python -m chaperon_engine.worker.trial`: one session of each population, once, told as it goes.

A LaunchRequest as JSON on standard input; on standard output one event per line (`trial_events`).
The scenario file is executed here, so what it prints becomes log events, it has no input, and this
process ends by itself even when nobody waits for it. Must not know terminals.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

import msgspec
import uvloop

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.plan import LaunchRequest, LoadProfile
from chaperon_engine.definition.resolve import ResolvedTest, resolve
from chaperon_engine.definition.resolved import ResolvedPopulation
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import IterationCounts, SessionCounts
from chaperon_engine.units import show_duration
from chaperon_engine.worker.forgotten import watching
from chaperon_engine.worker.output import OutputStream
from chaperon_engine.worker.population import LoadRunner
from chaperon_engine.worker.preflight import check_services
from chaperon_engine.worker.trial_events import (
    TrialFinished,
    TrialMessage,
    TrialRefused,
    TrialStarted,
)
from chaperon_engine.worker.trial_observers import (
    ObservedHttp,
    ObservedLog,
    ObservedRecorder,
    Observer,
)

MAX_REQUEST_BYTES = 16 * 1024 * 1024
DEFAULT_LIMIT_S = 120.0
"""Longest trial unless the request has `max_time_s`; then what runs is cut off."""
_LIFE_AFTER_LIMIT_S = 30


async def try_once(request: LaunchRequest, emit: Callable[[TrialMessage], None]) -> None:
    """Run the trial. Raises UserError when the file cannot be used."""
    test = resolve(request)
    test.plan.check_ready()
    if request.preflight:
        await check_services(test)
    await _Trial(test, request, emit).run()


class _Trial:
    def __init__(
        self, test: ResolvedTest, request: LaunchRequest, emit: Callable[[TrialMessage], None]
    ) -> None:
        self._test = test
        self._emit = emit
        self._seed = secrets.randbits(63) if request.seed is None else request.seed
        self._left_s = DEFAULT_LIMIT_S if request.max_time_s is None else request.max_time_s
        self._limit_s = self._left_s
        self._was_cut_off = False
        self._observer = Observer(emit)
        self._log = ObservedLog(self._observer)
        self._counters = RunCounters(1).worker(0)
        self._recorder = ObservedRecorder(self._counters, self._observer)
        self._sessions = SessionCounts()
        self._iterations = IterationCounts()

    async def run(self) -> None:
        """One session of each population, one after the other, so that events do not mix."""
        self._emit(
            TrialStarted(
                at_s=self._observer.at_s(),
                load_test=self._test.plan.load_test,
                populations=[each.plan.name for each in self._test.populations],
                services={service.name: service.base_url for service in self._test.plan.services},
            )
        )
        output = OutputStream(lambda line: self._log.add("output", "", line))
        http = ObservedHttp(asyncio.get_running_loop(), self._recorder, self._observer)
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            watching(self._recorder.exception),
        ):
            try:
                for population in self._test.populations:
                    await self._run_one(_once(population), http)
            finally:
                await http.close()
        output.finish()
        self._emit(self._verdict())

    async def _run_one(self, population: ResolvedPopulation, http: ObservedHttp) -> None:
        self._observer.session = f"{population.settings.session_name or population.plan.name}-0"
        plan = msgspec.structs.replace(self._test.plan, populations=[population.plan], warmup_s=0.0)
        runner = LoadRunner(
            replace(self._test, plan=plan, populations=[population]),
            worker=0,
            workers=1,
            seed=self._seed,
            recorder=self._recorder,
            http=http,
            log=self._log,
        )
        begin_ns = now_ns()
        limit = asyncio.get_running_loop().call_later(max(0.0, self._left_s), self._cut_off, runner)
        await runner.run(begin_ns)
        limit.cancel()
        self._left_s -= (now_ns() - begin_ns) / 1e9
        for total, part in (
            (self._sessions, runner.sessions),
            (self._iterations, runner.iterations),
        ):
            for name in total.__struct_fields__:
                setattr(total, name, getattr(total, name) + getattr(part, name))

    def _cut_off(self, runner: LoadRunner) -> None:
        self._was_cut_off = True
        runner.stop(0)

    def _verdict(self) -> TrialFinished:
        totals = self._counters.totals()
        sessions, iterations, observer = self._sessions, self._iterations, self._observer
        sessions_failed = sessions.planned - sessions.finished
        iterations_failed = iterations.failed + iterations.interrupted
        faults = {
            "session": sessions_failed,
            "iteration": iterations_failed,
            "request": totals.failed,
            "WebSocket": len(observer.sockets_failed),
            "check": observer.checks_failed,
        }
        told = [
            f"{count} {what}{'s' if count > 1 else ''} failed"
            for what, count in faults.items()
            if count
        ]
        if observer.forgotten:
            told.append(f"{observer.forgotten} call{'s' * (observer.forgotten > 1)} never awaited")
        if self._was_cut_off:
            told.insert(0, f"cut off after {show_duration(self._limit_s)}")
        return TrialFinished(
            at_s=observer.at_s(),
            ok=not told,
            verdict=("Not well: " + ", ".join(told) + ".") if told else "All is well.",
            sessions=sessions.planned,
            sessions_failed=sessions_failed,
            iterations=iterations.started,
            iterations_failed=iterations_failed,
            requests=totals.sent,
            failed=totals.failed,
            http_errors=totals.http_errors,
            checks_passed=observer.checks_passed,
            checks_failed=observer.checks_failed,
            sockets=observer.sockets,
            sockets_failed=len(observer.sockets_failed),
            messages_sent=observer.messages_sent,
            messages_received=observer.messages_received,
        )


def _once(population: ResolvedPopulation) -> ResolvedPopulation:
    """The same population with one session that runs once, at once."""
    return replace(
        population,
        plan=msgspec.structs.replace(population.plan, sessions=1, profile=LoadProfile()),
        settings=replace(population.settings, delay_s=0.0, random_delay_s=0.0),
    )


def main() -> None:
    """Run the one trial that standard input asks for, and end."""
    encoded = sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
    out = os.dup(1)  # Not inherited by anything that the scenario file starts.
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    with open(out, "wb", buffering=0) as stream:

        def emit(event: TrialMessage) -> None:
            line = msgspec.json.encode(event) + b"\n"
            while line:
                line = line[stream.write(line) :]

        try:
            _try(encoded, emit)
        except BrokenPipeError:
            os._exit(1)
    # Threads and exit handlers of the scenario file must not keep anybody waiting.
    os._exit(0)


def _try(encoded: bytes, emit: Callable[[TrialMessage], None]) -> None:
    try:
        if len(encoded) > MAX_REQUEST_BYTES:
            raise UserError("the launch request is larger than 16 MiB")
        request = msgspec.json.decode(encoded, type=LaunchRequest)
        limit_s = DEFAULT_LIMIT_S if request.max_time_s is None else request.max_time_s
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(limit_s) + _LIFE_AFTER_LIMIT_S)
        uvloop.run(try_once(request, emit))
    except msgspec.MsgspecError as error:
        emit(TrialRefused(message=f"the launch request is not valid: {error}"))
    except UserError as error:
        emit(TrialRefused(message=error.message, path=error.path, line=error.line))


if __name__ == "__main__":
    main()
