"""Who runs which share, and when a session starts. Pure arithmetic: no clock, no randomness.

    worker 0   0   3   6   9        share(10, 0, 3)
    worker 1     1   4   7          share(10, 1, 3)
    worker 2       2   5   8        share(10, 2, 3)

Striding instead of blocks keeps every worker's starts spread over the whole ramp-up.
"""

from __future__ import annotations


def share(total: int, worker: int, workers: int) -> range:
    """The indices below `total` that belong to this worker: those congruent to its number.

    Over all workers they are a partition, and no two shares differ by more than one.
    """
    _check(total, worker, workers)
    return range(worker, total, workers)


def count_share(total: int, worker: int, workers: int) -> int:
    """How many of `total` things belong to this worker; the sum over all workers is `total`."""
    return len(share(total, worker, workers))


def place(share: int, before: int, shares: int) -> int:
    """The number that one of the run's shares has in a population's own partition; `before`:
    sessions of the populations before it.

    The first sessions of the populations go to different workers, so that many small populations
    do not all fall on worker 0.
    """
    return (share - before) % shares


def start_offset_s(index: int, sessions: int, ramp_up_s: float) -> float:
    """When session `index` of `sessions` starts, in seconds after the start of the run.

    The starts are evenly spaced and the first is at 0: t = ramp_up * index / sessions. One more
    session would start exactly at the end of the ramp-up.
    """
    if not 0 <= index < sessions:
        raise ValueError(f"session {index} is not one of {sessions}")
    return ramp_up_s * index / sessions


def _check(total: int, worker: int, workers: int) -> None:
    if total < 0:
        raise ValueError(f"cannot share {total} things")
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} is not one of {workers}")
