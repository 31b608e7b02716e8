"""`python -m chaperon_engine.engine RUN_DIR`: started by the client, not by people."""

from __future__ import annotations

import sys

from chaperon_engine.engine.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
