"""What the fuzzer starts from and what it found: taken again, and changed at random."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from tests.remote.fuzzing import CORPUS, TAKERS, seeds, take, vary

FOUND = sorted(CORPUS.glob("*"))


def test_the_seeds_reach_every_taker(tmp_path: Path) -> None:
    assert {seed[0] for seed in seeds(tmp_path)} == set(range(len(TAKERS)))


def test_sound_inputs_changed_at_random_are_taken_or_refused(tmp_path: Path) -> None:
    chance = random.Random(11)
    for seed in seeds(tmp_path):
        take(seed, tmp_path)
        for _ in range(150):
            data = bytearray(seed)
            for _ in range(chance.randrange(1, 4)):
                place = chance.randrange(1, len(data))
                match chance.randrange(3):
                    case 0:
                        data[place] = chance.randrange(256)
                    case 1:
                        del data[place : place + chance.randrange(1, 8)]
                    case _:
                        data[place:place] = chance.randbytes(chance.randrange(1, 8))
                if len(data) < 2:
                    break
            take(bytes(data), tmp_path)


def test_messages_with_other_values_inside_are_taken_or_refused(tmp_path: Path) -> None:
    chance = random.Random(12)
    for seed in seeds(tmp_path):
        found = seed
        for _ in range(100):
            with contextlib.suppress(ValueError):
                found = vary(seed if chance.random() < 0.5 else found, chance)[:8192]
            take(found, tmp_path)


@pytest.mark.skipif(not FOUND, reason="the corpus is not part of this distribution")
def test_what_the_fuzzer_kept_is_taken_or_refused(tmp_path: Path) -> None:
    for path in FOUND:
        take(path.read_bytes(), tmp_path)
