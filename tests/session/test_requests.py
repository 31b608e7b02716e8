"""The HTTP verbs of a session: what is sent, which series records it, what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.actions import HttpAction
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.errors import ActionError, InvalidRequest
from chaperon_engine.http.response import Response
from chaperon_engine.target import RunningTarget, start
from tests.session.harness import Ran, population, run


async def run_one(work: Any, target: RunningTarget, **options: Any) -> Ran:
    """Run one session whose `run` is `work(session)`."""

    class One(Scenario):
        async def run(self, session: Session) -> None:
            await work(session)

    ran = await run(population(One, url=target.url, **options))
    assert not ran.exceptions, ran.exceptions[0].traceback
    return ran


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "head", "options"])
async def test_every_verb_is_recorded_under_its_method_and_path(
    target: RunningTarget, verb: str
) -> None:
    statuses = []

    async def work(session: Session) -> None:
        call = getattr(session, verb)
        statuses.append((await call("/status/204")).status)
        statuses.append((await call("/status/204")).status)
        statuses.append((await getattr(session.service("api"), verb)("/status/204")).status)
        statuses.append((await session.request(verb.upper(), "/status/204")).status)

    ran = await run_one(work, target)
    assert len(statuses) == 4
    key = next(key for key in ran.series if key.kind == "http")
    assert (key.action, key.method, key.url) == (verb, verb.upper(), "/status/204")
    assert (key.scenario, key.session, key.service) == ("One", "One", "api")
    assert ran.requests(f"{verb.upper()} /status/204").ok == 4


async def test_names_tags_and_queries_make_the_series(target: RunningTarget) -> None:
    async def work(session: Session) -> None:
        await session.get("/json?a=1")
        await session.get("/json", params={"b": [1, 2], "c": None})
        await session.get("/json?a=1", params={"b": "x y"})
        await session.get("/json", name="the json")
        await session.get("/json", name="the json", tags={"kind": 1})

    ran = await run_one(work, target)
    labels = sorted((key.label, key.tags) for key in ran.series if key.kind == "http")
    assert labels == [
        ("GET /json?a=1", ()),
        ("GET /json?a=1&b=x+y", ()),
        ("GET /json?b=1&b=2", ()),
        ("GET the json", ()),
        ("GET the json", (("kind", "1"),)),
    ]


async def test_queries_can_be_left_out_of_the_series(target: RunningTarget) -> None:
    async def work(session: Session) -> None:
        await session.get("/json?a=1")
        await session.get("/json", params={"b": 2})

    settings = SessionSettings(skip_query_params_in_metrics=True)
    ran = await run_one(work, target, settings=settings)
    assert ran.requests("GET /json").ok == 2


async def test_sessions_can_be_merged_or_renamed(target: RunningTarget) -> None:
    async def work(session: Session) -> None:
        await session.get("/")

    for settings, label in (
        (SessionSettings(merge_scenario_sessions=True), ""),
        (SessionSettings(session_name="other"), "other"),
    ):
        ran = await run_one(work, target, settings=settings)
        assert {key.session for key in ran.series if key.kind == "http"} == {label}


async def test_bodies_and_headers_are_sent(target: RunningTarget) -> None:
    async def work(session: Session) -> None:
        page = await session.post("/echo", json={"a": 1}, headers={"X-One": "1"})
        assert page.json() == {"a": 1}
        assert page.body == b'{"a":1}'
        assert (await session.post("/echo", form={"a": "b c"})).text == "a=b+c"
        assert (await session.post("/echo", body=b"raw")).body == b"raw"

    ran = await run_one(work, target)
    assert ran.requests("POST /echo").ok == 3


async def test_an_unexpected_status_is_an_http_error_unless_expected(
    target: RunningTarget,
) -> None:
    async def work(session: Session) -> None:
        assert not (await session.get("/status/503")).ok
        assert (await session.get("/status/503", expect=503)).ok
        assert (await session.get("/status/503", expect=lambda status: status == 503)).ok

    ran = await run_one(work, target)
    series = ran.requests("GET /status/503")
    assert (series.ok, series.failed, series.http_errors) == (3, 0, 1)


async def test_results_go_to_a_callback(target: RunningTarget) -> None:
    seen: list[Any] = []

    def note(session: Session, result: object) -> None:
        seen.append((session.index, result))

    async def note_later(session: Session, result: Response) -> None:
        await asyncio.sleep(0)
        seen.append(result.status)

    async def work(session: Session) -> None:
        response = await session.get("/json", with_result=note, decode="json")
        assert response.status == 200
        await session.get("/json", with_result=note, decode=lambda response: response.status)
        await session.get("/json", with_result=note_later)

    await run_one(work, target)
    assert seen[0][1]["ok"]
    assert seen[1:] == [(0, 200), 200]


async def test_full_urls_go_where_they_say_under_the_service_they_belong_to(
    target: RunningTarget,
) -> None:
    async with await start() as other:

        async def work(session: Session) -> None:
            await session.get(f"{target.url}/json")
            await session.get(f"{other.url}/json", expect=200)
            await session.get(f"{other.url}/json")

        ran = await run_one(work, target)
        keys = {(key.service, key.url): d.ok for key, d in ran.series.items() if key.kind == "http"}
        assert keys == {("api", "/json"): 1, (other.url, "/json"): 2}


async def test_full_urls_may_lie_beside_the_base_url_of_their_service(
    target: RunningTarget,
) -> None:
    class Prefixed(Scenario):
        async def run(self, session: Session) -> None:
            await session.get("/10")
            inside = await session.get(f"{target.url}/bytes/10")
            beside = await session.get(f"{target.url}/json")
            session.check("inside", inside.url == f"{target.url}/bytes/10")
            session.check("beside", beside.json()["ok"])

    ran = await run(population(Prefixed, url=f"{target.url}/bytes"))
    assert all(check.passed for check in ran.checks.values())
    assert ran.requests("GET /10").ok == 2
    assert ran.requests("GET /json").ok == 1


async def test_a_redirect_is_a_request_of_its_own(target: RunningTarget) -> None:
    async def work(session: Session) -> None:
        page = await session.get("/redirect/2")
        assert (page.status, len(page.history)) == (200, 2)

    ran = await run_one(work, target)
    actions = [key.action for key in ran.series if key.kind == "http"]
    assert sorted(actions) == ["get", "redirect", "redirect"]
    assert ran.frame.totals.ok == 3


async def test_cookies_are_kept_and_can_be_deleted(target: RunningTarget) -> None:
    async def work(session: Session) -> None:
        await session.post("/login", json={"user": "ann"})
        assert len(session.cookies) == 1
        session.delete_cookies()
        assert len(session.cookies) == 0

    await run_one(work, target)


async def test_concurrent_calls_of_one_session_each_get_their_own_reply(
    target: RunningTarget,
) -> None:
    async def work(session: Session) -> None:
        sizes = [10 * number for number in range(20)]
        pages = await asyncio.gather(*(session.get(f"/bytes/{size}") for size in sizes))
        assert [len(page.body) for page in pages] == sizes
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(session.get(f"/bytes/{size}")) for size in sizes]
        assert [len(task.result().body) for task in tasks] == sizes

    ran = await run_one(work, target)
    assert ran.iterations.completed == 1
    assert ran.frame.totals.ok == 40


class TearingDown(Scenario):
    async def init(self, session: Session) -> None:
        self.api = session.service("api")

    async def run(self, session: Session) -> None:
        await session.get("/")

    async def teardown(self, session: Session) -> None:
        await session.get("/")
        await self.api.get("/json", name="after")
        await session.service("api").get("/json")
        await session.call_traced(self.clean)
        with session.time("cleaning"):
            pass

    async def clean(self, session: Session) -> None:
        await session.delete("/echo")


async def test_what_teardown_sends_is_never_measured(target: RunningTarget) -> None:
    ran = await run(population(TearingDown, url=target.url))
    assert not ran.exceptions
    assert ran.frame.totals.sent == 1
    assert {key.label for key in ran.series if key.kind == "http"} == {"GET /"}
    assert not ran.of_kind("call")
    assert target.stats.document()["requests"] == 5


class OnlyTearingDown(Scenario):
    async def run(self, session: Session) -> None:
        pass

    async def teardown(self, session: Session) -> None:
        await session.get("/")
        await session.ws_connect("/ws/echo")
        await session.ws_send("hello")
        await session.ws_await_recv("hello")
        await session.ws_close()
        await session.spawn(_connect)


async def _connect(child: Session) -> None:
    await child.ws_connect("/ws/echo")


async def test_connections_that_teardown_makes_are_not_measured_either(
    target: RunningTarget,
) -> None:
    ran = await run(population(OnlyTearingDown, url=target.url))
    assert not ran.exceptions
    assert target.stats.document()["websocket"]["opened"] == 2
    assert not ran.series


class Calling(Scenario):
    calls = 0

    async def run(self, session: Session) -> None:
        assert await session.call(self.add, 2, 3) == 5
        assert await session.call(add_plain, 2) == 3
        assert await session.call_traced(self.add, 1, 1, name="adding") == 2
        await session.repeat(self.step, 3, 10)
        assert Calling.calls == 30
        await session.repeat_traced(self.step, 4, 1)
        with session.time("block"):
            await session.delay(0)
        async with session.time("block"):
            pass
        with pytest.raises(ValueError, match="no"):
            await session.call_traced(self.fail)
        with pytest.raises(ActionError):
            await session.call_traced(self.refused)

    async def add(self, session: Session, a: int, b: int) -> int:
        return a + b

    def step(self, session: Session, by: int) -> None:
        Calling.calls += by

    async def fail(self, session: Session) -> None:
        raise ValueError("no")

    async def refused(self, session: Session) -> None:
        await session.get("http://127.0.0.1:9/")


def add_plain(session: Session, number: int) -> int:
    return number + 1


async def test_calls_return_their_result_and_traced_ones_are_measured() -> None:
    Calling.calls = 0
    ran = await run(population(Calling))
    assert not ran.exceptions, ran.exceptions[0].traceback
    calls = ran.of_kind("call")
    assert calls["adding"].ok == 1
    assert calls["Calling.step"].ok == 4
    assert calls["block"].ok == 2
    assert calls["Calling.fail"].errors == {"exception": 1}
    assert calls["Calling.refused"].errors == {"refused": 1}


class Retrying(Scenario):
    attempts = 0

    async def run(self, session: Session) -> None:
        assert await session.retry_on_error(self.flaky, 2, retries=1) == "ok"
        assert Retrying.attempts == 2
        Retrying.attempts = 0
        with pytest.raises(ValueError, match="attempt 3"):
            await session.retry_on_error(self.flaky, 9, retries=2, delay=0.001, random_delay=0.001)

    async def flaky(self, session: Session, needed: int) -> str:
        Retrying.attempts += 1
        if Retrying.attempts < needed:
            raise ValueError(f"attempt {Retrying.attempts}")
        return "ok"


async def test_one_retry_is_one_more_attempt() -> None:
    Retrying.attempts = 0
    ran = await run(population(Retrying))
    assert not ran.exceptions, ran.exceptions[0].traceback


class Looping(Scenario):
    ticks = 0

    async def run(self, session: Session) -> None:
        ticking = asyncio.create_task(self.tick())
        calls = await session.loop(self.nothing, 0.05)
        ticking.cancel()
        session.check("called often", calls > 100)
        session.check("the loop turned each time", Looping.ticks > calls / 2)

    async def nothing(self, session: Session) -> None:
        pass

    async def tick(self) -> None:
        while True:
            Looping.ticks += 1
            await asyncio.sleep(0)


async def test_a_loop_of_calls_that_never_wait_lets_others_run() -> None:
    Looping.ticks = 0
    ran = await run(population(Looping))
    assert all(check.passed for check in ran.checks.values())


class Wave:
    """An action of a user's own."""

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self.name = name
        self.seconds = seconds
        self.aborted = False

    async def run(self, session: Session) -> str:
        if self.seconds < 0:
            raise ValueError("cannot wave")
        await asyncio.sleep(self.seconds)
        return f"{session.id} waves"

    async def abort(self, session: Session) -> None:
        self.aborted = True


