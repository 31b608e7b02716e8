"""The routes: Chaperon's own, and those that its queue never had.

Must not know: who may come in, how a queue is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from chaperon_engine import export
from chaperon_engine.client.queue import QueuedTest, QueueEntry
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.definition.problems import did_you_mean
from chaperon_engine.errors import UserError
from chaperon_engine.export.exporter import FileExporter, chunks
from chaperon_engine.metrics.snapshot import View
from chaperon_engine.runs.directory import all_runs
from chaperon_engine.runs.listing import RunSummary, list_runs, load_report
from chaperon_engine.serve.admission import Admission
from chaperon_engine.serve.app import Refusal
from chaperon_engine.serve.documents import as_objects, encode
from chaperon_engine.serve.guard import Gate
from chaperon_engine.serve.keeper import QueueKeeper
from chaperon_engine.serve.openapi import document
from chaperon_engine.serve.streams import Streams, queue_events, run_events
from chaperon_engine.text import visible
from chaperon_engine.version import __version__

Kind = TypeVar("Kind")

_ID = "{id:[0-9a-f-]{36}}"
_RUN = "{run:[A-Za-z0-9_.-]{1,100}}"
MAX_LISTED_RUNS = 1000
MAX_STREAM_ROWS = 200
_MEDIA = {"json": "application/json", "csv": "text/csv"}


class Position(msgspec.Struct, frozen=True):
    """Where a queued load test is to be."""

    position: int


class Handlers:
    """What the routes do."""

    def __init__(self, keeper: QueueKeeper, admission: Admission, streams: Streams, gate: Gate):
        self._keeper = keeper
        self._gate = gate
        self._admission = admission
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        """All routes. Those below /local are for the owner, through the unix socket."""
        table = {
            ("GET", "/"): self.health,
            ("GET", "/healthcheck"): self.health,
            ("GET", "/version"): self.version,
            ("GET", "/openapi.json"): self.openapi,
            ("GET", "/events"): self.events,
            ("GET", "/load_tests"): self.load_tests,
            ("POST", "/load_tests"): self.schedule,
            ("DELETE", "/load_tests"): self.cancel_all,
            ("DELETE", "/load_tests/scheduled"): self.cancel_scheduled,
            ("GET", f"/load_tests/{_ID}"): self.load_test,
            ("DELETE", f"/load_tests/{_ID}"): self.cancel,
            ("PUT", f"/load_tests/{_ID}/position"): self.move,
            ("GET", f"/load_tests/{_ID}/events"): self.run_events,
            ("GET", "/runs"): self.runs,
            ("GET", f"/runs/{_RUN}/report"): self.report,
            ("POST", "/local/load_tests"): self.schedule_own,
        }
        return [web.route(method, path, handler) for (method, path), handler in table.items()]

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(text=f"Chaperon @ {__version__}")

    async def version(self, request: web.Request) -> web.Response:
        return web.Response(text=__version__)

    async def openapi(self, request: web.Request) -> web.Response:
        return _json(document())

    async def load_tests(self, request: web.Request) -> web.Response:
        keeper = self._keeper
        return _json(
            {"running": keeper.running(), "scheduled": keeper.scheduled(), "ended": keeper.ended()}
        )

    async def schedule(self, request: web.Request) -> web.Response:
        items = await self._admission.admit(_read_tests(await request.read()))
        ids = [item.id for item in items]
        try:
            self._keeper.add(items)
        except UserError:
            self._admission.drop(ids)
            raise
        return _json({"scheduled": ids})

    async def schedule_own(self, request: web.Request) -> web.Response:
        guard = self._gate.guard_of(request.transport)
        if guard is None or not guard.is_local:
            raise web.HTTPNotFound
        item = await self._admission.admit_own(_decode(await request.read(), LaunchRequest))
        self._keeper.add([item])
        return _json(self._entry(item.id))

    async def cancel_all(self, request: web.Request) -> web.Response:
        self._keeper.cancel_all()
        return web.Response(status=202)

    async def cancel_scheduled(self, request: web.Request) -> web.Response:
        self._keeper.cancel_scheduled()
        return web.Response(status=202)

    async def cancel(self, request: web.Request) -> web.Response:
        self._keeper.cancel(self._entry(request.match_info["id"]).id)
        return web.Response(status=202)

    async def load_test(self, request: web.Request) -> web.Response:
        entry = self._entry(request.match_info["id"])
        return _json({**as_objects(entry), "live": self._keeper.live(entry.id)})

    async def move(self, request: web.Request) -> web.Response:
        entry = self._entry(request.match_info["id"])
        table = _table(await request.read())
        _refuse_unknown(table, Position.__struct_fields__, "the body")
        position = _convert(table, Position).position
        if position < 1:
            raise UserError("position must be 1 or more: 1 is the next to run")
        return _json(self._keeper.move(entry.id, position))

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.send(request, queue_events(self._keeper))

    async def run_events(self, request: web.Request) -> web.StreamResponse:
        entry = self._entry(request.match_info["id"])
        query = _query(request, ("rows", "rate"))
        rows = _number(query.get("rows", "50"), "rows", 0, MAX_STREAM_ROWS)
        rate = _number(query.get("rate", "4"), "rate", 1, 4)
        source = run_events(self._keeper, entry.id, View(limit=rows), rate)
        return await self._streams.send(request, source)

    async def runs(self, request: web.Request) -> web.Response:
        query = _query(request, ("limit",))
        limit = _number(query.get("limit", "100"), "limit", 1, MAX_LISTED_RUNS)
        runs = await asyncio.to_thread(list_runs)
        return _json({"runs": [_shown(run) for run in runs[:limit]]})

    async def report(self, request: web.Request) -> web.Response:
        query = _query(request, ("format",))
        format = query.get("format", "json")
        if format not in _MEDIA:
            raise UserError(f"format is '{visible(format, 60)}'{did_you_mean(format, _MEDIA)}")
        run = request.match_info["run"]
        body = await asyncio.to_thread(_encode_report, run, format)
        return web.Response(body=body, content_type=_MEDIA[format], charset="utf-8")

    def _entry(self, id: str) -> QueueEntry:
        entry = self._keeper.find(id)
        if entry is None:
            raise Refusal(404, f"there is no load test {visible(id, 60)} in the queue")
        return entry


def _json(value: Any) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")


def _encode_report(run: str, format: str) -> bytes:
    # Only a whole id: elsewhere a path may name a run as well.
    if run not in {directory.id for directory in all_runs()}:
        raise Refusal(404, f"there is no run {visible(run, 100)}")
    try:
        report = load_report(run)
    except UserError as error:
        raise Refusal(409, str(error)) from None
    exporter = export.find(format)
    assert isinstance(exporter, FileExporter)
    options = {option.name: option.default for option in exporter.options}
    return b"".join(chunks(exporter.encode(report, options)))


def _shown(run: RunSummary) -> dict[str, Any]:
    """A run without where on this machine its files lie."""
    return {
        "id": run.id,
        "load_test": run.load_test,
        "state": run.state,
        "started_at": run.started_at,
        "status": run.status,
        "tag": run.tag,
        "size_bytes": run.size_bytes,
    }


def _read_tests(body: bytes) -> list[QueuedTest]:
    table = _table(body)
    _refuse_unknown(table, ("load_tests",), "the body")
    tests = table.get("load_tests", [])
    if not isinstance(tests, list):
        raise UserError("load_tests must be a list")
    found = []
    for number, test in enumerate(tests):
        where = f"load_tests[{number}]"
        if not isinstance(test, dict):
            raise UserError(f"{where} must be an object with test and options")
        _refuse_unknown(test, QueuedTest.__struct_fields__, where)
        if test.get("options") is None:
            test = {key: value for key, value in test.items() if key != "options"}
        found.append(_convert(test, QueuedTest, f"{where}: "))
    return found


def _table(body: bytes) -> dict[str, Any]:
    return _decode(body, dict[str, Any])


def _decode(body: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise UserError(f"the body cannot be read: {visible(error)}") from None


def _convert(table: dict[str, Any], kind: type[Kind], where: str = "") -> Kind:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}{visible(error)}") from None


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise UserError(f"unknown '{visible(key, 80)}' in {where}{did_you_mean(key, known)}")


def _query(request: web.Request, known: tuple[str, ...]) -> Mapping[str, str]:
    _refuse_unknown(request.query, known, "the query")
    return request.query


def _number(text: str, what: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise UserError(f"{what} must be a whole number from {least} to {most}")
    return int(text)
