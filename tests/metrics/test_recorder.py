import gc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaperon_engine.metrics.counters import (
    DEFAULT_SLOTS,
    KIND_HTTP,
    KIND_HTTP_WARMUP,
    KIND_OTHER,
    RunCounters,
    slots_for,
)
from chaperon_engine.metrics.frames import WorkerLedger
from chaperon_engine.metrics.model import (
    OTHER,
    WARMUP,
    ExceptionGroup,
    Frame,
    FrameTotals,
    SeriesKey,
)
from chaperon_engine.metrics.recorder import (
    MAX_CHECKS,
    MAX_EXCEPTION_GROUPS,
    NULL_HTTP,
    NULL_TIMED,
    Recorder,
)

MS = 1_000_000


def http_key(url="/", **labels):
    return SeriesKey(kind="http", action="get", method="GET", url=url, **labels)


def make(max_series=2000, slots=DEFAULT_SLOTS):
    counters = RunCounters(1, slots=slots).worker(0)
    return Recorder(counters, max_series=max_series), counters


def collect(recorder, seq=0, now_ns=0):
    return recorder.collect(now_ns).frame(0, 0, seq)


def by_label(frame, keys):
    """Deltas by (kind, url or name); `keys` collects what frames announce."""
    keys.update(dict(frame.new_series))
    return {
        (keys[delta.id].kind, keys[delta.id].url or keys[delta.id].name): delta
        for delta in frame.deltas
    }


def test_a_request_is_recorded_with_service_time_first_byte_status_and_bytes():
    recorder, counters = make()
    series = recorder.http(http_key())
    series.sent(120)
    series.completed(MS, 3 * MS, 5 * MS, 200, True, 430)
    found = by_label(collect(recorder), {})
    delta = found["http", "/"]
    assert (delta.sent, delta.ok, delta.failed, delta.http_errors) == (1, 1, 0, 0)
    assert (delta.bytes_out, delta.bytes_in, delta.statuses) == (120, 430, {200: 1})
    assert (delta.expected.min_us, delta.expected.sum_us, delta.expected.max_us) == (4000,) * 3
    assert found["first_byte", "/"].expected.sum_us == 2000
    assert counters.totals() == counters.values(series.id)
    assert (counters.totals().sent, counters.totals().bytes_in) == (1, 430)


def test_unexpected_statuses_and_failures_have_histograms_of_their_own():
    recorder, counters = make()
    series = recorder.http(http_key())
    for _ in range(4):
        series.sent(10)
    series.completed(0, 0, MS, 200, True, 1)
    series.completed(0, 0, 2 * MS, 503, False, 1)
    series.failed(0, 3 * MS, "reset")
    series.failed(0, 4 * MS, "timeout_total", bytes_in=7)
    delta = by_label(collect(recorder), {})["http", "/"]
    assert delta.expected.max_us == 1000
    assert delta.unexpected.max_us == 2000
    assert (delta.failures.min_us, delta.failures.max_us) == (3000, 4000)
    assert delta.statuses == {200: 1, 503: 1}
    assert delta.unexpected_statuses == {503: 1}
    assert delta.errors == {"reset": 1, "timeout_total": 1}
    assert (delta.http_errors, delta.bytes_in) == (1, 9)
    totals = counters.totals()
    assert (totals.sent, totals.ok, totals.failed, totals.http_errors) == (4, 2, 2, 1)


def test_only_touched_series_are_sent_and_series_are_announced_once():
    recorder, _ = make()
    first, second = recorder.http(http_key("/a")), recorder.http(http_key("/b"))
    assert recorder.http(http_key("/a")) is first
    first.sent(1)
    frame = collect(recorder)
    assert [number for number, _ in frame.new_series] == [0, 1, 2, 3]
    assert [delta.id for delta in frame.deltas] == [first.id]
    second.sent(1)
    frame = collect(recorder, 1)
    assert frame.new_series == []
    assert [delta.id for delta in frame.deltas] == [second.id]
    assert collect(recorder, 2).deltas == []


