"""What the whole suite shares: the product is compiled once, not by each process that tests start.

Where Python may not write bytecode (`PYTHONDONTWRITEBYTECODE`, usual in containers), each of the
thousand processes of a suite would compile all modules anew: half of its time.
"""

from __future__ import annotations

import compileall
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

if sys.dont_write_bytecode:
    for package in ("chaperon_engine", "chaperon_tui"):
        # What cannot be written is compiled by each process, as before.
        compileall.compile_dir(ROOT / package, quiet=2)
