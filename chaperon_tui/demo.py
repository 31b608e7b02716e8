"""The demo without a screen: ten seconds of the bundled scenario, told in lines.

For `chaperon-tui --demo` where there is no terminal. Must not import the toolkit of the screens.
"""

from __future__ import annotations

import asyncio

from chaperon_engine import (
    EngineError,
    Entry,
    LaunchRequest,
    Snapshot,
    UserError,
    View,
    describe,
    discover,
    final_report,
    launch,
    render_summary,
    show_count,
    show_us,
)
from chaperon_tui.target import BundledTarget

DURATION_S = 10.0
LOAD_TEST = "CheckoutTest"


def run_demo() -> int:
    """Run it and print progress, summary and paths; answers the exit code. Raises ChaperonError."""
    with BundledTarget() as target:
        return asyncio.run(_run(target.url))


def demo_entry() -> Entry:
    """The bundled load test of the demo. Raises UserError if it is not installed."""
    found = [entry for entry in discover() if entry.name == LOAD_TEST and not entry.problem]
    if found:
        return min(found, key=lambda entry: entry.origin != "bundled")
    raise UserError(f"the bundled scenario {LOAD_TEST} is missing; install Chaperon again")


async def _run(url: str) -> int:
    entry = demo_entry()
    request = LaunchRequest(file=entry.file, name=entry.name)
    plan = await describe(request)
    request = LaunchRequest(
        file=entry.file,
        name=entry.name,
        overrides=[f"services.{service.name}.base_url={url}" for service in plan.services],
        duration_s=DURATION_S,
        tag="demo",
        exports={"csv": "", "json": ""},
    )
    print(f"{plan.load_test}: {plan.sessions} sessions for {DURATION_S:.0f} s against {url}")
    last: Snapshot | None = None
    async with await launch(request) as client:
        await client.subscribe(View(limit=0), rate_hz=1.0)
        said = -1
        async for last in client.snapshots():
            if last.state != "finished" and int(last.elapsed_s) > said:
                said = int(last.elapsed_s)
                print(progress_line(last), flush=True)
    if last is None:
        raise EngineError(f"the run {client.run_id} ended without a word")
    report = final_report(last)
    files = {"report": last.report_path} if last.report_path else {}
    print()
    print(render_summary(report, files={**files, **last.exports}), end="")
    for name, reason in last.export_errors.items():
        print(f"{name} was not written: {reason}")
    return 1 if last.export_errors else 0


def progress_line(snapshot: Snapshot) -> str:
    """One line a second."""
    latency = snapshot.latency_now
    return (
        f"{snapshot.elapsed_s:4.0f} s  {show_count(snapshot.requests_per_s):>6} requests/s  "
        f"p50 {show_us(latency.p50)}  p99 {show_us(latency.p99)}  "
        f"failed {show_count(snapshot.totals.failed)}  generator {snapshot.health.verdict}"
    )
