"""Fuzzes what takes bytes from other machines and from journals, with coverage as the guide.

    pip install atheris
    python -m bench.fuzz --seconds 3600

Half of the changes are made to bytes, half to the values inside messages (`mutation`), with
lengths and checksums made right again. Needs Linux and a CPython that atheris has a wheel for.
Inputs that reach new code are kept in `tests/remote/corpus`, which the tests take again each time;
an input that breaks something is written to the working directory as `crash-...`.

    python -m bench.fuzz --corpus /tmp/corpus --minimise

keeps in `tests/remote/corpus` as few of the inputs there as reach the same code.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType


def main() -> None:
    """Fuzz for the given time, then exit."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="another folder for inputs that are kept")
    parser.add_argument(
        "--minimise", action="store_true", help="take over what reaches new code from --corpus"
    )
    arguments = parser.parse_args()
    if arguments.minimise:
        _minimise(arguments.corpus or parser.error("--minimise: --corpus says what"))
        return
    try:
        import atheris
    except ImportError:
        parser.error("atheris is not installed: `pip install atheris`")
    with atheris.instrument_imports(include=["chaperon_engine"]):
        from tests.remote.fuzzing import CORPUS, seeds, take, vary
    corpus = arguments.corpus or CORPUS
    corpus.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in seeds(folder):
            (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        limits = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            chance = random.Random(seed)
            if data and chance.random() < 0.5:
                with contextlib.suppress(ValueError):
                    return vary(data, chance)[:max_size]
            found: bytes = atheris.Mutate(data, max_size)
            return found

        atheris.Setup(
            [sys.argv[0], *limits, f"-max_total_time={arguments.seconds}", str(corpus)],
            lambda data: take(data, folder),
            custom_mutator=mutate,
        )
        atheris.Fuzz()


def _minimise(found: Path) -> None:
    """Take over the inputs that pass from one line to another where none before them did, the
    shortest first."""
    from tests.remote.fuzzing import CORPUS, take

    passed: set[tuple[str, int, int]] = set()
    fresh: set[tuple[str, int, int]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
        name = frame.f_code.co_filename
        if "chaperon_engine" not in name:
            return None
        before = frame.f_lineno

        def line(frame: FrameType, event: str, _: object) -> Callable[..., object]:
            nonlocal before
            fresh.add((name, before, frame.f_lineno))
            before = frame.f_lineno
            return line

        return line

    known = [path.read_bytes() for path in CORPUS.iterdir()]
    others = sorted((path.read_bytes() for path in found.iterdir()), key=len)
    with tempfile.TemporaryDirectory() as folder:
        for data in [*known, *others]:
            fresh.clear()
            sys.settrace(trace)
            try:
                take(data, Path(folder))
            finally:
                sys.settrace(None)
            if not fresh <= passed and data not in known:
                (CORPUS / hashlib.sha1(data).hexdigest()).write_bytes(data)
            passed |= fresh


if __name__ == "__main__":
    main()
