"""The OpenAPI document: current, complete, and kept by the server (schemathesis)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from chaperon_engine.client.queue import QueueEntry
from chaperon_engine.protocol.messages import Gathering
from chaperon_engine.serve.documents import as_objects
from chaperon_engine.serve.handlers import Handlers
from chaperon_engine.serve.openapi import document
from tests.serve.conftest import COMMAND, ROOT, TOKEN, Api

COMMITTED = ROOT / "docs/openapi.json"


def test_the_committed_document_is_current() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "chaperon_engine.serve.openapi"],
        capture_output=True, text=True, timeout=30, check=True,
    ).stdout  # fmt: skip
    assert COMMITTED.read_text() == printed, (
        "python -m chaperon_engine.serve.openapi > docs/openapi.json"
    )


def test_it_has_every_route_but_the_owners() -> None:
    routes = {
        (route.method.lower(), re.sub(r"\{(\w+):[^/]*\}", r"{\1}", route.path))
        for route in Handlers(None, None, None, None).routes()  # type: ignore[arg-type]
        if not route.path.startswith("/local/")
    }
    described = {
        (method, path)
        for path, item in document()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == routes


async def test_the_server_gives_the_same(api: Api) -> None:
    assert (await api("GET", "/openapi.json")).json() == msgspec.json.decode(COMMITTED.read_bytes())


async def test_what_a_running_test_answers_fits_its_schema(api: Api) -> None:
    components = {"components": document()["components"]}
    validator = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/LoadTest", **components}
    )
    id = (await api.post("short.py:Long", tag="x")).json()["scheduled"][0]
    await api.until_running(id)
    entry: dict[str, Any] = {"live": None}
    while not (entry["live"] and entry["live"]["series"]):
        entry = await api.entry(id)
        validator.validate(entry)
    await api("DELETE", "/load_tests")
    await api.until(id, "cancelled")


def test_an_entry_as_the_client_reads_it_is_what_is_sent() -> None:
    entry = QueueEntry(id="x", name="X", state="queued", submitted_at="t", position=1)
    assert msgspec.convert(as_objects(entry), QueueEntry) == entry


schema = schemathesis.openapi.from_path(COMMITTED)
streams = ("/events", "/load_tests/{id}/events")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server as a process. Its folder is empty: nothing that is made up can start a run."""
    root = tmp_path_factory.mktemp("openapi")
    (root / "load").mkdir()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--folder", "load", "--quiet"],
        cwd=root, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CHAPERON_HOME": str(root / "home"),
             "CHAPERON_API_TOKEN": TOKEN},
    )  # fmt: skip
    assert process.stdout is not None
    yield process.stdout.readline().split()[2]
    process.terminate()
    assert process.wait(timeout=20) == 0
    process.stdout.close()


@schema.exclude(path=list(streams)).parametrize()
@settings(
    max_examples=12, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_whatever_is_sent_the_answer_is_one_that_the_document_tells(
    case: schemathesis.Case[Any], server: str
) -> None:
    # Which tests there are is not for a schema to say: of those that are made up here none is.
    excluded: list[Any] = (
        [positive_data_acceptance] if case.operation.label == "POST /load_tests" else []
    )
    case.call_and_validate(
        base_url=server,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=20,
        excluded_checks=excluded,
    )


def test_how_to_attach_is_no_part_of_what_the_queue_shows():
    shown = as_objects(Gathering(join="j", attach="a", token_file="/t", expected=1, attached=[]))
    assert shown == {"expected": 1, "attached": []}
