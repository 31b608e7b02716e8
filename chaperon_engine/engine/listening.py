"""The socket of a run for other machines: secret, certificate, tokens on disk, the lines to attach.

Owns: the order in which these are made. Must not know: who is admitted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from chaperon_engine.coordinator.certificate import (
    Credentials,
    attach_line,
    join_line,
    of_authority,
    self_signed,
)
from chaperon_engine.coordinator.inviting import Attachment, Invitation, Invitations
from chaperon_engine.coordinator.listener import Listener
from chaperon_engine.coordinator.run import Coordinator
from chaperon_engine.coordinator.server import FAREWELL_S
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.engine.address import WILDCARDS, address_of
from chaperon_engine.protocol.token import SECRET_BYTES, RunSecret
from chaperon_engine.remote.tokens import write_token
from chaperon_engine.runs.bundle import collect
from chaperon_engine.runs.directory import RunDirectory
from chaperon_engine.runs.record import RunRecord


async def listen_for_others(
    directory: RunDirectory,
    record: RunRecord,
    launch: LaunchRequest,
    coordinator: Coordinator,
    say: Callable[[str, str], None],
) -> Listener:
    """Open the socket and tell the coordinator how agents and viewers attach. Raises UserError,
    OSError."""
    host, port = address_of(launch.listen)
    secret = RunSecret(os.urandom(SECRET_BYTES))
    credentials = _credentials(directory, record, launch)
    observers = write_token(directory.path, secret.token("observer"))
    write_token(directory.path, secret.token("operator"))
    agents = code = None
    if launch.expect:
        agents = write_token(directory.path, secret.token("agent"))
        code = collect(launch, record.plan, working=Path.cwd())
        for line in (*code.listing(), *code.left_out):
            say("info", f"for agents: {line}")
    listener = Listener(
        run_id=record.id,
        secret=secret,
        credentials=credentials,
        on_agent=coordinator.agents.receive,
        on_viewer=coordinator.server.receive,
        now=time.monotonic,
        say=say,
        takes_agents=code is not None,
    )
    # A run that has just ended here keeps its port for its farewell; who waits for a port that
    # another program has should not wait for longer than that.
    port = await listener.listen(host, port, wait_s=FAREWELL_S + 1.0)
    reachable = socket.gethostname() if host in WILDCARDS else host

    def invitation(shown: Callable[[Path], str], token_file: str) -> Invitation:
        dialled = (reachable, port, record.id, credentials)
        return Invitation(
            join="" if agents is None else join_line(*dialled, shown(agents)),
            attach=attach_line(*dialled, shown(observers)),
            token_file=token_file,
        )

    coordinator.attach(
        Attachment(
            Invitations(
                here=invitation(str, "" if agents is None else str(agents)),
                # Paths of this host would lead nowhere there.
                elsewhere=invitation(lambda path: path.name, ""),
            ),
            code,
        )
    )
    return listener


def _credentials(directory: RunDirectory, record: RunRecord, launch: LaunchRequest) -> Credentials:
    if launch.tls_cert is None:
        return self_signed(record.id, directory.path)
    return of_authority(Path(launch.tls_cert), _path(launch.tls_key), _path(launch.tls_ca))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
