"""The snapshot that viewers get: the aggregate's figures and the state machine's, in one piece.

Owns: the log's bounded memory and how much of the history a snapshot carries. Must not know who
looks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from chaperon_engine.coordinator.agent import Agent
from chaperon_engine.coordinator.inviting import NOBODY_IS_INVITED, Invitations
from chaperon_engine.coordinator.state import RunState
from chaperon_engine.coordinator.viewer import Seen
from chaperon_engine.crew.events import WorkerState
from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.health import verdict
from chaperon_engine.metrics.model import LogLine
from chaperon_engine.metrics.snapshot import MembersView, Snapshot, Totals, View, WorkerRow
from chaperon_engine.metrics.window import totals_of

KEPT_LOGS = 1000
MAX_INTERVALS = 3600
"""Seconds of history in one snapshot; a viewer who comes later gets the rest in the next ones."""
MAX_LAST_INTERVALS = 40_000
"""The last snapshot has no next one."""


class LogMemory:
    """The newest log lines, numbered since the run began."""

    def __init__(self, kept: int = KEPT_LOGS):
        self._lines: deque[LogLine] = deque(maxlen=kept)
        self._added = 0

    def add(self, *lines: LogLine) -> None:
        self._lines.extend(lines)
        self._added += len(lines)

    def since(self, number: int) -> tuple[list[LogLine], int]:
        """Lines from `number` on that are still there, and the number of the next one."""
        fresh = min(self._added - number, len(self._lines))
        return (list(self._lines)[-fresh:] if fresh > 0 else []), self._added


@dataclass
class Outcome:
    """What there is once the run is over."""

    is_final: bool = False
    duration_s: float | None = None
    report_path: str = ""
    report: bytes = b""
    """As JSON, for who cannot read it at `report_path`."""
    exports: dict[str, str] = field(default_factory=dict)
    export_errors: dict[str, str] = field(default_factory=dict)


def make_snapshot(
    run_id: str,
    state: RunState,
    aggregate: RunAggregate,
    counters: RunCounters,
    logs: LogMemory,
    outcome: Outcome,
    view: View,
    seen: Seen,
    now: float,
    invitations: Invitations = NOBODY_IS_INVITED,
) -> Snapshot:
    """The run now, for a viewer who has had `seen`, which advances."""
    limit = MAX_LAST_INTERVALS if outcome.is_final else MAX_INTERVALS
    first = seen.intervals
    if outcome.is_final:
        first = max(first, len(aggregate.intervals) - limit)
    intervals = aggregate.intervals[first : first + limit]
    seen.intervals = first + len(intervals)
    lines, seen.logs = logs.since(seen.logs)
    name = state.state
    if name == "finished" and not outcome.is_final:
        name = "draining"
    invitation = invitations.for_role(seen.role)
    report_path = outcome.report_path if seen.role == "owner" else ""
    messages, messages_now = aggregate.messages, aggregate.messages_now
    elapsed_s = outcome.duration_s
    if elapsed_s is None:
        elapsed_s = 0.0 if state.started_at is None else max(0.0, now - state.started_at)
    # After the last snapshot nobody can ask for other rows.
    members = View() if outcome.is_final else view
    return Snapshot(
        run_id=run_id,
        load_test=state.plan.load_test,
        state=name,
        status=state.status if outcome.is_final else "",
        elapsed_s=elapsed_s,
        planned_s=state.plan.planned_s,
        measured_s=aggregate.measured_s,
        # Shared memory is up to a second ahead of the frames.
        totals=aggregate.totals if outcome.is_final else _totals(state, aggregate, counters),
        requests_per_s=aggregate.requests_per_s,
        failed_per_s=aggregate.failed_per_s,
        latency=aggregate.latency,
        latency_now=aggregate.latency_now,
        messages=messages.totals,
        messages_now=messages_now.totals(messages.totals.open),
        round_trip=messages.round_trip,
        round_trip_now=messages_now.round_trip.percentiles(),
        sessions=aggregate.sessions,
        iterations=aggregate.iterations,
        health=aggregate.health,
        members=members_view(state, aggregate),
        workers=worker_rows(state, aggregate, members, now),
        worker_offset=max(0, members.worker_offset),
        series=aggregate.series_rows(view),
        series_total=aggregate.series_count(view),
        folded=aggregate.folded,
        errors=aggregate.error_rows(),
        checks=aggregate.checks(),
        exceptions=aggregate.exceptions(),
        intervals=intervals,
        logs=lines,
        log_lines=seen.logs,
        partial=state.partial,
        reasons=list(state.reasons),
        report_path=report_path,
        unkept_report=outcome.report if outcome.is_final and not report_path else b"",
        exports=dict(outcome.exports),
        export_errors=dict(outcome.export_errors),
        role=seen.role,
        join=invitation.join,
        attach=invitation.attach,
        token_file=invitation.token_file,
    )


def _totals(state: RunState, aggregate: RunAggregate, counters: RunCounters) -> Totals:
    counts = counters.totals()
    if state.started_at is not None:
        counts += aggregate.counts_of(agent.number for agent in state.roster.agents)
    return totals_of(counts)


def _state_word(state: str, *, is_drained: bool) -> str:
    """For a viewer a member that was asked to leave is in another state than its fellows."""
    return "draining" if is_drained and state == "running" else state


def members_view(state: RunState, aggregate: RunAggregate) -> MembersView:
    """All members together; once for each snapshot, so nothing is done that no sum needs."""
    cores = away = lost = 0
    cpu, lag_us = 0.0, 0
    figures = aggregate.worker_figures
    members = [(worker.number, worker.state, 1) for worker in state.workers]
    members += [(agent.number, agent.state, agent.hello.cores) for agent in state.roster.agents]
    for number, word, own_cores in members:
        health = figures(number).health
        cpu, lag_us = max(cpu, health.cpu), max(lag_us, health.lag_p99_us)
        cores += own_cores
        if word == "away":
            away += own_cores
        elif word in ("lost", "hung"):
            lost += own_cores
    return MembersView(len(members), cores, cpu, lag_us, away, lost)


def worker_rows(
    state: RunState, aggregate: RunAggregate, view: View, now: float
) -> list[WorkerRow]:
    """The members that a view shows, now."""
    first = max(0, view.worker_offset)
    last = first + max(0, view.worker_limit)
    here = len(state.workers)
    agents = state.roster.agents[max(0, first - here) : max(0, last - here)]
    median_us = aggregate.median_us  # once: it is worked out anew each time
    return [
        *(_worker_row(worker, state, aggregate, median_us) for worker in state.workers[first:last]),
        *(_agent_row(agent, state, aggregate, median_us, now) for agent in agents),
    ]


def _worker_row(
    worker: WorkerState, state: RunState, aggregate: RunAggregate, median_us: float
) -> WorkerRow:
    figures = aggregate.worker_figures(worker.number)
    health = figures.health
    return WorkerRow(
        worker=worker.number,
        pid=worker.pid,
        state=_state_word(worker.state, is_drained=worker.number in state.drained_at),
        core=worker.core,
        requests_per_s=figures.requests_per_s if worker.alive else 0.0,
        active_sessions=figures.active_sessions if worker.alive else 0,
        cpu=health.cpu,
        lag_p99_us=health.lag_p99_us,
        rss_bytes=health.rss_bytes,
        steal=health.steal,
        verdict=verdict(health, median_us).level,
        note=worker.note,
        messages_per_s=figures.messages_per_s if worker.alive else 0.0,
    )


def _agent_row(
    agent: Agent, state: RunState, aggregate: RunAggregate, median_us: float, now: float
) -> WorkerRow:
    figures = aggregate.worker_figures(agent.number)
    health = figures.health
    is_loading = agent.state == "running"
    return WorkerRow(
        worker=agent.number,
        pid=0,
        state=_state_word(agent.state, is_drained=agent.number in state.drained_at),
        core=None,
        requests_per_s=figures.requests_per_s if is_loading else 0.0,
        active_sessions=figures.active_sessions if is_loading else 0,
        cpu=health.cpu,
        lag_p99_us=health.lag_p99_us,
        rss_bytes=health.rss_bytes,
        steal=health.steal,
        verdict=verdict(health, median_us).level,
        note=agent.note,
        agent=agent.name,
        host=agent.host,
        address=agent.address,
        cores=agent.hello.cores,
        shares=agent.held,
        is_connected=agent.link is not None,
        round_trip_us=agent.round_trip_us,
        clock_offset_us=agent.offset_ns // 1000,
        frames_behind=agent.frames_behind(now),
        messages_per_s=figures.messages_per_s if is_loading else 0.0,
        python=agent.python,
        version=agent.version,
    )
