"""The journal: what is appended is read again, whatever happens to the end of the file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaperon_engine.errors import UserError
from chaperon_engine.metrics.interval import packed
from chaperon_engine.metrics.model import Frame, FrameTotals, SeriesDelta, SeriesKey
from chaperon_engine.runs.journal import (
    AnyRecord,
    Ended,
    FrameRecord,
    Header,
    JournalReader,
    JournalWriter,
    Steered,
)

HEADER = Header(run_id="r", start_ns=0, started_at="", workers=[(0, 1, None)])
END = Ended(at_s=1.0, status="complete", partial=False, reasons=[])


def frame(number: int, *, worker: int = 0, sent: int = 1, last: bool = False) -> Frame:
    return Frame(
        worker=worker,
        epoch=0,
        seq=number,
        start_ns=number * 10**9,
        end_ns=(number + 1) * 10**9,
        new_series=[(0, SeriesKey(kind="http", url="/"))] if number == 0 else [],
        deltas=[
            SeriesDelta(
                id=0,
                sent=sent,
                ok=sent,
                expected=packed([5, 9], [1, sent], sum_us=14, min_us=5, max_us=9),
                statuses={200: sent},
            )
        ],
        totals=FrameTotals(sent=sent * (number + 1), ok=sent * (number + 1)),
        last=last,
    )


def write(path: Path, frames: int) -> bytes:
    writer = JournalWriter(path)
    writer.append(HEADER)
    for number in range(frames):
        writer.append_frame(frame(number))
    writer.append(END)
    writer.close()
    return path.read_bytes()


def read(path: Path) -> list[AnyRecord]:
    return list(JournalReader(path))


def test_records_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 3)
    expected = [HEADER, *(FrameRecord(frame=frame(number)) for number in range(3)), END]
    assert read(path) == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_torn_tail_loses_only_what_was_torn(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    whole = write(path, 3)
    records = read(path)
    length = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:length])
    reader = JournalReader(path)
    found = list(reader)
    assert found == records[: len(found)]
    assert (len(found) == len(records)) == (length == len(whole))
    assert 0 <= reader.torn_bytes <= length


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_ends_the_reading_at_its_record(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    whole = bytearray(write(path, 3))
    records = read(path)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    found = read(path)
    assert found == records[: len(found)]
    assert len(found) < len(records)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400))
def test_garbage_reads_as_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    reader = JournalReader(path)
    assert list(reader) == []
    assert reader.torn_bytes == len(content)


def test_a_missing_journal_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "journal")


def test_beyond_its_budget_it_loses_resolution_and_no_count(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path, budget_bytes=20_000)
    writer.append(HEADER)
    for number in range(600):
        writer.append_frame(frame(number))
    writer.append_frame(frame(600, last=True))
    writer.close()
    frames = [record.frame for record in read(path) if isinstance(record, FrameRecord)]
    assert len(frames) < 400
    assert writer.ticks_per_frame > 1
    assert path.stat().st_size < 25_000
    assert [found.seq for found in frames] == list(range(len(frames)))
    assert sum(delta.sent for found in frames for delta in found.deltas) == 601
    assert frames[-1].last
    assert frames[-1].totals.sent == 601
    ends = [found.end_ns for found in frames]
    assert [found.start_ns for found in frames[1:]] == ends[:-1]


def test_what_waits_to_be_merged_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path, budget_bytes=600)
    for number in range(9):
        writer.append_frame(frame(number))
    writer.close()
    frames = [record.frame for record in read(path) if isinstance(record, FrameRecord)]
    assert sum(delta.sent for found in frames for delta in found.deltas) == 9


def test_a_full_disk_leaves_no_torn_record_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    writer.append(HEADER)

    class FullFile:
        def __init__(self) -> None:
            self.real = writer._file
            self.full = True

        def write(self, data: memoryview) -> int:
            if self.full:
                self.real.write(data[:3])
                raise OSError(28, "No space left on device")
            return self.real.write(data) or 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    disk = FullFile()
    writer._file = disk  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        writer.append(END)
    disk.full = False
    steered = Steered(at_s=1.0, action="stop", by="client")
    writer.append(steered)
    writer.close()
    assert read(path) == [HEADER, steered]


def test_a_journal_of_another_format_is_named_instead_of_read_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    writer.append(Header(format=1, run_id="r", start_ns=0, started_at="", workers=[]))
    writer.close()
    with pytest.raises(UserError, match=r"has format 1, and Chaperon .* reads format 2"):
        read(path)
