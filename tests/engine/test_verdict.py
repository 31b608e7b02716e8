"""The generator's verdict on itself, with a worker that is too busy on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chaperon_engine.client.archive import load_report
from chaperon_engine.client.launching import launch
from chaperon_engine.export.json import JsonExporter
from chaperon_engine.export.summary import render
from tests.engine.conftest import last_snapshot, request
from tests.engine.test_lives import bare

pytestmark = pytest.mark.e2e


async def test_a_saturated_worker_is_told_to_viewers_in_the_summary_and_in_the_export(
    scenario: Callable[..., Path],
) -> None:
    busy = bare(
        more="import time",
        run='await session.get("/")\n        time.sleep(0.06)  # the loop stands still',
    )
    client = await launch(request(scenario(busy, duration="2500ms")))
    async with client:
        snapshot = await last_snapshot(client)
    assert snapshot.health.worst == "saturated"
    assert snapshot.health.saturated_share > 0
    assert snapshot.health.first_saturated_s is not None

    report = load_report(client.run_id)
    # The last snapshot has only the seconds that no earlier one had.
    assert any(second.health == "saturated" for second in report.intervals)
    assert report.health.verdict == "saturated"
    assert "loop lag" in report.health.reason
    encoded = JsonExporter().encode(report, {})
    document = msgspec.json.decode(encoded if isinstance(encoded, bytes) else b"".join(encoded))
    assert document["health"]["saturated_share"] > 0
    assert document["health"]["first_saturated_s"] is not None
    text = render(report, width=100)
    assert "Load generator: saturated" in text
    assert "saturated for" in text
    assert "first" in text
