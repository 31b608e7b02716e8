"""The scale benchmark: its arithmetic, and a real engine with a few pretended agents."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from bench.scale import Seen, closing_delays, frame_delays, measure, table
from bench.simulated import measured_second, series_keys
from chaperon_engine.metrics.frames import WorkerLedger
from chaperon_engine.metrics.model import Frame, SeriesDelta


def test_a_frames_delay_ends_with_the_first_snapshot_that_contains_it() -> None:
    seen = [Seen(11.1, 0, 0), Seen(11.3, 20, 0), Seen(11.6, 30, 1), Seen(12.2, 60, 2)]
    delays = frame_delays(seen, start_s=10.0, agents=3, requests=10)
    assert delays == pytest.approx([0.3, 0.3, 0.6, 0.2, 0.2, 0.2])
    assert closing_delays(seen, start_s=10.0) == pytest.approx([0.6, 0.2])


def test_a_snapshot_that_has_a_later_second_has_all_of_the_former() -> None:
    seen = [Seen(13.5, 50, 2)]
    assert frame_delays(seen, start_s=10.0, agents=2, requests=10) == pytest.approx(
        [2.5, 2.5, 1.5, 1.5, 0.5]
    )


@pytest.mark.parametrize(("series", "requests"), [(20, 1000), (20, 7), (1, 50), (3, 0)])
def test_pretended_agents_send_what_a_sound_worker_would(series: int, requests: int) -> None:
    keys = series_keys(series)
    assert len(keys) == series
    found = measured_second(keys, requests, random.Random(1))
    assert found.totals.sent == requests
    deltas = msgspec.msgpack.decode(found.deltas, type=list[SeriesDelta])
    frame = Frame(
        worker=0, epoch=0, seq=0, start_ns=0, end_ns=10**9, new_series=list(enumerate(keys)),
        deltas=deltas, totals=found.totals,
    )  # fmt: skip
    assert WorkerLedger(0).admit(frame)


def test_three_agents_are_measured_with_a_real_engine() -> None:
    found = asyncio.run(measure(3, series=4, requests=20, seconds=2))
    assert found.agents == found.tries == 3
    assert len(found.delays_s) == 3 * 2
    assert min(found.delays_s) > 0
    assert len(found.closed_s) == 2
    assert found.cores > 0
    assert found.pss_bytes > 0
    assert found.journal_bytes > 0
    assert "| 3      |" in table([found])
