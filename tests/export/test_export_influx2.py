"""The write API of InfluxDB 2.x by its contract, and servers that are down, slow or refuse."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine import export
from chaperon_engine.errors import UserError
from chaperon_engine.export import delivery
from chaperon_engine.runs.report import ReportInterval
from tests.export.canned import report
from tests.export.servers import (
    Contract,
    Reply,
    answer,
    contract_server,
    hang_up,
    old_answer,
    silent,
    trickle,
)
from tests.export.test_export_points import points

STORE = {"org": "acme & co", "bucket": "load/test"}


@pytest.fixture
def contract(monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    monkeypatch.setattr(delivery, "FIRST_DELAY_S", 0.01)
    with contract_server() as server:
        monkeypatch.setenv("INFLUX_TOKEN", server.token)
        yield server


def send(contract: Contract, **options: str) -> str:
    given = {name.replace("_", "-"): value for name, value in options.items()}
    return export.write(report(), "influxdb", contract.address, options={**STORE, **given})


def refused(contract: Contract, reply: Reply | None = None, **options: str) -> str:
    """The sentence of a write that fails."""
    contract.always = reply
    with pytest.raises(export.ExportError) as caught:
        send(contract, **options)
    sentence = str(caught.value)
    assert sentence.startswith(f"InfluxDB at {contract.address} ")
    assert "the report is kept, `chaperon report 20261121-205716-k3f9 --out" in sentence
    assert "\n" not in sentence
    assert contract.token not in sentence
    return sentence


def test_points_arrive_as_the_contract_wants_them(contract: Contract) -> None:
    where = send(contract)
    count = len(points(report()))
    assert where == f"{contract.address}, bucket 'load/test' of 'acme & co' ({count} points)"
    assert contract.points == points(report())
    (request,) = contract.requests
    assert request.headers["Authorization"] == f"Token {contract.token}"
    assert contract.token not in str(request.rel_url)


def test_an_address_may_have_a_path_in_front(contract: Contract) -> None:
    contract.always = answer(404)
    with pytest.raises(export.ExportError):
        export.write(report(), "influxdb", f"{contract.address}/metrics/", options=STORE)
    assert contract.requests[0].path == "/metrics/api/v2/write"


@pytest.mark.parametrize(
    ("options", "token", "parts"),
    [
        ({"org": "other"}, "", ["has no bucket 'load/test' of 'other'", "404: organization name"]),
        ({"bucket": "none"}, "", ["has no bucket 'none'", 'bucket "none" not found']),
        ({}, "wrong", ["does not accept the token: check $INFLUX_TOKEN", "401: unauthorized"]),
    ],
)
def test_refusals_say_what_to_check(
    contract: Contract,
    options: dict[str, str],
    token: str,
    parts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if token:
        monkeypatch.setenv("INFLUX_TOKEN", token)
    sentence = refused(contract, **options)
    assert all(part in sentence for part in parts), sentence
    assert len(contract.requests) == 1, "such a refusal is final"


@pytest.mark.parametrize(
    ("reply", "part"),
    [
        (answer(403, "forbidden", "insufficient permissions"), "does not let this token write"),
        (answer(413, "request too large", "too large"), "not even take a single point"),
        (answer(422, "unprocessable", "field type conflict"), "took only a part of the points"),
        (old_answer(400, "partial write: field type conflict"), "took only a part of the points"),
        (answer(400, "invalid", "unable to parse"), "refuses the points (400: unable to parse)"),
        (answer(418, "", ""), "refuses the points (418)"),
    ],
)
def test_other_refusals_have_a_meaning_too(contract: Contract, reply: Reply, part: str) -> None:
    assert part in refused(contract, reply)


def test_a_redirect_is_told_and_the_token_does_not_follow_it(contract: Contract) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{contract.address}/x?sid=s3cr3t"})

    sentence = refused(contract, elsewhere)
    assert (
        f"redirects, and credentials do not follow: give the final address (307: it sends on to "
        f"{contract.address}/x)" in sentence
    )
    assert len(contract.requests) == 1


def test_a_large_batch_is_halved_until_the_server_takes_it(contract: Contract) -> None:
    contract.replies = [answer(413), answer(413)]
    send(contract)
    assert len(contract.points) == len(points(report()))
    assert len(contract.requests) == 5


def test_a_busy_server_is_asked_again(contract: Contract) -> None:
    contract.replies = [answer(503), answer(429), hang_up, answer(500)]
    send(contract)
    assert contract.points == points(report())


def test_what_is_sent_again_after_a_lost_answer_is_the_same(contract: Contract) -> None:
    async def lost(request: web.Request) -> web.StreamResponse:
        contract.points += points(report())
        return await hang_up(request)

    contract.replies = [lost]
    send(contract)
    assert contract.points == points(report()) * 2, "equal points replace each other"


def test_a_server_that_stays_busy_is_given_up(contract: Contract) -> None:
    sentence = refused(contract, answer(503, "unavailable", "overloaded"), retries="2")
    assert "still answers 503: overloaded after 3 attempts" in sentence
    assert len(contract.requests) == 3


def test_retry_after_is_obeyed_as_a_number_and_as_a_date(contract: Contract) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    contract.replies = [answer(429, Retry_After="1"), answer(503, Retry_After=at)]
    before = time.monotonic()
    send(contract)
    assert time.monotonic() - before >= 1


def test_a_wait_beyond_the_limit_is_not_begun(contract: Contract) -> None:
    before = time.monotonic()
    sentence = refused(contract, answer(429, "x", "slow down", Retry_After="3600"))
    assert "still answers 429: slow down and asks to wait 3600 s" in sentence
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("reply", [silent, trickle])
def test_a_slow_server_ends_in_time(contract: Contract, reply: Reply) -> None:
    before = time.monotonic()
    sentence = refused(contract, reply, timeout="200ms", retries="1")
    assert "did not answer within 0.2 s after 2 attempts; check that it runs there" in sentence
    assert time.monotonic() - before < 5


def test_everything_together_has_a_limit(contract: Contract) -> None:
    before = time.monotonic()
    sentence = refused(contract, silent, timeout="300ms", retries="20", max_time="1s")
    assert "within 1 s" in sentence
    assert time.monotonic() - before < 5


def test_a_server_that_is_down_is_told(contract: Contract) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        contract.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        sentence = refused(contract, retries="1")
    assert "cannot be reached (Connection refused) after 2 attempts" in sentence


def test_a_host_that_has_no_address_is_told(contract: Contract) -> None:
    contract.address = "http://no-such-host.invalid:8086"
    assert "cannot be reached" in refused(contract, retries="0")


def test_what_was_written_before_a_failure_is_told(contract: Contract) -> None:
    async def only_first(request: web.Request) -> web.StreamResponse:
        if len(contract.requests) == 1:
            return web.Response(status=204)
        return await answer(400, "invalid", "no")(request)

    contract.always = only_first
    long = report(intervals=[ReportInterval(second=second) for second in range(6000)])
    with pytest.raises(export.ExportError, match=r"; \d,\d{3} points are there already"):
        export.write(long, "influxdb", contract.address, options=STORE)


def test_a_server_that_repeats_the_token_does_not_make_us_show_it(contract: Contract) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"message": f"bad {request.headers}"}, status=401)

    assert "***" in refused(contract, echo)


def test_hostile_words_of_a_server_are_visible_and_short(contract: Contract) -> None:
    sentence = refused(contract, answer(400, "x", "\x1b[2J" + "y" * 100_000))
    assert "\x1b" not in sentence
    assert len(sentence) < 800


def test_a_page_of_a_proxy_is_left_out(contract: Contract) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=403, text="<html>no</html>", content_type="text/html")

    assert "(403)" in refused(contract, page)


def test_a_certificate_that_cannot_be_verified_is_told_at_once(contract: Contract) -> None:

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        contract.address = f"https://127.0.0.1:{listening.getsockname()[1]}"
        sentence = refused(contract)
        thread.join()
    assert "certificate that cannot be verified" in sentence
    assert "$SSL_CERT_FILE" in sentence


async def test_it_works_inside_a_running_loop(contract: Contract) -> None:
    await asyncio.sleep(0)
    send(contract)
    assert contract.points


@pytest.mark.parametrize(
    ("destination", "options", "part"),
    [
        ("http://me:s3cr3t@h/db", {}, "has credentials in it"),
        ("http://me:s3/cr3t@h/db", {}, "InfluxDB"),
        ("http://h/db?u=me&p=s3cr3t", {}, "has a query"),
        ("http://me:s3cr3t@h:x/db", {}, "expected http://HOST:8086/DATABASE"),
        ("h:8086/db", {}, "expected http://HOST:8086/DATABASE"),
        ("", {}, "needs a destination: influxdb=http://HOST:8086/DATABASE"),
        ("http://h:8086", {}, "names no database"),
        ("http://h:8086", {"bucket": "b"}, "needs influxdb.org=ORG"),
        ("http://h:8086", {"bucket": "b", "org": "o"}, "set $INFLUX_TOKEN"),
        ("http://h:8086", {"bucket": "b", "org": "o", "token-env": "NONE_X"}, "NONE_X, which"),
        ("http://h/db", {"token": "s3cr3t"}, "influxdb.token is secret and must not stand here"),
        ("http://h/db", {"timeout": "0"}, "influxdb.timeout must be more than 0 s"),
        ("http://h/db", {"timeout": "soon"}, "influxdb.timeout is 'soon'"),
        ("http://h/db", {"retries": "900"}, "influxdb.retries must be at most 20"),
        ("http://h/db", {"bukket": "x"}, "no option 'bukket'; did you mean bucket?"),
    ],
)
def test_what_can_never_work_is_refused_before_the_run(
    destination: str, options: dict[str, str], part: str
) -> None:
    with pytest.raises(UserError) as caught:
        export.check({"influxdb": destination}, {"influxdb": options})
    assert part in str(caught.value)
    assert not isinstance(caught.value, export.ExportError)
    assert "s3cr3t" not in str(caught.value)
    assert "cr3t@" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_retry_after_is_a_wait_or_nothing(header: str) -> None:
    wait_s = delivery._wait_s(header)
    assert wait_s is None or wait_s >= 0
