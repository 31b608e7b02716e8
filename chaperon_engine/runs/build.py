"""The report made of what a run's aggregate knows. Used at the end of a run and at a recovery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from chaperon_engine.metrics.aggregate import RunAggregate
from chaperon_engine.runs.record import RunRecord
from chaperon_engine.runs.report import (
    Report,
    ReportCheck,
    ReportException,
    ReportInterval,
    ReportRun,
    ReportWorker,
)

_Kind = TypeVar("_Kind")


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    status: str
    duration_s: float
    partial: bool = False
    recovered: bool = False
    reasons: list[str] = []
    lost: dict[int, str] = {}
    """Why, by number of the worker that was lost."""


def build_report(record: RunRecord, aggregate: RunAggregate, ending: Ending) -> Report:
    """The whole report. `aggregate.finish` must have been called."""
    plan = record.plan
    return Report(
        run=ReportRun(
            id=record.id,
            load_test=record.load_test,
            status=ending.status,
            partial=ending.partial,
            recovered=ending.recovered,
            reasons=ending.reasons,
            started_at=record.started_at or record.created_at,
            duration_s=ending.duration_s,
            measured_s=aggregate.measured_s,
            warmup_s=plan.warmup_s,
            drain_s=aggregate.drain_s,
            workers=_workers(record, aggregate, ending.lost),
            hosts=_hosts(record),
            start_skew_us=_start_skew_us(record),
            hand_overs=record.hand_overs,
            seed=record.seed,
            tag=record.tag,
            file=record.file,
            file_sha256=record.file_sha256,
            version=record.version,
            python=record.python,
            host=record.host,
            platform=record.platform,
            metrics=plan.metrics,
            config={population.name: population.config for population in plan.populations},
        ),
        sessions=aggregate.sessions,
        iterations=aggregate.iterations,
        totals=aggregate.totals_summary(),
        messages=aggregate.messages.summary(aggregate.measured_s),
        metrics=aggregate.metric_summaries(),
        checks=_converted(aggregate.checks(), ReportCheck),
        exceptions=_converted(aggregate.exceptions(), ReportException),
        health=aggregate.health_summary(),
        intervals=[ReportInterval.of(interval) for interval in aggregate.intervals],
        folded_series=aggregate.folded,
        plan=msgspec.to_builtins(plan),
    )


def missing_of_lost(worker: int, latencies: int, *, has_sockets: bool) -> str:
    """What a report says of the figures that died with a worker."""
    words = (
        f"worker {worker}: {latencies} completed requests are counted without their latencies and "
        "classes, and one request may be counted that was not sent or the reverse"
    )
    if has_sockets:
        words += "; what went over its WebSockets in its last second is not counted"
    return words


def _workers(
    record: RunRecord, aggregate: RunAggregate, lost: dict[int, str]
) -> list[ReportWorker]:
    found = []
    for worker in record.workers:
        figures = aggregate.worker_summary(worker.worker)
        found.append(
            ReportWorker(
                worker=worker.worker,
                pid=worker.pid,
                core=worker.core,
                state="lost" if worker.worker in lost else "done",
                note=lost.get(worker.worker, ""),
                sent=figures.sent,
                ok=figures.ok,
                failed=figures.failed,
                in_flight=figures.in_flight,
                missing_latencies=figures.missing_latencies,
                agent=worker.agent,
                host=worker.host,
                cores=len(worker.shares) or 1,
                round_trip_us=worker.round_trip_us,
                clock_offset_us=worker.clock_offset_us,
                start_skew_us=worker.start_skew_us,
                version=worker.version,
                python=worker.python,
            )
        )
    return found


def _hosts(record: RunRecord) -> list[str]:
    hosts = [worker.host or record.host for worker in record.workers]
    return list(dict.fromkeys(hosts))


def _start_skew_us(record: RunRecord) -> int | None:
    skews = [each.start_skew_us for each in record.workers if each.start_skew_us is not None]
    if not skews:
        return None
    if not all(worker.agent for worker in record.workers):
        skews.append(0)
    return max(skews) - min(skews)


def _converted(items: Sequence[object], kind: type[_Kind]) -> list[_Kind]:
    return [msgspec.convert(item, kind, from_attributes=True) for item in items]
