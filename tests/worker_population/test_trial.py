"""`chaperon try` end to end: a child process tells every exchange of one session."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from chaperon_engine.cli.trying import show_event
from chaperon_engine.client.trial import TrialEvent, trial
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.target import RunningTarget
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

SCENARIO = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session

class Visit(Scenario):
    async def init(self, session: Session) -> None:
        print("hello from init")
    async def run(self, session: Session) -> None:
        await session.post("/login", json={"user": "ann"}, auth=("ann", "s3cret"))
        page = await session.get("/json", params={"page": 1}, name="/json?page")
        session.check("page is json", lambda: page.json()["ok"])
        session.log_debug("half way")
        await session.get("/redirect/1")
        BODY

class VisitTest(LoadTest):
    services = {"shop": Service("URL")}
    scenarios = [Population(Visit, sessions=50, duration="10s", name="buyers")]
"""


def write(folder: Path, url: str, body: str = "pass") -> LaunchRequest:
    path = folder / "scenario.py"
    path.write_text(SCENARIO.replace("URL", url).replace("BODY", body))
    return LaunchRequest(file=str(path), max_time_s=10)


async def told(request: LaunchRequest) -> list[TrialEvent]:
    async with asyncio.timeout(20):
        return [event async for event in trial(request)]


async def test_every_exchange_check_and_line_is_told(target: RunningTarget, tmp_path: Path) -> None:
    events = await told(write(tmp_path, target.url))
    started, finished = events[0], events[-1]
    assert isinstance(started, TrialStarted)
    assert started.load_test == "VisitTest"
    assert (started.populations, started.services) == (["buyers"], {"shop": target.url})
    requests = [event for event in events if isinstance(event, TrialRequest)]
    assert [(each.number, each.method, each.url.removeprefix(target.url)) for each in requests] == [
        (1, "POST", "/login"),
        (2, "GET", "/json?page=1"),
        (3, "GET", "/redirect/1"),
        (4, "GET", "/"),
    ]
    assert requests[0].body == '{"user":"ann"}'
    assert requests[0].session == "buyers-0"
    sent = dict(requests[0].headers)
    assert sent["Authorization"] == "***"
    assert sent["Content-Type"] == "application/json"
    assert "Cookie" in dict(requests[1].headers)
    responses = {event.number: event for event in events if isinstance(event, TrialResponse)}
    assert [responses[number].status for number in (1, 2, 3, 4)] == [200, 200, 302, 200]
    assert '"ok"' in responses[2].body
    assert responses[2].expected
    assert responses[1].timings_us["connect"] > 0
    assert responses[2].timings_us["service"] > 0
    assert [event.name for event in events if isinstance(event, TrialCheck)] == ["page is json"]
    lines = [(event.level, event.text) for event in events if isinstance(event, TrialLog)]
    assert lines == [("output", "hello from init"), ("debug", "half way")]
    assert isinstance(finished, TrialFinished)
    assert finished.ok
    assert (finished.requests, finished.iterations, finished.checks_passed) == (4, 1, 1)
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    assert target.stats.document()["requests"] == 4


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise ValueError('broken \\x1b')", TrialException),
        ("session.check('never', False)", TrialCheck),
        ("await session.get('http://127.0.0.1:9/')", TrialFailure),
        ("await session.get('/a\\r\\nb')", TrialFailure),
        ("session.abort('no more')", TrialException),
    ],
)
async def test_what_fails_is_told_and_the_verdict_is_not_well(
    target: RunningTarget, tmp_path: Path, body: str, kind: type
) -> None:
    events = await told(write(tmp_path, target.url, body))
    assert any(isinstance(event, kind) for event in events)
    finished = events[-1]
    assert isinstance(finished, TrialFinished)
    assert not finished.ok
    assert finished.verdict.startswith("Not well: ")
    assert "\x1b" not in repr(events)


async def test_the_messages_of_a_websocket_and_its_end_are_told(
    target: RunningTarget, tmp_path: Path
) -> None:
    lines = (
        "await session.ws_connect('/ws/echo', subprotocols=['v1'])",
        "await session.ws_send('hello \\x1b')",
        "await session.ws_recv()",
        "await session.ws_close(code=4000)",
        "await session.ws_connect('/nowhere')",
    )
    events = await told(write(tmp_path, target.url, "\n        ".join(lines)))
    upgrade = next(
        event for event in events if isinstance(event, TrialRequest) and event.url.startswith("ws:")
    )
    assert upgrade.url == target.url.replace("http", "ws") + "/ws/echo"
    assert ("Sec-WebSocket-Protocol", "v1") in upgrade.headers
    of_socket = [event for event in events if getattr(event, "number", 0) == upgrade.number][1:]
    reply = of_socket[0]
    assert isinstance(reply, TrialResponse)
    assert reply.status == 101
    shown = [
        (event.what, event.kind, event.body, event.close_code)
        for event in of_socket
        if isinstance(event, TrialSocket)
    ]
    assert shown == [
        ("sent", "text", "hello \\x1b", 0),
        ("received", "text", "hello \\x1b", 0),
        ("ended", "close", "", 1000),  # aiohttp answers so
    ]
    assert [event.code for event in events if isinstance(event, TrialFailure)] == ["ws_refused"]
    texts = [show_event(event, width=80, color=False) for event in of_socket]
    assert "  text  7 B" in texts[1]
    assert "closed 1000" in texts[3]


