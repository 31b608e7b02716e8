"""Two frames of one worker made into one that says the same with less resolution in time. Pure.

Used where frames pile up: in a worker whose coordinator is slow, and in a journal that has used
its size budget. Counts are exact afterwards; only the interval is longer.
"""

from __future__ import annotations

import msgspec

from chaperon_engine.metrics.model import Frame, HealthSample
from chaperon_engine.metrics.series import combine

MAX_LOGS = 200
"""Log lines that a merged frame keeps; the rest counts as dropped."""


def merge_frames(older: Frame, newer: Frame, gauges: frozenset[int] = frozenset()) -> Frame:
    """`older` and the `newer` that follows it as one frame with the sequence number of `older`.

    `gauges` are the ids of series whose value is the last one instead of a sum.
    """
    deltas = {delta.id: delta for delta in older.deltas}
    for delta in newer.deltas:
        earlier = deltas.get(delta.id)
        if earlier is not None:
            kind = "gauge" if delta.id in gauges else "counter"
            delta = combine(kind, delta.id, [earlier, delta])
        deltas[delta.id] = delta
    logs = older.logs + newer.logs
    checks = {
        (check.scenario, check.session, check.name): check for check in older.checks + newer.checks
    }
    exceptions = {
        (group.type, group.file, group.line): group for group in older.exceptions + newer.exceptions
    }
    return msgspec.structs.replace(
        newer,
        seq=older.seq,
        start_ns=older.start_ns,
        new_series=older.new_series + newer.new_series,
        deltas=list(deltas.values()),
        checks=list(checks.values()),
        exceptions=list(exceptions.values()),
        logs=logs[:MAX_LOGS],
        dropped_logs=older.dropped_logs + newer.dropped_logs + max(0, len(logs) - MAX_LOGS),
        health=_worse(older.health, newer.health),
        lost=older.lost + newer.lost,
    )


def _worse(a: HealthSample, b: HealthSample) -> HealthSample:
    pairs = zip(msgspec.structs.astuple(a), msgspec.structs.astuple(b), strict=True)
    return HealthSample(*(max(pair) for pair in pairs))