def test_the_usual_status_may_change_between_and_within_intervals():
    recorder, _ = make()
    series = recorder.http(http_key())
    keys = {}
    for statuses in ([200, 200, 404], [404, 404], [500], [500, 500, 200]):
        for status in statuses:
            series.sent(1)
            series.completed(0, 0, MS, status, True, 1)
        delta = by_label(collect(recorder), keys)["http", "/"]
        assert delta.statuses == {status: statuses.count(status) for status in set(statuses)}


def test_a_request_sent_in_warm_up_ends_in_the_series_of_warm_up():
    recorder, counters = make()
    recorder.phase = WARMUP
    early = recorder.http(http_key())
    early.sent(1)
    generation = recorder.generation
    recorder.phase = ""
    assert recorder.generation > generation
    late = recorder.http(http_key())
    assert late is not early
    late.sent(1)
    early.completed(0, 0, MS, 200, True, 1)
    frame = collect(recorder)
    assert {key.phase for _, key in frame.new_series} == {"", WARMUP}
    assert frame.totals == FrameTotals(sent=1, bytes_out=1)
    assert counters.totals(KIND_HTTP_WARMUP).ok == 1
    assert counters.totals().ok == 0


def test_a_retry_is_counted_with_its_send():
    recorder, counters = make()
    series = recorder.http(http_key())
    series.sent(5)
    series.retried()
    series.sent(5)
    assert by_label(collect(recorder), {})["http", "/"].retries == 1
    assert counters.totals().retries == 1


def test_values_out_of_range_and_clocks_that_go_back_are_saturated():
    recorder, _ = make()
    series = recorder.http(http_key())
    series.sent(1)
    series.sent(1)
    series.completed(0, -5000, 100 * 3600 * 10**9, 200, True, 1)
    series.completed(9000, 9000, 0, 200, True, 1)
    found = by_label(collect(recorder), {})
    assert found["http", "/"].expected.saturated == 2
    assert found["first_byte", "/"].expected.saturated == 1


def test_durations_values_and_trends_have_kinds_of_their_own():
    recorder, counters = make()
    recorder.timed(SeriesKey(kind="call", name="pay")).record_ns(7 * MS)
    recorder.timed(SeriesKey(kind="call", name="pay")).failed(9 * MS, "timeout")
    recorder.trend(SeriesKey(kind="trend", name="size", unit="items"), 41.6)
    recorder.count(SeriesKey(kind="counter", name="sold"), 2)
    recorder.count(SeriesKey(kind="counter", name="sold"), 0.5)
    recorder.gauge(SeriesKey(kind="gauge", name="queue"), 9)
    recorder.gauge(SeriesKey(kind="gauge", name="queue"), 4)
    for value in (True, False, True):
        recorder.rate(SeriesKey(kind="rate", name="hit"), value)
    keys = {}
    found = by_label(collect(recorder), keys)
    call = found["call", "pay"]
    assert (call.sent, call.ok, call.failed, call.errors) == (2, 1, 1, {"timeout": 1})
    assert (call.expected.max_us, call.failures.max_us) == (7000, 9000)
    assert found["trend", "size"].expected.max_us == 41_600
    assert (found["counter", "sold"].value_sum, found["counter", "sold"].ok) == (2.5, 2)
    assert found["gauge", "queue"].value_sum == 4
    assert (found["rate", "hit"].value_sum, found["rate", "hit"].ok) == (2, 3)
    assert {counters.kind(slot) for slot in range(counters.used)} == {KIND_OTHER}
    recorder.gauge(SeriesKey(kind="gauge", name="queue"), 1)
    recorder.count(SeriesKey(kind="counter", name="sold"), 1)
    found = by_label(collect(recorder, 1), keys)
    assert found["gauge", "queue"].value_sum == found["counter", "sold"].value_sum == 1


@pytest.mark.parametrize(
    ("method", "kind"), [("http", "call"), ("timed", "http"), ("timed", "gauge"), ("http", "nope")]
)
def test_a_key_of_the_wrong_kind_is_refused(method, kind):
    recorder, _ = make()
    with pytest.raises(ValueError, match=kind):
        getattr(recorder, method)(SeriesKey(kind=kind, name="x"))


