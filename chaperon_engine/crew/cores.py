"""Which cores a run takes, and which another run of this user has taken.

A core is taken by locking a file of its number below the user's folder; the lock ends with the
engine. Two runs may share cores: that is no error, but both are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaperon_engine.runs.directory import Lock, home


@dataclass(frozen=True)
class CoreShare:
    """The cores of one run."""

    cores: list[int | None]
    """For each worker the core it is pinned to, or None."""
    note: str
    """Says which cores are shared with another run; empty when none is."""
    locks: list[Lock]
    """To be kept as long as the cores are used."""


def take_cores(run_id: str, usable: Sequence[int], workers: int, *, pin: bool = True) -> CoreShare:
    """Cores for `workers`, free ones first; with more workers than cores none is pinned."""
    folder = home() / "cores"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free: list[int] = []
    taken: list[int] = []
    locks: dict[int, Lock] = {}
    for core in usable:
        if len(free) == workers:
            break
        lock = Lock.take(folder / f"{core}.lock", run_id)
        if lock is None:
            taken.append(core)
        else:
            free.append(core)
            locks[core] = lock
    shared = taken[: max(0, min(workers, len(usable)) - len(free))]
    note = ""
    if shared:
        names = ", ".join(str(core) for core in shared)
        word = "core" if len(shared) == 1 else "cores"
        note = f"another run uses {word} {names}, which this run shares: its figures may suffer"
    elif taken:
        names = ", ".join(str(core) for core in taken)
        note = f"another run uses cores {names}; this run has its own"
    chosen: list[int | None] = [*free, *shared]
    if not pin or workers > len(usable):
        chosen = [None] * workers
    return CoreShare(cores=chosen, note=note, locks=list(locks.values()))
