"""`chaperon worker join`: lend this machine to a run on another one."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from pathlib import Path

from chaperon_engine.errors import UserError
from chaperon_engine.text import visible


def worker(arguments: Namespace) -> int:
    """Join, and see the run through; answers how that went."""
    from chaperon_engine.agent.events import AgentLimits
    from chaperon_engine.agent.process import Joining, default_name, join
    from chaperon_engine.client.describing import child_environment
    from chaperon_engine.engine.address import address_of
    from chaperon_engine.remote.dial import Authority, Pin
    from chaperon_engine.remote.tokens import read_token

    if arguments.ca is None and (arguments.cert or arguments.key):
        raise UserError("--cert and --key go with --ca: a run with a pin asks for no certificate")
    try:
        host, port = address_of(arguments.address)
    except UserError:
        raise UserError(
            f"{visible(arguments.address, 100)!r} is no address of a run: write HOST:PORT, as in "
            "the line that `chaperon run --listen` printed"
        ) from None
    limits = AgentLimits(lease_s=arguments.lease)
    if arguments.return_s is not None:
        limits = AgentLimits(lease_s=arguments.lease, return_s=arguments.return_s)
    trust = (
        Pin.parse(arguments.pin)
        if arguments.ca is None
        else Authority(Path(arguments.ca), _path(arguments.cert), _path(arguments.key))
    )
    joining = Joining(
        host=host,
        port=port,
        run_id=arguments.run,
        trust=trust,
        token=read_token(arguments.token_file),
        name=default_name() if arguments.name is None else arguments.name,
        workers=arguments.workers,
        pin=not arguments.no_pin,
        limits=limits,
    )
    # The workers run user code, which must not start runs of its own.
    os.environ.update(child_environment())
    return join(joining, _say)


def _say(level: str, text: str) -> None:
    mark = "" if level == "info" else f"{level}: "
    with contextlib.suppress(OSError):  # whoever read it may have gone, such as ssh
        print(f"chaperon: {mark}{visible(text, 2000)}", file=sys.stderr, flush=True)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser().absolute()