def test_the_null_series_record_nothing():
    NULL_HTTP.sent(1)
    NULL_HTTP.completed(0, 0, MS, 200, True, 1)
    NULL_HTTP.failed(0, 1, "reset")
    NULL_HTTP.retried()
    NULL_TIMED.record_ns(1)
    NULL_TIMED.record(1)
    NULL_TIMED.failed(1, "reset")
    assert NULL_HTTP.take() is None
    assert NULL_TIMED.take() is None


def test_labels_that_no_frame_can_carry_become_text():
    recorder, _ = make()
    key = http_key("/\ud800", name="", tags=(("a", "\udfff"),))
    first = recorder.http(key)
    assert recorder.http(key) is first
    recorder.count(SeriesKey(kind="counter", name=5))
    recorder.count(SeriesKey(kind="counter", name="5"))
    recorder.check("S", "S", "is \ud800", False, "because \ud800")
    first.sent(120)
    frame = collect(recorder)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=Frame)
    keys = [key for _, key in again.new_series if key.kind != "first_byte"]
    assert [(key.url or key.name, key.tags) for key in keys] == [
        ("/\\ud800", (("a", "\\udfff"),)),
        ("5", ()),
    ]
    assert again.checks[0].name == "is \\ud800"


def test_checks_are_counted_and_only_changed_ones_are_sent():
    recorder, _ = make()
    recorder.check("Shop", "buyers", "has cart", True)
    recorder.check("Shop", "buyers", "has cart", False, "KeyError: 'cart'")
    recorder.check("Shop", "buyers", "has cart", False, "another")
    recorder.check("Shop", "buyers", "quick", True)
    first, second = collect(recorder).checks
    assert (first.passed, first.failed, first.reason) == (1, 2, "KeyError: 'cart'")
    assert (second.name, second.passed) == ("quick", 1)
    recorder.check("Shop", "buyers", "quick", True)
    assert [(check.name, check.passed) for check in collect(recorder, 1).checks] == [("quick", 2)]
    assert collect(recorder, 2).checks == []


def test_checks_with_ever_new_names_stay_bounded_and_none_is_lost():
    recorder, _ = make()
    for number in range(MAX_CHECKS + 50):
        recorder.check("S", "s", f"order {number}", True)
    checks = collect(recorder).checks
    assert len(checks) == MAX_CHECKS + 1
    assert (checks[-1].name, checks[-1].passed) == (OTHER, 50)


def raised(line, **fields):
    fields = {"type": "KeyError", "file": "shop.py", "count": 1, "message": "m"} | fields
    return ExceptionGroup(line=line, traceback=f"at {line}", **fields)


def test_exceptions_are_grouped_by_type_and_place_and_the_first_traceback_is_kept():
    recorder, _ = make()
    recorder.exception(raised(7, message="first"))
    recorder.exception(raised(7, message="second"))
    recorder.exception(raised(7, type="ValueError"))
    recorder.exception(raised(8))
    groups = collect(recorder).exceptions
    assert [(group.type, group.line, group.count) for group in groups] == [
        ("KeyError", 7, 2), ("ValueError", 7, 1), ("KeyError", 8, 1),
    ]  # fmt: skip
    assert groups[0].message == "first"
    recorder.exception(raised(8))
    assert [group.count for group in collect(recorder, 1).exceptions] == [2]


def test_exception_groups_stay_bounded_and_none_is_lost():
    recorder, _ = make()
    for line in range(MAX_EXCEPTION_GROUPS + 30):
        recorder.exception(raised(line))
    groups = collect(recorder).exceptions
    assert len(groups) == MAX_EXCEPTION_GROUPS + 1
    assert (groups[-1].type, groups[-1].count) == (OTHER, 30)


def test_beyond_twice_the_cap_a_worker_folds_keys_itself():
    recorder, _ = make(max_series=3)
    for number in range(10):
        recorder.http(http_key(f"/{number}")).sent(1)
    frame = collect(recorder)
    found = by_label(frame, {})
    # /0 to /2 and their first bytes fill the six places.
    assert {label for kind, label in found if kind == "http"} == {"/0", "/1", "/2", OTHER}
    assert found["http", OTHER].sent == 7
    assert frame.folded_keys == 7
    assert frame.totals.sent == 10


