"""The socket of a run for other machines: secret, certificate, tokens on disk, the join line.

Owns: the order in which these are made. Must not know: who is admitted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from chaperon_engine.coordinator.certificate import join_line, self_signed
from chaperon_engine.coordinator.listener import Listener
from chaperon_engine.coordinator.run import Attachment, Coordinator
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.engine.address import WILDCARDS, address_of
from chaperon_engine.protocol.messages import Refused
from chaperon_engine.protocol.token import SECRET_BYTES, RunSecret
from chaperon_engine.remote.link import ViewerLink
from chaperon_engine.remote.tokens import write_token
from chaperon_engine.runs.bundle import collect
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.record import RunRecord


async def listen_for_agents(
    directory: RunDirectory,
    record: RunRecord,
    launch: LaunchRequest,
    coordinator: Coordinator,
    say: Callable[[str, str], None],
) -> Listener:
    """Open the socket and tell the coordinator how agents attach. Raises UserError, OSError."""
    host, port = address_of(launch.listen)
    secret = RunSecret(os.urandom(SECRET_BYTES))
    credentials = self_signed(record.id, directory.path)
    token_file = str(write_token(directory.path, secret.token("agent")))
    bundle = collect(launch, record.plan, working=Path.cwd())
    for line in (*bundle.listing(), *bundle.left_out):
        say("info", f"for agents: {line}")
    listener = Listener(
        run_id=record.id,
        secret=secret,
        credentials=credentials,
        on_agent=coordinator.agents.receive,
        on_viewer=_refuse_viewer,
        now=time.monotonic,
        say=say,
    )
    port = await listener.listen(host, port)
    reachable = socket.gethostname() if host in WILDCARDS else host
    coordinator.attach(
        Attachment(
            join=join_line(reachable, port, record.id, credentials, token_file),
            token_file=token_file,
            launch=bundle.launch,
            bundle=bundle.pieces,
        )
    )
    return listener


def _refuse_viewer(link: ViewerLink) -> None:
    reason = "watch this run on the machine where it was started: `chaperon-tui attach`"
    link.close(Refused(reason=reason))
