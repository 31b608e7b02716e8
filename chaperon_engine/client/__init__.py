"""What front doors use: find and describe scenarios, launch and attach to runs, read their reports.

Everything here works without a terminal and from inside or outside of an event loop as its
signature says. Must not know: who draws what it answers.

`export_report` is called so because `chaperon_engine.export` is the package of exporters.
"""

from __future__ import annotations

from chaperon_engine.client.archive import (
    attach,
    check_exports,
    delete_run,
    discover,
    exit_code,
    export_format,
    export_formats,
    export_report,
    final_report,
    list_runs,
    load_report,
    load_window,
    prune_runs,
    recover,
)
from chaperon_engine.client.call import run
from chaperon_engine.client.connection import RunClient
from chaperon_engine.client.launching import describe, launch
from chaperon_engine.client.wire import Outage
from chaperon_engine.runs.listing import RunSummary

__all__ = [
    "Outage",
    "RunClient",
    "RunSummary",
    "attach",
    "check_exports",
    "delete_run",
    "describe",
    "discover",
    "exit_code",
    "export_format",
    "export_formats",
    "export_report",
    "final_report",
    "launch",
    "list_runs",
    "load_report",
    "load_window",
    "prune_runs",
    "recover",
    "run",
]
