"""`python -m bench`: the commands of the benchmarks."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Run one benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="install the peers from PyPI under bench/.peers")
    compare = commands.add_parser("peers", help="compare the generators")
    compare.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    compare.add_argument("--seconds", type=float, default=4.0, help="measured seconds a run (4)")
    compare.add_argument("--only", default="", help="names of peers, separated by commas")
    memory = commands.add_parser("memory", help="memory of an idle session with a connection")
    memory.add_argument("--few", type=int, default=200, help="sessions of the small run (200)")
    memory.add_argument("--many", type=int, default=2200, help="sessions of the large run (2200)")
    costs = commands.add_parser("costs", help="what each demand costs, layer by layer")
    costs.add_argument("--rounds", type=int, default=5, help="interleaved rounds, 0: no CPU (5)")
    costs.add_argument("--requests", type=int, default=100_000, help="measured in a run (100000)")
    costs.add_argument("--instructions", action="store_true", help="count them with valgrind")
    websocket = commands.add_parser("websocket", help="CPU of an echo, behind the call and bare")
    websocket.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    websocket.add_argument("--echoes", type=int, default=200_000, help="of a long run (200000)")
    websocket.add_argument("--connections", type=int, default=64, help="side by side (64)")
    websocket.add_argument("--only", default="", help="names of clients, separated by commas")
    startup = commands.add_parser("startup", help="import, --help and first paint of the UI")
    startup.add_argument("--runs", type=int, default=9, help="starts of each kind (9)")
    scale = commands.add_parser("scale", help="the coordinator with many pretended agents")
    scale.add_argument("--agents", default="10,100,1000", help="sizes, separated by commas")
    scale.add_argument("--series", type=int, default=20, help="of each agent (20)")
    scale.add_argument("--requests", type=int, default=1000, help="of each agent a second (1000)")
    scale.add_argument("--seconds", type=int, default=20, help="of load for each size (20)")
    options = parser.parse_args()
    match options.command:
        case "setup":
            from bench.peers import install

            print("\n".join(install()))
            return 0
        case "peers":
            from bench.compare import compare as run_comparison

            names = [name.strip() for name in options.only.split(",") if name.strip()]
            return run_comparison(options.rounds, options.seconds, names)
        case "memory":
            from bench.memory import measure_memory

            return measure_memory(options.few, options.many)
        case "costs":
            from bench.costs import measure_costs

            return measure_costs(
                options.rounds, options.requests, count_instructions=options.instructions
            )
        case "websocket":
            from bench.websocket import measure_websocket

            names = [name.strip() for name in options.only.split(",") if name.strip()]
            return measure_websocket(options.rounds, options.echoes, options.connections, names)
        case "scale":
            from bench.scale import measure_scale

            sizes = [int(size) for size in options.agents.split(",")]
            return measure_scale(sizes, options.series, options.requests, options.seconds)
        case _:
            from bench.startup import measure_startup

            return measure_startup(options.runs)


if __name__ == "__main__":
    sys.exit(main())
