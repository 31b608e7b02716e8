"""The run's table of series: one number per key over all workers, with the cap.

Owns which keys exist in the run. The first `max_series` distinct keys that any worker announces
are accepted (a key in warm-up and in the measured run is one). Every other key is folded into the
`(other)` of its kind and phase, from every worker and from its first delta on: everywhere or
nowhere. Must not know what series hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaperon_engine.metrics.model import SeriesKey


class SeriesTable:
    """Maps (worker, number within the worker) and keys to the run's own numbers."""

    def __init__(self, max_series: int = 2000) -> None:
        self.max_series = max_series
        self.keys: list[SeriesKey] = []
        """Keys by number, `(other)` ones included."""
        self._numbers: dict[SeriesKey, int] = {}
        self._of_worker: dict[int, list[int]] = {}
        self._accepted: dict[SeriesKey, None] = {}
        self._folded: set[SeriesKey] = set()

    @property
    def is_full(self) -> bool:
        """No further key will be accepted."""
        return len(self._accepted) >= self.max_series

    @property
    def folded(self) -> int:
        """Distinct announced keys that were folded."""
        return len(self._folded)

    def accepted_keys(self) -> list[SeriesKey]:
        """What workers must be told once the table is full: keys of the measured run."""
        return list(self._accepted)

    def announce(self, worker: int, key: SeriesKey) -> int:
        """A worker has made a series; the run's number for it."""
        number = self.number(key)
        self._of_worker.setdefault(worker, []).append(number)
        return number

    def of_worker(self, worker: int, number: int) -> int | None:
        """The run's number of a worker's series; None when it was never announced."""
        numbers = self._of_worker.get(worker, [])
        return numbers[number] if 0 <= number < len(numbers) else None

    def numbers_of(self, worker: int) -> Sequence[int]:
        """The run's number of each of a worker's series, in the order of its own numbers."""
        return self._of_worker.get(worker, ())

    def number(self, key: SeriesKey) -> int:
        """The run's number for a key; beyond the cap that of its `(other)`."""
        found = self._numbers.get(key)
        if found is not None:
            return found
        if not key.is_other and (measured := key.measured) not in self._accepted:
            if self.is_full:
                self._folded.add(measured)
                return self.number(key.other)
            self._accepted[measured] = None
        number = self._numbers[key] = len(self.keys)
        self.keys.append(key)
        return number
