import msgspec
import pytest

from chaperon_engine.metrics.frames import (
    ConservationError,
    FrameError,
    WorkerLedger,
    check_deltas,
)
from chaperon_engine.metrics.interval import packed
from chaperon_engine.metrics.model import (
    CheckCount,
    ExceptionGroup,
    HealthSample,
    LogLine,
    LostWorker,
    SeriesDelta,
    SeriesKey,
    SessionCounts,
)
from tests.metrics.fleet import Fleet


@pytest.fixture
def frame():
    fleet = Fleet(1)
    fleet.request(0, us=1000)
    fleet.request(0, us=2000, status=503, expected=False)
    fleet.request(0, us=3000, failed="reset")
    return fleet.frame(0, 1)


def change_delta(frame, **fields):
    """The frame with its http delta changed."""
    deltas = [delta for delta in frame.deltas if not delta.statuses]
    (http,) = (delta for delta in frame.deltas if delta.statuses)
    return msgspec.structs.replace(frame, deltas=[*deltas, msgspec.structs.replace(http, **fields)])


def test_a_recorders_frame_is_admitted_once(frame):
    ledger = WorkerLedger(0)
    assert ledger.admit(frame)
    assert not ledger.admit(frame)
    assert ledger.totals.sent == 3


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"seq": 1}, "frame 1 where 0 was due"),
        ({"end_ns": -1}, "ends before it starts"),
        ({"sessions": SessionCounts(started=-1)}, "negative count"),
        ({"health": HealthSample(cpu=float("nan"))}, "no numbers"),
        ({"health": HealthSample(rss_bytes=-1)}, "negative count"),
        ({"checks": [CheckCount("", "", "x", passed=-1)]}, "check with a negative count"),
        ({"checks": [CheckCount("", "", "x")] * 1002}, "more checks or exceptions"),
        ({"exceptions": [ExceptionGroup("E", "f", 1, 0, "", "")]}, "did not occur"),
        ({"new_series": [(5, SeriesKey(kind="http"))]}, "series number 5 where 0 was due"),
        ({"new_series": [(0, SeriesKey(kind="evil"))]}, "unknown kind 'evil'"),
        ({"deltas": [SeriesDelta(77, sent=1)]}, "series 77, which it has not announced"),
        ({"deltas": [SeriesDelta(-1, sent=1)]}, "series -1, which it has not announced"),
        ({"deltas": [SeriesDelta(1)] * 2}, "two deltas of series 1"),
    ],
)
def test_a_frame_that_no_sound_worker_sends_is_refused(frame, fields, reason):
    ledger = WorkerLedger(0)
    with pytest.raises(FrameError, match=reason):
        ledger.admit(msgspec.structs.replace(frame, **fields))
    assert ledger.admit(frame), "a refused frame must leave no trace"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sent": -1}, "negative count"),
        ({"ok": 3}, "counts and histograms differ"),
        ({"failed": 0}, "counts and histograms differ"),
        ({"http_errors": 2}, "http errors and their histogram differ"),
        ({"errors": {"reset": 2}}, "failures and their classes differ"),
        ({"errors": {"reset": 2, "dns": -1}}, "count below 1"),
        ({"statuses": {200: 1}}, "responses and their statuses differ"),
        ({"unexpected_statuses": {}}, "http errors and their statuses differ"),
        ({"value_sum": float("inf")}, "no number"),
        (
            {"expected": packed([9], [1], sum_us=9, min_us=9, max_us=8)},
            "not in order",
        ),
    ],
)
def test_a_delta_whose_parts_disagree_is_refused(frame, fields, reason):
    with pytest.raises(FrameError, match=f"bad delta of series 1: .*{reason}"):
        WorkerLedger(0).admit(change_delta(frame, **fields))


def test_a_kind_that_only_counts_has_no_distribution_that_nobody_checks():
    good = packed([5], [1], sum_us=5, min_us=5, max_us=5)
    with pytest.raises(ValueError, match="series 7: a distribution in a ws_message"):
        check_deltas(["ws_message"], [SeriesDelta(7, sent=1, ok=1, expected=good)])
    check_deltas(["ws_message"], [SeriesDelta(0, sent=1, ok=1)])


def test_of_many_deltas_the_bad_one_is_named():
    good = packed([5], [1], sum_us=5, min_us=5, max_us=5)
    bad = packed([5], [1], sum_us=5, min_us=6, max_us=6)
    deltas = [
        SeriesDelta(number, sent=1, ok=1, expected=bad if number == 2 else good)
        for number in range(4)
    ]
    with pytest.raises(ValueError, match="series 2: minimum or maximum lies outside"):
        check_deltas(["call"] * 4, deltas)


