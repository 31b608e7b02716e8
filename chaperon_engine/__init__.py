"""The headless engine of Chaperon. Front doors and scenarios import from here only.

Names are loaded when they are first used (PEP 562), so that `import chaperon_engine` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chaperon_engine.version import __version__

if TYPE_CHECKING:
    from chaperon_engine.actions import Actionable, HttpAction, WebSocketAction
    from chaperon_engine.cli.quick import url_request
    from chaperon_engine.client.archive import (
        attach,
        check_exports,
        exit_code,
        export_format,
        export_formats,
        export_report,
        final_report,
        load_window,
        recover,
    )
    from chaperon_engine.client.call import run
    from chaperon_engine.client.connection import RunClient
    from chaperon_engine.client.describing import describe, discover
    from chaperon_engine.client.launching import MAX_AGENTS, MAX_WORKERS, launch
    from chaperon_engine.client.queue import (
        QueueClient,
        QueuedTest,
        QueueEntry,
        QueueUnavailable,
    )
    from chaperon_engine.client.remote import attach_remote
    from chaperon_engine.client.trial import TrialEvent, trial
    from chaperon_engine.client.wire import Outage
    from chaperon_engine.clock import Clock, SystemClock
    from chaperon_engine.definition.model import LoadTest, Population, Scenario, Service, Tls
    from chaperon_engine.definition.plan import (
        Entry,
        LaunchRequest,
        LoadProfile,
        Plan,
        PopulationPlan,
        ServicePlan,
    )
    from chaperon_engine.definition.secrets import Secret
    from chaperon_engine.engine.address import address_of
    from chaperon_engine.errors import (
        EXIT_BAD_INPUT,
        EXIT_EXPORT_FAILED,
        EXIT_INTERRUPTED,
        EXIT_NO_SESSION,
        EXIT_OK,
        EXIT_THRESHOLDS_FAILED,
        ActionCancelled,
        ActionError,
        BodyCutShort,
        ChaperonError,
        CheckedTimeout,
        CloseTimeout,
        ConnectFailed,
        ConnectionLost,
        ConnectionRefused,
        ConnectTimeout,
        DecodeError,
        DnsError,
        EngineError,
        FirstByteTimeout,
        GeneratorExhausted,
        InvalidRequest,
        MessageBacklog,
        MessageTimeout,
        MissingConfig,
        PongTimeout,
        ProtocolViolation,
        RedirectError,
        RequestTimeout,
        ScheduleFailed,
        SessionAborted,
        SessionRefused,
        TlsError,
        TlsTimeout,
        TlsVerificationError,
        TooLarge,
        TotalTimeout,
        UpgradeRefused,
        UpgradeTimeout,
        UserError,
        WebSocketClosed,
        WebSocketNotOpen,
    )
    from chaperon_engine.export import (
        Encoded,
        Exporter,
        ExportError,
        ExportFormat,
        FileExporter,
    )
    from chaperon_engine.export import Option as ExportOption
    from chaperon_engine.export import Output as ExportOutput
    from chaperon_engine.export.summary import render as render_summary
    from chaperon_engine.http import FilePart, Response
    from chaperon_engine.metrics.distinction import distinctions, kind_word
    from chaperon_engine.metrics.model import (
        CheckCount,
        ExceptionGroup,
        IterationCounts,
        LogLine,
        SeriesKey,
        SessionCounts,
    )
    from chaperon_engine.metrics.snapshot import (
        HEATMAP_EDGES_US,
        PERCENTILES,
        ErrorRow,
        HealthView,
        Interval,
        MembersView,
        MessageSecond,
        MessageTotals,
        Percentiles,
        SeriesDetail,
        SeriesRow,
        Snapshot,
        Totals,
        View,
        WindowSummary,
        WorkerRow,
    )
    from chaperon_engine.metrics.summary import (
        Distribution,
        ReportHealth,
        ReportMessages,
        ReportMetric,
        ReportTotals,
    )
    from chaperon_engine.protocol.messages import Gathering
    from chaperon_engine.protocol.token import Token
    from chaperon_engine.remote.dial import Authority
    from chaperon_engine.remote.tokens import read_token
    from chaperon_engine.runs.listing import (
        RunSummary,
        delete_run,
        list_runs,
        load_report,
        prune_runs,
    )
    from chaperon_engine.runs.report import (
        Report,
        ReportCheck,
        ReportException,
        ReportInterval,
        ReportRun,
        ReportWorker,
    )
    from chaperon_engine.session import ANY, ChildHandle, Session, SpreadHandle
    from chaperon_engine.text import visible, visible_block
    from chaperon_engine.units import (
        Duration,
        count,
        seconds,
        show_bytes,
        show_count,
        show_duration,
        show_us,
    )
    from chaperon_engine.worker.trial_events import (
        TrialCheck,
        TrialException,
        TrialFailure,
        TrialFinished,
        TrialLog,
        TrialRequest,
        TrialResponse,
        TrialSocket,
        TrialStarted,
    )
    from chaperon_engine.ws import WebSocket

_HOMES: dict[str, str] = {
    "actions": "Actionable HttpAction WebSocketAction",
    "client.archive": (
        "attach check_exports exit_code export_format export_formats export_report final_report "
        "load_window recover"
    ),
    "client.call": "run",
    "client.connection": "RunClient",
    "client.describing": "describe discover",
    "client.launching": "MAX_AGENTS MAX_WORKERS launch",
    "client.queue": "QueueClient QueueEntry QueueUnavailable QueuedTest",
    "client.remote": "attach_remote",
    "client.trial": "TrialEvent trial",
    "client.wire": "Outage",
    "cli.quick": "url_request",
    "clock": "Clock SystemClock",
    "definition.model": "LoadTest Population Scenario Service Tls",
    "definition.secrets": "Secret",
    "definition.plan": "Entry LaunchRequest LoadProfile Plan PopulationPlan ServicePlan",
    "engine.address": "address_of",
    "errors": (
        "EXIT_BAD_INPUT EXIT_EXPORT_FAILED EXIT_INTERRUPTED EXIT_NO_SESSION EXIT_OK "
        "EXIT_THRESHOLDS_FAILED ActionCancelled ActionError BodyCutShort ChaperonError "
        "CheckedTimeout ConnectFailed ConnectTimeout ConnectionLost ConnectionRefused DecodeError "
        "DnsError EngineError FirstByteTimeout GeneratorExhausted InvalidRequest MissingConfig "
        "ProtocolViolation RedirectError RequestTimeout ScheduleFailed SessionAborted "
        "SessionRefused TlsError TlsTimeout TlsVerificationError TooLarge TotalTimeout UserError "
        "CloseTimeout MessageBacklog MessageTimeout PongTimeout UpgradeRefused UpgradeTimeout "
        "WebSocketClosed WebSocketNotOpen"
    ),
    "export": (
        "Encoded ExportError ExportFormat ExportOption=Option ExportOutput=Output Exporter "
        "FileExporter"
    ),
    "export.summary": "render_summary=render",
    "http": "FilePart Response",
    "metrics.distinction": "distinctions kind_word",
    "metrics.model": ("CheckCount ExceptionGroup IterationCounts LogLine SeriesKey SessionCounts"),
    "metrics.snapshot": (
        "ErrorRow HEATMAP_EDGES_US HealthView Interval MembersView MessageSecond MessageTotals "
        "PERCENTILES Percentiles SeriesDetail SeriesRow Snapshot Totals View WindowSummary "
        "WorkerRow"
    ),
    "metrics.summary": "Distribution ReportHealth ReportMessages ReportMetric ReportTotals",
    "protocol.messages": "Gathering",
    "protocol.token": "Token",
    "remote.dial": "Authority",
    "remote.tokens": "read_token",
    "runs.listing": "RunSummary delete_run list_runs load_report prune_runs",
    "runs.report": "Report ReportCheck ReportException ReportInterval ReportRun ReportWorker",
    "session": "ANY ChildHandle Session SpreadHandle",
    "text": "visible visible_block",
    "worker.trial_events": (
        "TrialCheck TrialException TrialFailure TrialFinished TrialLog TrialRequest "
        "TrialResponse TrialSocket TrialStarted"
    ),
    "ws": "WebSocket",
    "units": "Duration count seconds show_bytes show_count show_duration show_us",
}
"""Module to the names it gives; `name=other` is called `other` there."""

_HOME_OF = {
    name: (home, inner or name)
    for home, names in _HOMES.items()
    for name, _, inner in (entry.partition("=") for entry in names.split())
}

__all__ = [
    "ANY",
    "EXIT_BAD_INPUT",
    "EXIT_EXPORT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_NO_SESSION",
    "EXIT_OK",
    "EXIT_THRESHOLDS_FAILED",
    "HEATMAP_EDGES_US",
    "MAX_AGENTS",
    "MAX_WORKERS",
    "PERCENTILES",
    "ActionCancelled",
    "ActionError",
    "Actionable",
    "Authority",
    "BodyCutShort",
    "ChaperonError",
    "CheckCount",
    "CheckedTimeout",
    "ChildHandle",
    "Clock",
    "CloseTimeout",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "ConnectionRefused",
    "DecodeError",
    "Distribution",
    "DnsError",
    "Duration",
    "Encoded",
    "EngineError",
    "Entry",
    "ErrorRow",
    "ExceptionGroup",
    "ExportError",
    "ExportFormat",
    "ExportOption",
    "ExportOutput",
    "Exporter",
    "FileExporter",
    "FilePart",
    "FirstByteTimeout",
    "Gathering",
    "GeneratorExhausted",
    "HealthView",
    "HttpAction",
    "Interval",
    "InvalidRequest",
    "IterationCounts",
    "LaunchRequest",
    "LoadProfile",
    "LoadTest",
    "LogLine",
    "MembersView",
    "MessageBacklog",
    "MessageSecond",
    "MessageTimeout",
    "MessageTotals",
    "MissingConfig",
    "Outage",
    "Percentiles",
    "Plan",
    "PongTimeout",
    "Population",
    "PopulationPlan",
    "ProtocolViolation",
    "QueueClient",
    "QueueEntry",
    "QueueUnavailable",
    "QueuedTest",
    "RedirectError",
    "Report",
    "ReportCheck",
    "ReportException",
    "ReportHealth",
    "ReportInterval",
    "ReportMessages",
    "ReportMetric",
    "ReportRun",
    "ReportTotals",
    "ReportWorker",
    "RequestTimeout",
    "Response",
    "RunClient",
    "RunSummary",
    "Scenario",
    "ScheduleFailed",
    "Secret",
    "SeriesDetail",
    "SeriesKey",
    "SeriesRow",
    "Service",
    "ServicePlan",
    "Session",
    "SessionAborted",
    "SessionCounts",
    "SessionRefused",
    "Snapshot",
    "SpreadHandle",
    "SystemClock",
    "Tls",
    "TlsError",
    "TlsTimeout",
    "TlsVerificationError",
    "Token",
    "TooLarge",
    "TotalTimeout",
    "Totals",
    "TrialCheck",
    "TrialEvent",
    "TrialException",
    "TrialFailure",
    "TrialFinished",
    "TrialLog",
    "TrialRequest",
    "TrialResponse",
    "TrialSocket",
    "TrialStarted",
    "UpgradeRefused",
    "UpgradeTimeout",
    "UserError",
    "View",
    "WebSocket",
    "WebSocketAction",
    "WebSocketClosed",
    "WebSocketNotOpen",
    "WindowSummary",
    "WorkerRow",
    "__version__",
    "address_of",
    "attach",
    "attach_remote",
    "check_exports",
    "count",
    "delete_run",
    "describe",
    "discover",
    "distinctions",
    "exit_code",
    "export_format",
    "export_formats",
    "export_report",
    "final_report",
    "kind_word",
    "launch",
    "list_runs",
    "load_report",
    "load_window",
    "prune_runs",
    "read_token",
    "recover",
    "render_summary",
    "run",
    "seconds",
    "show_bytes",
    "show_count",
    "show_duration",
    "show_us",
    "trial",
    "url_request",
    "visible",
    "visible_block",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, inner = _HOME_OF[name]
    value = getattr(import_module(f"{__name__}.{home}"), inner)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
