"""The routes: what they answer, and what they refuse."""

from __future__ import annotations

import base64
import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from chaperon_engine.net.allowed import AllowedTargets
from chaperon_engine.serve import admission, line
from chaperon_engine.version import __version__
from tests.serve.conftest import TOKEN, Api, StartServer

pytestmark = pytest.mark.usefixtures("idle")

NOBODY = str(uuid.UUID(int=1))


async def test_anybody_may_ask_whether_it_lives(api: Api) -> None:
    for path in ("/", "/healthcheck"):
        reply = await api("GET", path, headers={"Host": "any.example"})
        assert (reply.status, reply.body.decode()) == (200, f"Chaperon @ {__version__}")


async def test_the_version_is_plain_text(api: Api) -> None:
    reply = await api("GET", "/version")
    assert (reply.status, reply.body.decode()) == (200, __version__)
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert reply.headers["Server"] == "chaperon"


async def test_chaperon_is_the_user_and_the_token_the_password(api: Api) -> None:
    secret = base64.b64encode(f"chaperon:{TOKEN}".encode()).decode()
    reply = await api("GET", "/load_tests", headers={"Authorization": f"Basic {secret}"})
    assert reply.status == 200
    assert reply.json() == {"running": [], "scheduled": [], "ended": []}


async def test_without_the_token_nothing_is_told_not_even_what_exists(api: Api) -> None:
    for method, path in [
        ("GET", "/version"), ("GET", "/load_tests"), ("POST", "/load_tests"),
        ("DELETE", "/load_tests"), ("GET", "/no/such/page"), ("GET", "/openapi.json"),
        ("GET", "/runs"), ("GET", "/events"), ("POST", "/local/load_tests"), ("PATCH", "/"[:0]),
    ]:  # fmt: skip
        reply = await api(method, path or "/load_tests", headers={})
        assert reply.status == 401, (method, path)
        assert reply.headers["WWW-Authenticate"].startswith('Basic realm="chaperon"')


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no load tests given"),
        ({"load_tests": []}, "no load tests given"),
        ({"load_tests": {}}, "load_tests must be a list"),
        ({"load_test": []}, "unknown 'load_test' in the body; did you mean 'load_tests'?"),
        ({"load_tests": ["a"]}, r"load_tests\[0\] must be an object"),
        ({"load_tests": [{}]}, r"load_tests\[0\]: .*missing required field `test`"),
        ({"load_tests": [{"test": 5}]}, r"Expected `str \| object`, got `int`"),
        ({"load_tests": [{"tset": "a"}]}, "unknown 'tset'.*did you mean 'test'"),
        ({"load_tests": [{"test": ""}]}, "1 to 500 characters"),
        ({"load_tests": [{"test": "short.pyy"}]}, "there is no load test 'short.pyy' here"),
        ({"load_tests": [{"test": "shrt.py"}]}, "did you mean 'short.py'"),
        ({"load_tests": [{"test": "Quik"}]}, "did you mean 'Quick'"),
        ({"load_tests": [{"test": "short.py:Quik"}]}, "short.py: .*Quik"),
        ({"load_tests": [{"test": "short.py"}]}, "short.py: "),
        ({"load_tests": [{"test": "short.py:Quick", "options": {"x": 1}}]}, "unknown option 'x'"),
        (
            {"load_tests": [{"test": "short.py:Quick", "options": {"listen": "127.0.0.1:0"}}]},
            "listen: a run of the queue is made on this machine alone",
        ),
        (
            {"load_tests": [{"test": "Quick", "options": {"export": "influxdb"}}]},
            "export 'influxdb' is not allowed here; known are csv, json and timeline",
        ),
        (
            {"load_tests": [{"test": "Quick", "options": {"config": {"delai": 1}}}]},
            "unknown setting 'delai' in config.json.*did you mean 'delay'",
        ),
        (
            {"load_tests": [{"test": "Quick", "options": {"config": {"tls": {"ca_file": "x"}}}}]},
            "config.tls.ca_file names a file of this machine",
        ),
        ({"load_tests": [{"test": "Quick"}, {"test": "Quik"}]}, r"load_tests\[1\]: "),
        ({"load_tests": [{"test": "Quick"}] * 51}, "51 load tests at once; 50 are allowed"),
    ],
)
async def test_a_wrong_request_is_refused_with_one_sentence_and_queues_nothing(
    api: Api, home: Path, body: Any, words: str
) -> None:
    reply = await api("POST", "/load_tests", json=body)
    assert reply.status == 400
    assert re.search(words, reply.error), reply.error
    assert str(home.parent) not in reply.error
    listed = (await api("GET", "/load_tests")).json()
    assert listed == {"running": [], "scheduled": [], "ended": []}
    assert not list(home.glob("queue/inputs/*"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b"NaN"])
