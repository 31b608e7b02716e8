import os
import signal

import pytest

from chaperon_engine.metrics.counters import (
    KIND_HTTP,
    KIND_HTTP_WARMUP,
    KIND_OTHER,
    OK,
    SENT,
    SLOT_WORDS,
    CounterValues,
    RunCounters,
)


def write(worker, slot, *values):
    for word, value in enumerate(values, start=1):
        worker.words[slot * SLOT_WORDS + word] = value


def test_slots_are_given_out_in_order_and_end():
    worker = RunCounters(1, slots=2).worker(0)
    assert [worker.allocate(KIND_HTTP), worker.allocate(KIND_OTHER)] == [0, 1]
    assert worker.used == 2
    assert [worker.kind(0), worker.kind(1)] == [KIND_HTTP, KIND_OTHER]
    with pytest.raises(IndexError, match="all 2 counter slots are taken"):
        worker.allocate(KIND_HTTP)


def test_totals_merge_measured_requests_of_all_workers_only():
    run = RunCounters(2, slots=8)
    for number in range(2):
        worker = run.worker(number)
        write(worker, worker.allocate(KIND_HTTP), 10, 7, 1, 2, 100, 50, 1)
        write(worker, worker.allocate(KIND_HTTP_WARMUP), 3, 3, 0, 0, 9, 9, 0)
        worker.allocate(KIND_OTHER)
        write(worker, worker.allocate(KIND_HTTP), 1, 0, 0, 0, 0, 5, 0)
    assert run.worker(0).totals() == CounterValues(11, 7, 1, 2, 100, 55, 1)
    assert run.totals() == CounterValues(22, 14, 2, 4, 200, 110, 2)
    assert run.totals().in_flight == 6
    assert run.totals(KIND_HTTP_WARMUP).sent == 6
    assert run.worker(1).values(0) == CounterValues(10, 7, 1, 2, 100, 50, 1)


def test_bytes_are_the_usual_ones_of_each_request_and_more_or_fewer():
    worker = RunCounters(1, slots=2).worker(0)
    write(worker, worker.allocate(KIND_HTTP), 10, 7, 1, 2, -100, 50, 1, 400, 60)
    write(worker, worker.allocate(KIND_HTTP), 1, 1, 0, 0, 5, 6, 0)
    assert worker.values(0) == CounterValues(10, 7, 1, 2, 2700, 650, 1)
    assert worker.totals() == CounterValues(11, 8, 1, 2, 2705, 656, 1)
    assert worker.slots_as_counted() == [
        [KIND_HTTP, 10, 7, 1, 2, 2700, 650, 1],
        [KIND_HTTP, 1, 1, 0, 0, 5, 6, 0],
    ]


def test_a_worker_cannot_reach_the_slots_of_another():
    run = RunCounters(3, slots=1)
    write(run.worker(1), run.worker(1).allocate(KIND_HTTP), 1, 1)
    assert run.worker(0).used == run.worker(2).used == 0
    with pytest.raises(IndexError):
        write(run.worker(1), 1, 1)


def test_more_completions_than_sends_in_a_torn_read_never_show():
    worker = RunCounters(1).worker(0)
    write(worker, worker.allocate(KIND_HTTP), 4, 5)
    assert worker.totals().in_flight == 0


def test_counters_survive_a_worker_that_is_killed():
    run = RunCounters(2)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            worker = run.worker(1)
            slot = worker.allocate(KIND_HTTP) * SLOT_WORDS
            for count in range(1, 1001):
                worker.words[slot + SENT] = count
                worker.words[slot + OK] = count
            os.write(tell, b"!")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(ready, 1) == b"!"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(tell)
    assert run.totals() == CounterValues(1000, 1000)
