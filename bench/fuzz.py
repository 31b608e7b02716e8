"""Fuzzes what takes bytes from other machines and from journals, with coverage as the guide.

    pip install atheris
    python -m bench.fuzz --seconds 3600

Needs Linux and a CPython that atheris has a wheel for. Inputs that reach new code are kept in
`tests/remote/corpus`, which the tests take again each time; an input that breaks something is
written to the working directory as `crash-...`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzz for the given time, then exit."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="another folder for inputs that are kept")
    arguments = parser.parse_args()
    try:
        import atheris
    except ImportError:
        parser.error("atheris is not installed: `pip install atheris`")
    with atheris.instrument_imports(include=["chaperon_engine"]):
        from tests.remote.fuzzing import CORPUS, seeds, take
    corpus = arguments.corpus or CORPUS
    corpus.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in seeds(folder):
            (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        atheris.Setup(
            [
                sys.argv[0],
                f"-max_total_time={arguments.seconds}",
                "-max_len=8192",
                "-timeout=10",
                "-rss_limit_mb=1024",
                str(corpus),
            ],
            lambda data: take(data, folder),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