async def test_actions_of_users_are_measured_like_calls(target: RunningTarget) -> None:
    slow = Wave("slow", 60)

    async def work(session: Session) -> None:
        assert await session.run_action(Wave("wave")) == "One-0 waves"
        with pytest.raises(ValueError, match="cannot wave"):
            await session.run_action(Wave("wave", -1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await session.run_action(slow)

    ran = await run_one(work, target)
    waves = ran.of_kind("call")["wave"]
    assert (waves.ok, waves.errors) == (1, {"exception": 1})
    assert ran.of_kind("call")["slow"].errors == {"cancelled": 1}
    assert slow.aborted


async def test_a_request_as_data_is_measured_once_as_a_request(target: RunningTarget) -> None:
    action = HttpAction("POST", "/echo", {"json": [1], "name": "echoing"})

    async def work(session: Session) -> None:
        assert (await session.run_action(action)).json() == [1]
        assert (await session.run_action(HttpAction("GET", "/", service="api"))).ok

    ran = await run_one(work, target)
    assert ran.requests("POST echoing").ok == 1
    assert ran.requests("GET /").ok == 1
    assert not ran.of_kind("call")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"expect": "200"}, "expect must be a status, a collection of them or a function"),
        ({"follow": "maybe"}, "follow must be True, False or 'any', not 'maybe'"),
        ({"decode": "xml"}, "decode must be True, False, 'json' or a function"),
        ({"auth": 5}, "auth must be a token, or a pair of user and password, not 5"),
        ({"auth": ("ann",)}, "auth must be a token, or a pair"),
        ({"tags": ["big"]}, "tags must be a dict of names and values"),
        ({"headers": [("A", "b")]}, "headers must be a dict of names and values"),
        ({"multipart": b"file"}, "multipart must be a dict of names and parts"),
        ({"max_redirects": "3"}, "max_redirects must be a whole number"),
        ({"max_body_bytes": -1}, "max_body_bytes must be a whole number of bytes"),
        ({"with_result": "json"}, "with_result must be a function"),
    ],
)
async def test_an_option_of_the_wrong_kind_is_named_before_anything_is_sent(
    target: RunningTarget, options: Any, sentence: str
) -> None:
    async def work(session: Session) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await session.get("/json", **options)
        assert sentence in str(caught.value)

    ran = await run_one(work, target)
    assert not ran.of_kind("http")
