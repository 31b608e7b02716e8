"""What the whole suite shares: how often code is compiled, and how often garbage is looked for.

Where Python may not write bytecode (`PYTHONDONTWRITEBYTECODE`, usual in containers), each of the
thousand processes of a suite would compile all modules anew: half of its time. So the product is
compiled here, and what is collected is kept as well.

Collected tests and the libraries that they use are a million objects which live as long as the
process. To look for garbage among them, every 700 new objects a little, is a fifth of the time of
what runs in this process; they are frozen, and it is looked for less often. Tests that need it
collect it themselves.
"""

from __future__ import annotations

import compileall
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

if sys.dont_write_bytecode:
    for package in ("chaperon_engine", "chaperon_tui"):
        # What cannot be written is compiled by each process, as before.
        compileall.compile_dir(ROOT / package, quiet=2)

gc.set_threshold(10_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    forbidden, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = forbidden
        gc.collect()
        gc.freeze()