@pytest.mark.parametrize("name", ["sent", "ok", "failed", "http_errors", "bytes_in", "bytes_out"])
def test_totals_that_differ_from_the_sum_of_deltas_break_conservation(frame, name):
    changed = msgspec.structs.replace(frame.totals, **{name: getattr(frame.totals, name) + 1})
    with pytest.raises(ConservationError, match=f"states .* {name}, its deltas add up to"):
        WorkerLedger(0).admit(msgspec.structs.replace(frame, totals=changed))


def test_more_completions_than_sends_break_conservation(frame):
    with pytest.raises(ConservationError, match="2 ok \\+ 1 failed of 2 sent"):
        WorkerLedger(0).admit(change_delta(frame, sent=2))


def test_another_epoch_of_the_same_worker_is_refused(frame):
    ledger = WorkerLedger(0)
    ledger.admit(frame)
    with pytest.raises(FrameError, match="epoch 1 instead of 0"):
        ledger.admit(msgspec.structs.replace(frame, epoch=1, seq=1))


def test_a_worker_cannot_announce_series_without_end(frame):
    keys = [(number, SeriesKey(kind="call", name=str(number))) for number in range(80)]
    with pytest.raises(FrameError, match="more than 72 series"):
        WorkerLedger(0, max_series=10).admit(msgspec.structs.replace(frame, new_series=keys))


LONG = "x" * 4_097


@pytest.mark.parametrize(
    "fields",
    [
        {"new_series": [(0, SeriesKey(kind="http", url=LONG))], "deltas": []},
        {"new_series": [(0, SeriesKey(kind="http", tags=((LONG, "a"),)))], "deltas": []},
        {"checks": [CheckCount("", "", LONG)]},
        {"checks": [CheckCount("", "", "a", reason="x" * 65_537)]},
        {"exceptions": [ExceptionGroup("E", "f", 1, 1, "", "x" * 65_537)]},
        {"logs": [LogLine(0.0, "info", "", "x" * 65_537)]},
        {"lost": [LostWorker(0, "x" * 65_537)]},
    ],
)
def test_texts_that_a_recorder_would_have_cut_are_refused(frame, fields):
    ledger = WorkerLedger(0)
    with pytest.raises(FrameError, match="longer texts"):
        ledger.admit(msgspec.structs.replace(frame, **fields))
    assert ledger.admit(frame), "a refused frame must leave no trace"


def test_names_of_checks_and_exceptions_cannot_grow_from_frame_to_frame():
    """Each frame is within the limits; what is kept for the run would not be."""
    fleet, ledger = Fleet(1), WorkerLedger(0)
    refused = None
    for second in range(10):
        plain = fleet.frame(0, second + 1)
        checks = [CheckCount("", "", f"{second}-{number}", 1) for number in range(200)]
        try:
            ledger.admit(msgspec.structs.replace(plain, checks=checks))
        except FrameError as error:
            refused = (second, str(error))
            break
    assert refused == (5, "worker 0 sent more checks or exceptions than a recorder keeps")


def test_all_keys_of_a_worker_together_have_a_limit(frame, monkeypatch):
    monkeypatch.setattr("chaperon_engine.metrics.frames.MAX_KEY_CHARS", 20)
    with pytest.raises(FrameError, match="longer texts"):
        WorkerLedger(0).admit(
            msgspec.structs.replace(
                frame, new_series=[(0, SeriesKey(kind="http", scenario="x" * 21))], deltas=[]
            )
        )


def test_a_recorder_cuts_labels_so_that_its_frames_are_admitted():
    fleet, ledger = Fleet(1), WorkerLedger(0)
    recorder = fleet.recorders[0]
    tags = tuple((f"{number}", "v" * 9_000) for number in range(100))
    for end in ("a", "b"):
        recorder.count(SeriesKey(kind="counter", name="x" * 100_000 + end, tags=tags), 1)
        recorder.check("s", "", "y" * 100_000 + end, passed=True)
    frame = fleet.frame(0, 1)
    assert ledger.admit(frame)
    (key,) = [key for _, key in frame.new_series]
    assert len(key.name) == 4_096
    assert key.name.endswith("x…")
    assert len(key.tags) == 64
    assert [check.passed for check in frame.checks] == [2]
