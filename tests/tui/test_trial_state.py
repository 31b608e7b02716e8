"""The lines of a trial: whose they are, and what a WebSocket said."""

from __future__ import annotations

from chaperon_engine import (
    TrialCheck,
    TrialEvent,
    TrialException,
    TrialLog,
    TrialRequest,
    TrialResponse,
    TrialSocket,
)
from chaperon_tui.state.trial import TrialStore

CHILD = "visitors-0/search-0"


def folded(*events: TrialEvent) -> TrialStore:
    store = TrialStore()
    for event in events:
        store.fold(event)
    return store


def whats(store: TrialStore) -> list[str]:
    return [row[1][0] for row in store.table().rows]


def words(store: TrialStore, line: int) -> str:
    return "\n".join("".join(text for text, _ in row) for row in store.details(line))


def test_what_a_child_session_did_bears_its_name() -> None:
    store = folded(
        TrialRequest(number=1, session=CHILD, service="shop", method="GET", url="/find"),
        TrialResponse(number=1, session=CHILD, status=200, reason="OK", expected=True),
        TrialCheck(session=CHILD, name="found", passed=True),
        TrialException(session=CHILD, where="run", type="ValueError", message="no", file="a.py",
                       line=3, traceback=""),
        TrialLog(level="info", source=CHILD, text="looked"),
    )  # fmt: skip
    assert whats(store) == [
        "[search-0] GET /find", "[search-0] check found", "[search-0] ValueError: no",
        "[search-0] looked",
    ]  # fmt: skip
    for line in range(4):
        assert CHILD in words(store, line)


def test_what_the_session_itself_did_bears_none() -> None:
    session = "visitors-0"
    store = folded(
        TrialRequest(number=1, session=session, service="shop", method="GET", url="/find"),
        TrialCheck(session=session, name="found", passed=True),
    )
    assert whats(store) == ["GET /find", "check found"]
    assert session not in words(store, 0)


def test_messages_of_a_websocket_are_lines_of_their_own() -> None:
    store = folded(
        TrialSocket(number=2, session=CHILD, what="sent", kind="text", body="a\nb", body_bytes=3),
        TrialSocket(number=2, session="s", what="received", kind="binary", body_bytes=70),
        TrialSocket(number=2, session="s", what="ended", kind="close", body="gone",
                    close_code=1006),
    )  # fmt: skip
    assert whats(store) == ["[search-0] → 2  a", "← 2  ", "× 2  gone"]
    assert [row[2] for row in store.table().rows] == [
        ("sent text", "dim"), ("received binary", "dim"), ("closed 1006", "bad"),
    ]  # fmt: skip
    assert words(store, 0).endswith("sent text\na\nb")