async def test_a_body_that_is_no_json_object_is_refused(api: Api, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    reply = await api("POST", "/load_tests", data=body, headers=headers)
    assert reply.status == 400
    assert reply.error.startswith("the body cannot be read")


async def test_pages_and_entries_that_are_not_there(api: Api) -> None:
    for method, path, status in [
        ("GET", "/no/such/page", 404), ("POST", "/no/such/page", 404),
        ("GET", f"/load_tests/{NOBODY}", 404), ("DELETE", f"/load_tests/{NOBODY}", 404),
        ("GET", f"/load_tests/{NOBODY}/events", 404), ("GET", "/load_tests/not-an-id", 404),
        ("GET", "/runs/20261121-204512-x-a1b2/report", 404), ("GET", "/runs/../report", 404),
        ("GET", "/runs/%2e%2e/report", 404), ("GET", "/runs/..%2f..%2fetc/report", 404),
        ("POST", "/local/load_tests", 404), ("PUT", "/load_tests", 405),
    ]:  # fmt: skip
        body: dict[str, Any] | None = {} if method in ("POST", "PUT") else None
        reply = await api(method, path, json=body)
        assert reply.status == status, (method, path)
        assert reply.error
    assert (await api("PUT", "/load_tests", json={})).headers["Allow"]


async def test_unknown_and_wrong_queries_are_refused(api: Api) -> None:
    assert "did you mean 'limit'" in (await api("GET", "/runs?limt=5")).error
    for limit in ("0", "x", "1001", "-1", "9" * 5000):
        assert (await api("GET", f"/runs?limit={limit}")).status == 400
    assert (await api("GET", "/runs?limit=5")).json() == {"runs": []}
    id = (await api.post("short.py:Quick")).json()["scheduled"][0]
    for query in ("rows=201", "rate=0", "rate=x", "row=5"):
        assert (await api("GET", f"/load_tests/{id}/events?{query}")).status == 400
    await api("DELETE", "/load_tests")


def aim(place: str, url: str) -> dict[str, Any]:
    """A config that aims at `url` from one of the places where that can be said."""
    service = {"target": {"base_url": url}}
    configs: dict[str, dict[str, Any]] = {
        "base_url": {"base_url": url},
        "services": {"services": service},
        "short form": {"services": {"target": url}},
        "population": {"populations": {"Get": {"config": {"services": service}}}},
        "own key": {"config": {"page": url}},
        "list": {"config": {"pages": [["x", url]]}},
    }
    return configs[place]


@pytest.mark.parametrize(
    "place", ["base_url", "services", "short form", "population", "own key", "list"]
)
async def test_no_place_of_a_request_may_aim_anywhere(api: Api, place: str) -> None:
    reply = await api.post("short.py:Quick", config=aim(place, "ws://169.254.169.254/"))
    assert reply.status == 400
    assert "which this server must not load" in reply.error
    assert "--allow-target" in reply.error


async def test_loopback_own_services_and_what_the_operator_allows_may_be_aimed_at(
    start: StartServer,
) -> None:
    api = await start(targets=AllowedTargets(["*.staging.example"]))
    for test, url in [
        ("short.py:Quick", "http://127.0.0.1:9"),
        ("short.py:Quick", "https://a.staging.example/api"),
        ("short.py:Remote", "http://service.example:8080/other"),
    ]:
        reply = await api.post(test, config=aim("population", url))
        assert reply.status == 200, reply.body
    reply = await api.post(
        "short.py:Quick", config=aim("population", "http://service.example:8080")
    )
    assert reply.status == 400, "the services of one file are not those of another"
    await api("DELETE", "/load_tests")


async def test_load_tests_as_data_are_taken_with_services_that_are_allowed(
    api: Api, target: str
) -> None:
    data = {"name": "Told", "services": {"t": target}, "scenarios": ["short.py:Get"]}
    ids = (await api.post(data, tag="data")).json()["scheduled"]
    entry = await api.entry(ids[0])
    assert (entry["name"], entry["tag"], entry["state"]) == ("Told", "data", "running")
    for wrong, words in [
        ({**data, "services": {"t": "http://service.example"}}, "test.services.t is"),
        ({**data, "default_config": {"services": {"t": "http://e.example"}}}, "default_config"),
        ({**data, "scenarios": ["../short.py:Get"]}, "must lie in the folder"),
        ({**data, "scenarios": ["/etc/passwd:Get"]}, "scenario"),
        ({**data, "scenarios": []}, "no scenarios"),
        ({**data, "scenario": []}, "unknown key 'scenario'"),
        ({}, "no scenarios"),
    ]:
        reply = await api.post(wrong)
        assert reply.status == 400
        assert words in reply.error, reply.error
    await api("DELETE", "/load_tests")


async def test_data_files_of_the_folder_are_load_tests_too(api: Api, folder: Path) -> None:
    (folder / "told.toml").write_text(
        'services = {t = "http://service.example"}\nscenarios = ["short.py:Get"]\n'
    )
    (folder / "told.json").write_text(
        json.dumps({"services": {"t": "http://a.example"}, "scenarios": ["short.py:Get"]})
    )
    for name in ("told.toml", "told.json"):
        reply = await api.post(name)
        assert reply.status == 200, reply.body
    await api("DELETE", "/load_tests")


async def test_queued_tests_are_listed_moved_and_cancelled(api: Api) -> None:
    running = (await api.post("short.py:Long")).json()["scheduled"][0]
    ids = []
    for tag in ("a", "b", "c"):
        ids += (await api.post("short.py:Quick", tag=tag)).json()["scheduled"]

    async def order() -> str:
        listed = (await api("GET", "/load_tests")).json()
        assert [entry["position"] for entry in listed["scheduled"]] == list(
            range(1, len(listed["scheduled"]) + 1)
        )
        assert [entry["id"] for entry in listed["running"]] == [running]
        return "".join(entry["tag"] for entry in listed["scheduled"])

    assert await order() == "abc"
    first = (await api("GET", "/load_tests")).json()["scheduled"][0]
    assert {"id", "name", "tag"} <= set(first)
    assert first["name"] == "Quick"
    moved = await api("PUT", f"/load_tests/{ids[2]}/position", json={"position": 1})
    assert moved.json()["position"] == 1
    assert await order() == "cab"
    moved = await api("PUT", f"/load_tests/{ids[2]}/position", json={"position": 99})
    assert moved.json()["position"] == 3
    assert await order() == "abc"
    for position in (0, -1, "1", 1.5, None):
        path = f"/load_tests/{ids[0]}/position"
        assert (await api("PUT", path, json={"position": position})).status == 400
    path = f"/load_tests/{running}/position"
    assert (await api("PUT", path, json={"position": 1})).status == 409
    reply = await api("DELETE", f"/load_tests/{ids[1]}")
    assert (reply.status, reply.body) == (202, b"")
    assert await order() == "ac"
    assert (await api.entry(ids[1]))["state"] == "cancelled"
    assert (await api("DELETE", f"/load_tests/{ids[1]}")).status == 202
    assert (await api("DELETE", "/load_tests/scheduled")).status == 202
    assert await order() == ""
    assert (await api("DELETE", "/load_tests")).status == 202
    await api.until(running, "cancelled")


async def test_no_more_requests_wait_for_their_files_than_is_reasonable(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WAITING_REQUESTS", 0)
    reply = await api.post("short.py:Quick")
    assert reply.status == 503
    assert reply.headers["Retry-After"]


async def test_a_full_queue_takes_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_WAITING", 0)
    reply = await api.post("short.py:Quick", config={"delay": 1})
    assert reply.status == 409
    assert "the queue holds" in reply.error


async def test_a_disk_that_is_full_leaves_the_queue_as_it_was(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chaperon_engine.serve.store.write_atomic", full)
    reply = await api.post("short.py:Quick")
    assert reply.status == 503
    assert "No space left" in reply.error
    assert (await api("GET", "/load_tests")).json()["scheduled"] == []


async def test_an_export_over_the_network_goes_where_the_operator_says_and_nowhere_else(
    start: StartServer, home: Path
) -> None:
    where = "http://127.0.0.1:8086/load"
    api = await start(exports={"influxdb": where})
    id = (await api.post("short.py:Quick", export=["influxdb", "csv"])).json()["scheduled"][0]
    kept = json.loads((home / "queue/queue.json").read_text())["queue"]["running"]
    assert (kept["id"], kept["request"]["exports"]) == (id, {"influxdb": where, "csv": ""})
    for options in ({"export": "influxdb", "output": "x.csv"}, {"export": f"influxdb={where}"}):
        assert (await api.post("short.py:Quick", **options)).status == 400
    await api("DELETE", "/load_tests")
