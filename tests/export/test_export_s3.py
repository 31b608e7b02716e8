"""Documents in a bucket of moto's S3, and stores that refuse or are down."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import pytest
from aiohttp import web

from chaperon_engine import export
from chaperon_engine.errors import UserError
from chaperon_engine.export import s3
from tests.export.canned import report
from tests.export.servers import answer, contract_server, moto_server, silent

STEM = "load/runs/2026-11-21/CheckoutTest/nightly-20261121-205716-k3f9"
SECRET = "s3cr3t/key+of+the+user"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{abs(hash(request.node.name))}"
    client(endpoint).create_bucket(Bucket=name)
    return name


@lru_cache(maxsize=1)
def client(endpoint: str) -> Any:
    """As AWS's SDK makes it, which takes it half a second."""
    session = import_module("botocore.session").Session()
    return session.create_client("s3", region_name="us-east-1", endpoint_url=endpoint)


def objects(endpoint: str, bucket: str) -> dict[str, Any]:
    """Body and type of each object by its key."""
    found = {}
    for entry in client(endpoint).list_objects_v2(Bucket=bucket).get("Contents", []):
        item = client(endpoint).get_object(Bucket=bucket, Key=entry["Key"])
        found[entry["Key"]] = (item["Body"].read(), item["ContentType"])
    return found


def put(destination: str, endpoint: str, **options: str) -> str:
    given = {"endpoint-url": endpoint, "retries": "0", **options}
    return export.write(report(), "s3", destination, options=given)


def refused(destination: str, endpoint: str, **options: str) -> str:
    with pytest.raises(export.ExportError) as caught:
        put(destination, endpoint, **options)
    sentence = str(caught.value)
    assert SECRET not in sentence
    assert "\n" not in sentence
    assert "the report is kept, `chaperon report 20261121-205716-k3f9 --out s3=…`" in sentence
    return sentence


def test_the_report_lies_below_the_prefix_with_config_and_scenarios_beside_it(
    endpoint: str, bucket: str
) -> None:
    where = put(f"{bucket}/load/runs/", endpoint)
    assert where == f"s3://{bucket}/{STEM}.json (and config.json, scenarios.json)"
    found = objects(endpoint, bucket)
    assert set(found) == {f"{STEM}.{end}" for end in ("json", "config.json", "scenarios.json")}
    body, kind = found[f"{STEM}.json"]
    assert json.loads(body)["run"]["id"] == report().run.id
    assert kind == "application/json"


def test_any_document_can_be_put_with_its_own_options(endpoint: str, bucket: str) -> None:
    put(
        f"s3://{bucket}",
        endpoint,
        **{"formats": "csv, timeline,csv", "csv.separator": ";", "timeline.delimiter": "crlf"},
    )
    found = objects(endpoint, bucket)
    stem = STEM.removeprefix("load/runs/")
    assert len(found) == 4
    assert found[f"{stem}.csv"][0].startswith(b"kind;unit;")
    assert found[f"{stem}.csv"][1] == "text/csv; charset=utf-8"
    assert b"\r\n" in found[f"{stem}.timeline.csv"][0]


def test_the_same_run_again_replaces_its_objects(endpoint: str, bucket: str) -> None:
    put(bucket, endpoint)
    put(bucket, endpoint)
    assert len(objects(endpoint, bucket)) == 3


def test_a_document_beyond_the_memory_limit_arrives_whole(
    endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_SPOOLED_BYTES", 100)
    put(bucket, endpoint)
    (body,) = [body for key, (body, _) in objects(endpoint, bucket).items() if "k3f9.json" in key]
    assert json.loads(body)["totals"]["requests"] == 1003


def test_a_bucket_that_is_not_there_is_told(endpoint: str) -> None:
    sentence = refused("no-such-bucket", endpoint)
    assert (
        f"cannot write to the bucket 'no-such-bucket' at {endpoint}: there is no such" in sentence
    )
    assert "404 NoSuchBucket" in sentence


def test_missing_credentials_are_told(
    endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY" in refused(bucket, endpoint)


def test_a_profile_that_is_not_there_is_told(endpoint: str, bucket: str) -> None:
    assert "no such profile" in refused(bucket, endpoint, profile="nobody")


def test_a_store_that_is_down_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        sentence = refused("bucket", f"http://127.0.0.1:{free.getsockname()[1]}")
    assert "cannot be reached" in sentence


def test_a_store_that_does_not_answer_ends_in_time() -> None:
    with contract_server() as server:
        server.always = silent
        before = time.monotonic()
        assert "does not answer in time" in refused("bucket", server.address, timeout="200ms")
        assert time.monotonic() - before < 5


@pytest.mark.parametrize("status", [403, 500])
def test_a_store_that_refuses_is_told(status: int) -> None:
    with contract_server() as server:
        server.always = answer(status)
        assert str(status) in refused("bucket", server.address)


def test_what_was_put_before_a_failure_is_told() -> None:
    with contract_server() as server:

        async def first_only(request: Any) -> Any:
            if len(server.requests) == 1:
                return web.Response()
            return await answer(403)(request)

        server.always = first_only
        assert "; json are there already" in refused("bucket", server.address, formats="json,csv")


@pytest.mark.parametrize(
    ("destination", "options", "part"),
    [
        ("", {}, "needs a destination: s3=BUCKET[/PREFIX]"),
        ("Bad Bucket/x", {}, "'Bad Bucket/x' is not of the form BUCKET[/PREFIX]"),
        ("http://me:s3cr3t@h/x", {}, "not of the form BUCKET[/PREFIX]"),
        ("bucket/a\nb", {}, "invisible characters"),
        ("bucket", {"formats": "jsn"}, "no export format 'jsn'; did you mean json?"),
        ("bucket", {"formats": "influxdb"}, "influxdb makes no document"),
        ("bucket", {"formats": "csv", "csv.separator": ";;"}, "separator must be one character"),
        ("bucket", {"csv.seperator": ";"}, "no option 'csv.seperator'"),
        ("bucket", {"endpoint-url": "http://a:s3cr3t@h"}, "s3.endpoint-url has credentials"),
        ("bucket", {"endpoint-url": "minio:9000"}, "s3.endpoint-url is 'minio:9000', expected"),
        ("bucket", {"timeout": "x"}, "s3.timeout is 'x'"),
        ("bucket", {"format": "csv"}, "no option 'format'; did you mean formats?"),
    ],
)
def test_what_can_never_work_is_refused_before_the_run(
    destination: str, options: dict[str, str], part: str
) -> None:
    with pytest.raises(UserError) as caught:
        export.check({"s3": destination}, {"s3": options})
    assert part in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'chaperon\[s3\]'"):
        export.check({"s3": "bucket"})
