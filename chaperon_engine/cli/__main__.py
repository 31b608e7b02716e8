"""`python -m chaperon_engine.cli`: the `chaperon` command without its script."""

import sys

from chaperon_engine.cli import main

sys.exit(main())
