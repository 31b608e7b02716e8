"""`python -m bench peers`: the interleaved rounds of the comparison."""

from __future__ import annotations

import sys
from collections.abc import Collection

from bench import machine, peers, server
from bench.measure import Measurement, RunFailed, difference, run
from bench.table import comparison, summarise

SHORT_S = 1.0
"""Seconds of the short run that cancels start and end."""

CALM_CORES = 0.1
"""Cores' worth of other work above which a measurement is disturbed and tried again."""

TRIES = 3
"""Measurements of one peer in one round at most."""


def compare(rounds: int, seconds: float, only: Collection[str]) -> int:
    """Measure every peer in every round and print the table; 1 when nothing could be measured."""
    cores = machine.cores()
    if len(cores) < 2:
        print("the comparison needs two cores: one for nginx, one for the generator")
        return 1
    known = peers.all_peers()
    unknown = set(only) - {peer.name for peer in known}
    if unknown:
        names = ", ".join(peer.name for peer in known)
        print(f"no such peer: {', '.join(sorted(unknown))}; there are {names}")
        return 1
    chosen = [peer for peer in known if not only or peer.name in only]
    absent = {peer.name: reason for peer in chosen if (reason := peer.missing())}
    present = [peer for peer in chosen if peer.name not in absent]
    print("\n".join(machine.describe()))
    print(f"server: {server.version() or 'none'} on core {cores[0]}; generators on core {cores[1]}")
    print(
        f"work: GET of {len(server.BODY)} bytes, {peers.CONNECTIONS} connections; {rounds} rounds, "
        f"difference of runs of {SHORT_S + seconds:g} s and {SHORT_S:g} s",
        flush=True,
    )
    measured: list[dict[str, Measurement]] = []
    failed: dict[str, str] = {}
    try:
        with server.running(cores[0]) as nginx:
            for number in range(rounds):
                done: dict[str, Measurement] = {}
                for peer in present:
                    _tell(f"round {number + 1} of {rounds}: {peer.name}")
                    try:
                        done[peer.name] = _calmest(peer, nginx, cores[1], seconds)
                    except RunFailed as error:
                        failed[peer.name] = f"{error} (round {number + 1})"
                measured.append(done)
    except server.ServerMissing as error:
        print(error)
        return 1
    finally:
        _tell("")
    rows = summarise(measured)
    print()
    print(comparison([rows[peer.name] for peer in present if peer.name in rows]))
    print()
    for peer in present:
        if peer.name in rows:
            print(f"{peer.name}: {peer.version()} ({peer.kind})")
    for name, reason in absent.items():
        print(f"{name}: absent: {reason}")
    for name, reason in failed.items():
        print(f"{name}: failed: {reason}")
    return 0 if rows else 1


def _calmest(peer: peers.Peer, nginx: server.Server, core: int, seconds: float) -> Measurement:
    """Measure a peer; again, a few times, while something else is busy on this machine.

    Returns the measurement with the least disturbance, whatever it says.
    """
    tries: list[Measurement] = []
    while len(tries) < TRIES and not any(each.others_cores <= CALM_CORES for each in tries):
        short, long = (
            run(peer.command(nginx.url, length), nginx, core, length)
            for length in (SHORT_S, SHORT_S + seconds)
        )
        tries.append(difference(short, long))
    return min(tries, key=lambda each: each.others_cores)


def _tell(text: str) -> None:
    """Show what is going on, where somebody looks on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