async def test_the_close_code_that_the_client_sent_is_told_with_its_reason(
    target: RunningTarget, tmp_path: Path
) -> None:
    lines = (
        "flooded = await session.ws_connect('/ws/echo', max_queue=1, name='flooded')",
        "for _ in range(3): await session.ws_send('x', name='flooded')",
        "while flooded.is_open: await session.delay(0.005)",
        "await session.ws_connect('/ws/echo', max_message_bytes=10)",
        "await session.ws_send('longer than ten')",
        "await session.ws_recv()",
    )
    events = await told(write(tmp_path, target.url, "\n        ".join(lines)))
    ended = [event for event in events if isinstance(event, TrialSocket) and event.what == "ended"]
    assert [event.close_code for event in ended] == [1008, 1009]
    assert ended[0].body.startswith("sent by this client: more than 1 messages wait unread")
    assert ended[1].body.startswith("sent by this client: a message passes 10 bytes")
    assert "closed 1008" in show_event(ended[0], width=80, color=False)


async def test_a_trial_that_takes_too_long_is_cut_off_with_a_verdict(
    target: RunningTarget, tmp_path: Path
) -> None:
    request = write(tmp_path, target.url, "await session.delay('1h')")
    events = await told(LaunchRequest(file=request.file, max_time_s=0.3))
    finished = events[-1]
    assert isinstance(finished, TrialFinished)
    assert finished.verdict.startswith("Not well: cut off after 300 ms")


@pytest.mark.parametrize(
    ("url", "body", "message"),
    [
        ("http://127.0.0.1:9", "pass", "cannot be reached"),
        ("TARGET", "nonsense(", "scenario.py:13: syntax error"),
        ("TARGET", "__import__('os')._exit(3)", "exit status 3"),
        ("", "pass", "no base URL"),
    ],
)
async def test_a_file_that_cannot_be_used_is_a_user_error(
    target: RunningTarget, tmp_path: Path, url: str, body: str, message: str
) -> None:
    request = write(tmp_path, url.replace("TARGET", target.url), body)
    with pytest.raises(UserError) as caught:
        await told(request)
    assert message in str(caught.value)


async def test_leaving_a_trial_ends_its_process(target: RunningTarget, tmp_path: Path) -> None:
    body = "print(__import__('os').getpid()); await session.delay('1h')"
    events = trial(write(tmp_path, target.url, body))
    pid = 0
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, TrialLog) and event.text.isdigit():
                pid = int(event.text)
                break
        await events.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_exchanges_of_children_are_told_under_their_id(
    target: RunningTarget, tmp_path: Path
) -> None:
    request = write(tmp_path, target.url, "session.spawn(self.look, name='side')")
    path = Path(request.file)
    path.write_text(
        path.read_text().replace(
            "class VisitTest",
            """    async def look(self, child: Session) -> None:
        await child.get("/headers")
        child.check("looked", True)
        child.log_info("seen")

class VisitTest""",
        )
    )
    events = await told(request)
    finished = events[-1]
    assert isinstance(finished, TrialFinished)
    assert finished.ok, finished.verdict
    side = [event for event in events if getattr(event, "session", "") == "buyers-0/side-0"]
    assert [type(event) for event in side] == [TrialRequest, TrialResponse, TrialCheck]
    lines = [show_event(event, width=80, color=False) for event in side]
    assert all("  [side-0] " in line for line in lines)
    assert any(
        isinstance(event, TrialLog) and event.source == "buyers-0/side-0" for event in events
    )


async def test_what_fails_on_a_websocket_and_what_was_not_awaited_is_told(
    target: RunningTarget, tmp_path: Path
) -> None:
    steps = (
        "await session.ws_connect('/ws/echo')",
        "await session.ws_send('other')",
        "session.ws_send('forgotten')",
        "await session.ws_await_recv('hello', timeout=0.2)",
    )
    events = await told(write(tmp_path, target.url, "\n        ".join(steps)))
    (failure,) = [event for event in events if isinstance(event, TrialFailure)]
    assert failure.code == "timeout_message"
    assert failure.message.endswith("what arrived did not fit: 'other'")
    (forgotten,) = [event for event in events if isinstance(event, TrialException)]
    assert (forgotten.type, forgotten.line) == ("NeverAwaited", 15)
    opened = next(e for e in events if isinstance(e, TrialResponse) and e.status == 101)
    assert opened.timings_us["total"] >= opened.timings_us["upgrade"] > 0
    last = events[-1]
    assert isinstance(last, TrialFinished)
    assert (last.sockets, last.sockets_failed) == (1, 1)
    assert (last.messages_sent, last.messages_received) == (1, 1)
    assert last.verdict == "Not well: 1 iteration failed, 1 WebSocket failed, 1 call never awaited."
    assert "1 WebSocket, 1 failed, 1 message sent, 1 received" in show_event(
        last, width=80, color=False
    )
