"""`chaperon run --fleet`: which fleet, and what it would do. Must not know how agents start."""

from __future__ import annotations

from argparse import Namespace

from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.engine.address import address_of
from chaperon_engine.errors import UserError
from chaperon_engine.fleet.choice import Wish, chosen
from chaperon_engine.fleet.order import dry_order
from chaperon_engine.fleet.protocol import Fleet
from chaperon_engine.text import visible


def fleet_of(arguments: Namespace) -> Fleet:
    """The fleet that `chaperon run` was asked to use. Raises UserError."""
    if not arguments.listen:
        raise UserError(
            "--fleet starts agents, which must find this machine: give --listen HOST:PORT as well"
        )
    host, _ = address_of(arguments.listen)
    fleet = chosen(
        Wish(
            fleet=arguments.fleet,
            host=host,
            nodes=arguments.nodes,
            image=arguments.fleet_image,
            cores=arguments.fleet_cores,
            command=arguments.fleet_command,
            longest_s=arguments.max_time,
        )
    )
    if arguments.detach and fleet.is_watched:
        raise UserError(
            f"--fleet {visible(arguments.fleet, 100)} is watched by this command as long as the "
            "run goes on: leave --detach away"
        )
    return fleet


def dry_run(fleet: Fleet, request: LaunchRequest) -> str:
    """What the fleet would do for this run, in which RUN and PIN stand for what is not known."""
    return fleet.plan(dry_order(request.listen))


def expected(request: LaunchRequest, fleet: Fleet) -> int:
    """How many agents the run waits for. Raises UserError when that is fewer than are placed."""
    if request.expect and request.expect < fleet.agents:
        raise UserError(
            f"--expect is {request.expect}, and the fleet starts {fleet.agents} agents: leave it "
            "away, or give the number of all that attach"
        )
    return request.expect or fleet.agents
