"""The OpenAPI document of the HTTP API, made from the structs that travel.

`python -m chaperon_engine.serve.openapi` prints it; docs/openapi.json is that output. Must not
know: how anything is done.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import msgspec

from chaperon_engine.client.queue import QueueEntry
from chaperon_engine.metrics.snapshot import Snapshot
from chaperon_engine.serve.documents import UNSHOWN
from chaperon_engine.serve.options import RawOptions

_REF = "#/components/schemas/{name}"
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

_Schema = dict[str, Any]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chaperon",
            "version": "1",
            "description": "A queue of load tests: one runs at a time, the next starts when it "
            "ends.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://127.0.0.1:7080"}],
        "security": [{"basic": []}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The user is `chaperon`, the password is the token.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> dict[str, Any]:
    id = _path_parameter("id", {"type": "string", "pattern": _UUID}, "Id of a queue's entry.")
    run = _path_parameter(
        "run", {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,100}$"}, "Id of a run."
    )
    rows = _query("rows", _whole(0, 200, 50), "Rows of the table of series in each snapshot.")
    rate = _query("rate", _whole(1, 4, 4), "Snapshots a second.")
    limit = _query("limit", _whole(1, 1000, 100), "How many runs at most, the newest first.")
    format = _query(
        "format", {"type": "string", "enum": ["json", "csv"], "default": "json"}, "Of the report."
    )
    return {
        "/": {"get": _open(_operation("health", "Whether the server lives.", _text()))},
        "/healthcheck": {
            "get": _open(_operation("healthcheck", "Whether the server lives.", _text()))
        },
        "/version": {"get": _operation("version", "The version of Chaperon.", _text())},
        "/openapi.json": {
            "get": _operation("openapi", "This document.", _json({"type": "object"}))
        },
        "/events": {
            "get": _operation(
                "queueEvents",
                "Server-sent events `queue`: the whole queue (as of GET /load_tests), now and "
                "after each change; comments as heartbeats.",
                _events(),
                busy=True,
            )
        },
        "/load_tests": {
            "get": _operation("listLoadTests", "The queue.", _json(_ref("LoadTests"))),
            "post": _operation(
                "scheduleLoadTests",
                "Queue load tests, all of them or, when one is refused, none.",
                _json(_ref("Scheduled")),
                body=_ref("ScheduleRequest"),
                bad=True,
                conflict="The queue is full.",
                busy=True,
            ),
            "delete": _operation("cancelAll", "Cancel what runs and what waits.", _accepted()),
        },
        "/load_tests/scheduled": {
            "delete": _operation("cancelScheduled", "Cancel all that wait.", _accepted())
        },
        "/load_tests/{id}": {
            "parameters": [id],
            "get": _operation(
                "getLoadTest",
                "One entry; with live figures while it runs.",
                _json(_ref("LoadTest")),
                missing=True,
            ),
            "delete": _operation(
                "cancelLoadTest",
                "Cancel what waits or runs; what has ended stays as it is.",
                _accepted(),
                missing=True,
            ),
        },
        "/load_tests/{id}/position": {
            "parameters": [id],
            "put": _operation(
                "moveLoadTest",
                "Move what waits within the queue.",
                _json(_ref("QueueEntry")),
                body=_ref("Position"),
                bad=True,
                missing=True,
                conflict="It does not wait.",
            ),
        },
        "/load_tests/{id}/events": {
            "parameters": [id],
            "get": _operation(
                "loadTestEvents",
                "Server-sent events until the test has ended: `entry` (a QueueEntry, at each "
                "change) and `snapshot` (a Snapshot, as the terminal UI gets them; `intervals` "
                "and `logs` have what the stream has not had yet); comments as heartbeats.",
                _events(),
                parameters=[rows, rate],
                bad=True,
                missing=True,
                busy=True,
            ),
        },
        "/runs": {
            "get": _operation(
                "listRuns", "The runs on this machine.", _json(_ref("Runs")),
                parameters=[limit],
                bad=True,
            )
        },
        "/runs/{run}/report": {
            "parameters": [run],
            "get": _operation(
                "getReport",
                "The report of a run that has ended.",
                {
                    "description": "The report; as JSON see docs/report.schema.json.",
                    "content": {
                        "application/json": {"schema": {"type": "object"}},
                        "text/csv": {"schema": {"type": "string"}},
                    },
                },
                parameters=[format],
                bad=True,
                missing=True,
                conflict="The run has no report: it is running, or was killed.",
            ),
        },
    }  # fmt: skip


def _operation(
    name: str,
    summary: str,
    success: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: _Schema | None = None,
    bad: bool = False,
    missing: bool = False,
    conflict: str = "",
    busy: bool = False,
) -> dict[str, Any]:
    status = "202" if "content" not in success else "200"
    responses = {
        status: success,
        "401": _error("The token is missing or wrong."),
        "403": _error("Another web page, or a name that is not this server's, sent the request."),
        "429": _error("Too many wrong tokens: wait as long as Retry-After says."),
    }
    if bad:
        responses["400"] = _error("What is wrong, in one sentence.")
    if missing:
        responses["404"] = _error("There is none of that id.")
    if conflict:
        responses["409"] = _error(conflict)
    if body is not None:
        responses["408"] = _error("The body did not come in time.")
        responses["413"] = _error("The body is too long.")
        responses["415"] = _error("The body is no JSON.")
    if busy:
        responses["503"] = _error("Try again after Retry-After.")
    operation: dict[str, Any] = {"operationId": name, "summary": summary}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    operation["responses"] = responses
    return operation


def _open(operation: dict[str, Any]) -> dict[str, Any]:
    """Without a token."""
    kept = {"200": operation["responses"]["200"]}
    return {**operation, "security": [], "responses": kept}


def _ref(name: str) -> _Schema:
    return {"$ref": _REF.format(name=name)}


def _json(schema: _Schema) -> dict[str, Any]:
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _text() -> dict[str, Any]:
    return {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _events() -> dict[str, Any]:
    return {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }


def _accepted() -> dict[str, Any]:
    return {"description": "Accepted; without a body."}


def _error(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref("Error")}},
    }


def _path_parameter(name: str, schema: _Schema, description: str) -> dict[str, Any]:
    return {
        "name": name, "in": "path", "required": True, "schema": schema, "description": description,
    }  # fmt: skip


def _query(name: str, schema: _Schema, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _whole(least: int, most: int, default: int) -> _Schema:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


def _schemas() -> dict[str, Any]:
    kinds = [QueueEntry, RawOptions, Snapshot]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    found = {name: _by_name(schema) for name, schema in components.items()}
    options = found.pop("RawOptions")
    options["additionalProperties"] = False
    entry = found["QueueEntry"]
    snapshot = found["Snapshot"]["properties"]
    for unshown in UNSHOWN:
        del snapshot[unshown]
    entries = {"type": "array", "items": _ref("QueueEntry")}
    run_fields = ("id", "load_test", "state", "started_at", "status", "tag")
    run = {name: {"type": "string"} for name in run_fields}
    return {
        **found,
        "Options": options,
        "Error": _object({"error": {"type": "string"}}),
        "LoadTests": _object({"running": entries, "scheduled": entries, "ended": entries}),
        "LoadTest": {
            **_object(
                {
                    **entry["properties"],
                    "live": {
                        "anyOf": [_ref("Snapshot"), {"type": "null"}],
                        "description": "The newest snapshot, while the test runs.",
                    },
                }
            ),
            "description": "A QueueEntry and, while it runs, its newest snapshot.",
        },
        "ScheduleRequest": {
            **_object(
                {"load_tests": {"type": "array", "items": _ref("ScheduledTest"), "minItems": 1}}
            ),
            "additionalProperties": False,
        },
        "ScheduledTest": {
            "type": "object",
            "properties": {
                "test": {
                    "anyOf": [{"type": "string"}, {"type": "object"}],
                    "description": "`file.py`, `file.py:LoadTest`, the name of a load test, a "
                    ".toml or .json file, or a load test as data.",
                },
                "options": {"anyOf": [_ref("Options"), {"type": "null"}]},
            },
            "required": ["test"],
            "additionalProperties": False,
        },
        "Scheduled": _object({"scheduled": {"type": "array", "items": {"type": "string"}}}),
        "Position": {
            **_object({"position": {"type": "integer", "minimum": 1}}),
            "additionalProperties": False,
        },
        "Runs": _object(
            {
                "runs": {
                    "type": "array",
                    "items": _object({**run, "size_bytes": {"type": "integer"}}),
                }
            }
        ),
    }


def _object(properties: dict[str, Any]) -> _Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _by_name(schema: _Schema) -> _Schema:
    """The schema of a struct as `documents.as_objects` shows it: with names, also when it travels
    to the UI as an array. What always is there is not optional."""
    if "prefixItems" in schema:
        fields = _FIELDS[schema["title"]]
        properties = dict(zip(fields, schema["prefixItems"], strict=True))
        kept: _Schema = {key: schema[key] for key in ("title", "description") if key in schema}
        return {**kept, **_object(properties)}
    return schema


def _structs(kind: Any, found: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Names of the fields of `kind` and of all structs below it."""
    info = msgspec.inspect.type_info(kind)
    waiting: list[Any] = [info]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, msgspec.inspect.StructType):
            found[item.cls.__name__] = tuple(field.name for field in item.fields)
            waiting.extend(field.type for field in item.fields)
        for name in ("item_type", "key_type", "value_type"):
            inner = getattr(item, name, None)
            if inner is not None:
                waiting.append(inner)
        waiting.extend(getattr(item, "types", ()))
        waiting.extend(getattr(item, "item_types", ()))
    return found


_FIELDS = _structs(Snapshot, {})


if __name__ == "__main__":
    text = msgspec.json.format(msgspec.json.encode(document()), indent=1)
    sys.stdout.write(text.decode() + "\n")