def test_few_counter_slots_limit_the_series_too():
    recorder, counters = make(slots=40)
    for number in range(100):
        recorder.http(http_key(f"/{number}")).sent(1)
    assert counters.used <= 40
    assert counters.totals().sent == 100


def test_after_acceptance_unknown_and_known_but_refused_keys_go_to_other():
    recorder, _ = make()
    kept, refused = recorder.http(http_key("/kept")), recorder.http(http_key("/refused"))
    kept.sent(1)
    refused.sent(1)
    keys = {}
    by_label(collect(recorder), keys)
    generation = recorder.generation
    recorder.accept_only([http_key("/kept"), SeriesKey(kind="first_byte", action="get",
                                                       method="GET", url="/kept")])  # fmt: skip
    assert recorder.generation > generation
    assert recorder.http(http_key("/kept")) is kept
    other = recorder.http(http_key("/refused"))
    assert other is recorder.http(http_key("/new"))
    assert other.key == SeriesKey(kind="http", name=OTHER)
    kept.completed(0, 0, MS, 200, True, 1)
    refused.completed(0, 0, 2 * MS, 200, True, 1)
    refused.sent(1)
    other.sent(1)
    frame = collect(recorder, 1)
    found = by_label(frame, keys)
    assert {label for kind, label in found if kind == "http"} == {"/kept", "/refused", OTHER}
    # What was in flight ends where it was sent; only what begins now is `(other)`.
    assert (found["http", "/refused"].sent, found["http", "/refused"].ok) == (1, 1)
    assert (found["http", OTHER].sent, found["http", OTHER].ok) == (1, 0)
    assert (frame.totals.sent, frame.totals.ok) == (4, 2)
    assert frame.folded_keys == 1


def test_a_worker_full_of_refused_keys_still_has_room_for_accepted_ones():
    recorder, counters = make(max_series=3, slots=slots_for(3))
    for number in range(20):
        recorder.http(http_key(f"/junk/{number}")).sent(1)
    accepted = [http_key(f"/{number}") for number in range(3)]
    recorder.accept_only(accepted)
    for phase in ("", WARMUP):
        recorder.phase = phase
        for key in accepted:
            assert recorder.http(key).key == msgspec.structs.replace(key, phase=phase)
    assert recorder.http(http_key("/junk/0")).key.name == OTHER
    assert counters.used <= slots_for(3)


def test_calling_a_request_other_does_not_get_it_past_the_cap():
    recorder, counters = make(max_series=3, slots=slots_for(3))
    for number in range(100):
        recorder.http(http_key("", name=OTHER, tags=(("n", str(number)),))).sent(1)
    assert counters.used < 12
    assert counters.totals().sent == 100


def test_custom_metrics_of_a_full_table_fold_by_kind_and_phase():
    recorder, _ = make()
    recorder.accept_only([])
    recorder.phase = WARMUP
    recorder.count(SeriesKey(kind="counter", name="a", unit="items"), 1)
    recorder.count(SeriesKey(kind="counter", name="b", unit="euro"), 1)
    recorder.phase = ""
    recorder.count(SeriesKey(kind="counter", name="a", unit="items"), 1)
    recorder.gauge(SeriesKey(kind="gauge", name="g"), 1)
    frame = collect(recorder)
    assert [(key.kind, key.unit, key.name, key.phase) for _, key in frame.new_series] == [
        ("counter", "", OTHER, WARMUP), ("counter", "", OTHER, ""), ("gauge", "", OTHER, ""),
    ]  # fmt: skip


