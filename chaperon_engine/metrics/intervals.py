"""All seconds of a run, packed: a day of them takes megabytes, and not one is lost or merged."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

import msgspec

from chaperon_engine.metrics.snapshot import Interval

CHUNK: Final = 60
"""Seconds that are packed together: 1.2 KB each become about 70 bytes."""
_LEVEL: Final = 1

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Interval])


class Intervals(Sequence[Interval]):
    """A sequence that grows at its end. Its newest seconds are at hand, older ones are packed and
    unpacked for whoever asks."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        """Chunks of `CHUNK` seconds each, in order."""
        self._newest: list[Interval] = []
        """What is not packed: one to two chunks, fewer at the beginning."""

    def append(self, interval: Interval) -> None:
        """Add the next second."""
        self._newest.append(interval)
        if len(self._newest) == 2 * CHUNK:
            chunk, self._newest = self._newest[:CHUNK], self._newest[CHUNK:]
            self._packed.append(zlib.compress(_ENCODER.encode(chunk), _LEVEL))

    def extend(self, intervals: Iterable[Interval]) -> None:
        """Add the next seconds."""
        for interval in intervals:
            self.append(interval)

    def __len__(self) -> int:
        return len(self._packed) * CHUNK + len(self._newest)

    def __iter__(self) -> Iterator[Interval]:
        for number in range(len(self._packed)):
            yield from self._chunk(number)
        yield from self._newest

    @overload
    def __getitem__(self, place: int) -> Interval: ...
    @overload
    def __getitem__(self, place: slice) -> list[Interval]: ...
    def __getitem__(self, place: int | slice) -> Interval | list[Interval]:
        if isinstance(place, slice):
            places = range(len(self))[place]
            if not places:
                return []
            low, high = min(places[0], places[-1]), max(places[0], places[-1])
            first = min(low // CHUNK, len(self._packed))
            last = min(high // CHUNK, len(self._packed))
            near = [each for number in range(first, last + 1) for each in self._chunk(number)]
            return [near[at - first * CHUNK] for at in places]
        at = range(len(self))[place]
        number = min(at // CHUNK, len(self._packed))
        return self._chunk(number)[at - number * CHUNK]

    def _chunk(self, number: int) -> list[Interval]:
        """A packed chunk; the number after the last is that of what is not packed."""
        if number == len(self._packed):
            return self._newest
        return _DECODER.decode(zlib.decompress(self._packed[number]))
