"""`--fleet` and the options that go with it: which fleet, and whether it can be meant. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from chaperon_engine.errors import UserError
from chaperon_engine.fleet.addresses import hosts_of, scheduler_of
from chaperon_engine.fleet.dask import DaskFleet
from chaperon_engine.fleet.kubernetes import LONGEST_S, KubernetesFleet, check_reachable
from chaperon_engine.fleet.protocol import Fleet
from chaperon_engine.fleet.ssh import SshFleet
from chaperon_engine.text import visible

COMMAND = "chaperon"
CORES = 2
"""Of a pod."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person wrote."""

    fleet: str
    """`dask://...`, `ssh://HOST,...` or `kubernetes`."""
    host: str
    """Where the run listens."""
    nodes: int | None = None
    image: str | None = None
    cores: int | None = None
    command: str | None = None
    """How Chaperon is called there, in words of a shell."""
    longest_s: float | None = None
    """Absolute end of the run, from its start."""


def chosen(wish: Wish) -> Fleet:
    """The fleet that was asked for. Raises UserError."""
    kind, mark, rest = wish.fleet.partition("://")
    if kind == "kubernetes" and not rest:
        return _kubernetes(wish)
    for option, value in (("--fleet-image", wish.image), ("--fleet-cores", wish.cores)):
        if value is not None:
            raise UserError(f"{option} is about pods: --fleet kubernetes")
    if kind == "ssh" and mark:
        return _ssh(wish, rest)
    if kind == "dask" and mark:
        if wish.command is not None:
            raise UserError("--fleet-command: dask's workers call the Chaperon of their own Python")
        return DaskFleet(scheduler_of(rest), wish.nodes)
    raise UserError(
        f"--fleet is {visible(wish.fleet, 100)!r}, expected dask://tls://HOST:PORT, "
        "ssh://HOST,HOST or kubernetes"
    )


def _ssh(wish: Wish, rest: str) -> SshFleet:
    hosts = hosts_of(rest)
    if wish.nodes is not None and wish.nodes > len(hosts):
        names = "1 host" if len(hosts) == 1 else f"{len(hosts)} hosts"
        raise UserError(f"--nodes is {wish.nodes}, and --fleet names {names}")
    return SshFleet(hosts[: wish.nodes], _command(wish))


def _kubernetes(wish: Wish) -> KubernetesFleet:
    if wish.nodes is None:
        raise UserError("--fleet kubernetes needs the number of pods: --nodes N")
    if not wish.image or wish.image.startswith("-") or any(map(str.isspace, wish.image)):
        raise UserError(
            "--fleet kubernetes needs an image that has Chaperon and what the test imports: "
            "--fleet-image REGISTRY/NAME:TAG"
        )
    check_reachable(wish.host)
    return KubernetesFleet(
        wish.nodes,
        wish.image,
        wish.cores or CORES,
        command=list(_command(wish)),
        longest_s=LONGEST_S if wish.longest_s is None else wish.longest_s,
    )


def _command(wish: Wish) -> Sequence[str]:
    try:
        words = shlex.split(COMMAND if wish.command is None else wish.command)
    except ValueError:
        words = []
    if not words or words[0].startswith("-"):
        raise UserError(
            f"--fleet-command is {visible(wish.command, 100)!r}, expected how Chaperon is called "
            "there, such as venv/bin/chaperon"
        )
    return words