def test_a_collection_yields_between_slices_and_loses_nothing_recorded_meanwhile():
    recorder, _ = make()
    busy = [recorder.http(http_key(f"/{number}")) for number in range(300)]
    for series in busy:
        for value in range(60):
            series.sent(1)
            series.completed(0, 0, value * 31_000, 200, True, 1)
    ledger = WorkerLedger(0)
    collection = recorder.collect(1)
    steps = 0
    for _ in collection:
        steps += 1
        for series in (busy[0], busy[-1], recorder.http(http_key(f"/late{steps}"))):
            series.sent(1)
            series.completed(0, 0, MS, 200, True, 1)
    assert steps > 5
    assert ledger.admit(collection.frame(0, 0, 0))
    last = collect(recorder, 1, 2)
    assert ledger.admit(last)
    assert ledger.totals.ok == 300 * 60 + 3 * steps
    assert last.start_ns == 1


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(
                ["sent", "wrote", "ok", "once", "bad", "fail", "tick", "warm", "measured", "accept"]
            ),
            st.integers(0, 10**10),
        ),
        max_size=120,
    )
)
def test_whatever_happens_frames_add_up_and_agree_with_shared_memory(steps):
    recorder, counters = make(max_series=3)
    ledger, seq = WorkerLedger(0, 3), 0
    open_calls = []
    bytes_out = bytes_in = 0
    for number, what, value in [*steps, (0, "tick", 0)]:
        key = http_key(f"/{number}")
        if what == "sent":
            series = recorder.http(key)
            series.sent(value % 3)
            bytes_out += value % 3
            open_calls.append(series)
        elif what == "wrote" and open_calls:
            open_calls[0].wrote(value % 77)
            bytes_out += value % 77
        elif what == "once" and open_calls:
            open_calls.pop(0).completed_at_once(value, 200, value % 5)
            bytes_in += value % 5
        elif what in ("ok", "bad") and open_calls:
            status = 200 + number if what == "ok" else 500 + number
            open_calls.pop(0).completed(0, value // 2, value, status, what == "ok", value % 77)
            bytes_in += value % 77
        elif what == "fail" and open_calls:
            open_calls.pop().failed(0, value, f"code{number}", value % 7)
            bytes_in += value % 7
        elif what == "warm":
            recorder.phase = WARMUP
        elif what == "measured":
            recorder.phase = ""
        elif what == "accept":
            recorder.accept_only([http_key("/0"), http_key("/1")])
        elif what == "tick":
            frame = msgspec.msgpack.decode(
                msgspec.msgpack.encode(collect(recorder, seq, seq)), type=Frame
            )
            assert ledger.admit(frame)
            seq += 1
            shared = counters.totals(KIND_HTTP)
            for field in ("sent", "ok", "failed", "bytes_in", "bytes_out"):
                assert getattr(shared, field) == getattr(ledger.totals, field)
    everything = counters.totals(KIND_HTTP) + counters.totals(KIND_HTTP_WARMUP)
    assert everything.in_flight == len(open_calls)
    assert (everything.bytes_in, everything.bytes_out) == (bytes_in, bytes_out)


@given(st.lists(st.integers(-5, 10**11), min_size=1, max_size=50))
def test_a_reply_in_one_piece_is_recorded_as_one_whose_first_byte_is_its_last(spans_ns):
    deltas = []
    for at_once in (False, True):
        recorder, _ = make()
        series = recorder.http(http_key())
        for span in spans_ns:
            series.sent(10)
            if at_once:
                series.completed_at_once(span, 200, 100)
            else:
                series.completed(0, span, span, 200, True, 100)
        deltas.append(collect(recorder).deltas)
    assert deltas[0] == deltas[1]


def test_what_is_recorded_between_the_steps_of_a_collection_is_in_the_next_frame():
    recorder, _ = make(max_series=4000)
    every = [recorder.http(http_key(f"/{number}")) for number in range(400)]
    for series in every:
        series.sent(10)
        series.completed_at_once(5 * MS, 200, 100)
    collection = recorder.collect(1)
    next(iter(collection))
    for series in every:
        series.sent(10)
        series.completed_at_once(7 * MS, 200, 100)
    deltas = [*collection.frame(0, 0, 0).deltas, *collect(recorder, 1, 2).deltas]
    for kind_of in (0, 1):  # a series of first bytes stands before that of its requests
        counts = [sum(delta.expected.counts) for delta in deltas if delta.id % 2 == kind_of]
        assert sum(counts) == 2 * len(every)


def test_recording_makes_no_garbage_for_the_collector():
    recorder, _ = make()
    series = recorder.http(http_key())
    gc.collect()
    before = gc.get_count()[0]
    for value in range(2000):
        series.sent(1)
        series.completed(0, 0, value * 1000, 200, True, 1)
    assert gc.get_count()[0] - before < 50
