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
from pathlib import Path


def main() -> None:
    """Fuzz for the given time, then exit."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="another folder for inputs that are kept")
    parser.add_argument(
        "--minimise", action="store_true", help="take over what reaches new code from --corpus"
    )
    arguments = parser.parse_args()
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
        limits = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=1024"]
        if arguments.minimise:
            how = ["-merge=1", str(CORPUS), str(corpus)]
        else:
            how = [f"-max_total_time={arguments.seconds}", "-print_final_stats=1", str(corpus)]

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            chance = random.Random(seed)
            if data and chance.random() < 0.5:
                with contextlib.suppress(ValueError):
                    return vary(data, chance)[:max_size]
            found: bytes = atheris.Mutate(data, max_size)
            return found

        atheris.Setup(
            [sys.argv[0], *limits, *how], lambda data: take(data, folder), custom_mutator=mutate
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
