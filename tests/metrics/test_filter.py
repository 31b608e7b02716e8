"""A filter of metrics: what it leaves out is recorded nowhere."""

from __future__ import annotations

import pytest

from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.filter import Keep, keep_where, keep_words, null_of
from chaperon_engine.metrics.model import WARMUP, SeriesKey
from chaperon_engine.metrics.recorder import NULL_HTTP, Recorder

GET = SeriesKey(kind="http", action="get", method="GET", url="/")
POST = SeriesKey(kind="http", action="post", method="POST", url="/", name="checkout")
LOGIN = SeriesKey(kind="call", action="run_scenario", name="Login")
CART = SeriesKey(kind="trend", name="cart value", unit="EUR")
ERRORS = SeriesKey(kind="counter", name="errors")
RECEIVED = SeriesKey(kind="ws_recv", action="ws_recv", url="/ws")
ALL = [GET, POST, LOGIN, CART, ERRORS, RECEIVED]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["get"], [GET]),
        (["http"], [GET, POST]),
        (["checkout"], [POST]),
        (["POST", "run_scenario"], [POST, LOGIN]),
        (["call", "cart value", "ws_recv"], [LOGIN, CART, RECEIVED]),
        (["counter"], [ERRORS]),
        (["gett"], []),
    ],
)
def test_words_are_kinds_actions_methods_or_names(words: list[str], kept: list[SeriesKey]) -> None:
    assert [key for key in ALL if keep_words(words)(key)] == kept


def recorder(keep: Keep) -> tuple[Recorder, RunCounters]:
    counters = RunCounters(1)
    found = Recorder(counters.worker(0), keep=keep)
    found.begin(0)
    return found, counters


def record_all(found: Recorder) -> None:
    for key in (GET, POST):
        series = found.http(key)
        series.sent(100)
        series.completed(0, 1_000, 2_000, 200, True, 50)
    found.timed(LOGIN).record_ns(1_000)
    found.trend(CART, 9.5)
    found.count(ERRORS)
    found.messages(RECEIVED)


def test_what_is_left_out_is_in_no_frame_no_total_and_no_counter() -> None:
    found, counters = recorder(keep_words(["get", "errors"]))
    record_all(found)
    frame = found.collect(10).frame(0, 0, 0)
    assert {(key.kind, key.label) for _, key in frame.new_series} == {
        ("first_byte", "GET /"),
        ("http", "GET /"),
        ("counter", "errors"),
    }
    assert (frame.totals.sent, frame.totals.ok) == (1, 1)
    assert (counters.totals().sent, counters.totals().ok) == (1, 1)
    assert found.http(POST) is NULL_HTTP


def test_the_first_byte_is_kept_with_its_request() -> None:
    found, _ = recorder(keep_where(lambda key: key.kind == "http", print))
    record_all(found)
    frame = found.collect(10).frame(0, 0, 0)
    assert [key.kind for _, key in frame.new_series] == ["first_byte", "http"] * 2


def test_a_predicate_is_asked_once_for_a_key_and_knows_no_phase() -> None:
    asked: list[SeriesKey] = []

    def keep(key: SeriesKey) -> bool:
        asked.append(key)
        return False

    found, _ = recorder(keep)
    for phase in (WARMUP, ""):
        found.phase = phase
        for _ in range(3):
            record_all(found)
    assert asked == ALL
    assert found.collect(10).frame(0, 0, 0).deltas == []


def test_what_a_broken_predicate_is_asked_about_is_kept_and_said() -> None:
    said: list[str] = []
    keep = keep_where(lambda key: key.no_such_field, said.append)  # type: ignore[attr-defined]
    assert keep(GET)
    assert said == [
        "the filter of metrics raises AttributeError for http GET /: 'SeriesKey' "
        "object has no attribute 'no_such_field'"
    ]


@pytest.mark.parametrize("kind", ["http", "call", "trend", "gauge", "rate", "ws_message"])
def test_every_kind_has_a_series_that_records_nothing(kind: str) -> None:
    assert null_of(kind).take() is None


def test_an_unknown_kind_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no kind of series is called 'wrong'"):
        null_of("wrong")
