"""`chaperon_engine.run`: a load test from pytest, a script or a notebook.

Owns: from keywords to a LaunchRequest; waiting for the report with or without an event loop in the
caller's thread. Must not know: how a run is started.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaperon_engine.client.archive import final_report, option_texts
from chaperon_engine.client.describing import INSIDE
from chaperon_engine.client.launching import launch
from chaperon_engine.client.source import request_for
from chaperon_engine.definition.model import LoadTest, Scenario
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.metrics.snapshot import Snapshot, View
from chaperon_engine.runs.report import Report
from chaperon_engine.units import Duration, count, seconds


def run(
    load_test: type[LoadTest] | type[Scenario] | str | Path | Mapping[str, Any],
    *,
    set: Sequence[str] = (),
    config_file: str | Path | None = None,
    sessions: int | str | Mapping[str, int] | None = None,
    duration: Duration | None = None,
    iterations: int | str | None = None,
    shared_iterations: int | str | None = None,
    warmup: Duration | None = None,
    metrics: Sequence[str] | None = None,
    workers: int | None = None,
    pin: bool = True,
    seed: int | None = None,
    tag: str = "",
    exports: Mapping[str, str | Path] | None = None,
    export_options: Mapping[str, Mapping[str, object]] | None = None,
    preflight: bool = True,
    max_time: Duration | None = None,
    on_snapshot: Callable[[Snapshot], None] | None = None,
) -> Report:
    """Run a load test on this machine and answer its report.

    `load_test` is a class at the top level of a file (or of a notebook's cell), or `FILE[:NAME]`,
    or plain data: `{"name", "doc", "services", "scenarios", "default_config", "warmup"}` as in a
    TOML or JSON file, with scenarios named `file.py:Class` or `module:Class` below the current
    directory.
    `metrics` are the kinds, actions, methods or names of those to keep.
    `set` takes `a.b=value`, as the command line does; `exports` are destinations by format, empty
    for the default one. `on_snapshot` is called about four times a second while the load runs.
    Works in a thread with a running event loop too, which it blocks.
    Raises UserError and EngineError.
    """
    if os.environ.get(INSIDE):
        raise UserError(
            "run() was called while its own file was being loaded: put the call below "
            "`if __name__ == '__main__':`"
        )
    try:
        request = msgspec.structs.replace(
            request_for(load_test),
            overrides=list(set),
            config_file=None if config_file is None else str(Path(config_file).absolute()),
            sessions=_sessions(sessions),
            duration_s=None if duration is None else seconds(duration),
            iterations=None if iterations is None else count(iterations, "iterations"),
            shared_iterations=(
                None if shared_iterations is None else count(shared_iterations, "shared_iterations")
            ),
            warmup_s=None if warmup is None else seconds(warmup, "warmup"),
            metrics=_metrics(metrics),
            workers=workers,
            pin=pin,
            seed=seed,
            tag=tag,
            exports={format: str(path) for format, path in (exports or {}).items()},
            export_options={
                format: option_texts(options) for format, options in (export_options or {}).items()
            },
            preflight=preflight,
            max_time_s=None if max_time is None else seconds(max_time, "max_time"),
        )
    except ValueError as error:
        raise UserError(str(error)) from None
    return _in_own_loop(request, on_snapshot)


def _metrics(metrics: object) -> list[str] | None:
    if metrics is None:
        return None
    if isinstance(metrics, Sequence) and not isinstance(metrics, str | bytes):
        return [str(word) for word in metrics]
    raise UserError(
        "metrics of run() must be a list of kinds, actions or names; a function cannot reach the "
        "workers from here: write it into the load test, metrics = ..."
    )


def _sessions(sessions: int | str | Mapping[str, int] | None) -> dict[str, int]:
    if sessions is None:
        return {}
    if isinstance(sessions, Mapping):
        return dict(sessions)
    return {"*": count(sessions, "sessions")}


def _in_own_loop(request: LaunchRequest, on_snapshot: Callable[[Snapshot], None] | None) -> Report:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_run(request, on_snapshot))
    results: list[Report] = []
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            results.append(asyncio.run(_run(request, on_snapshot)))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread, name="chaperon run", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


async def _run(request: LaunchRequest, on_snapshot: Callable[[Snapshot], None] | None) -> Report:
    async with await launch(request) as client:
        nothing = View(limit=0, worker_limit=0)
        await client.subscribe(nothing if on_snapshot is None else View())
        async for snapshot in client.snapshots():
            if on_snapshot is not None:
                on_snapshot(snapshot)
        return final_report(snapshot)
