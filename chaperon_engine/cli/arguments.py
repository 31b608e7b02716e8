"""The command line of `chaperon`: options, help, and errors as one sentence.

Must not know what commands do. Numbers and durations are checked here, names of files later.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from chaperon_engine import units
from chaperon_engine.cli.texts import COMMANDS, Command
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

_OF_OPTION = re.compile(r"^argument ([^:]+): it ")
_UNKNOWN_CHOICE = re.compile(r"argument COMMAND: invalid choice: (['\"])(.*?)\1")


class _Parser(argparse.ArgumentParser):
    """Raises UserError instead of printing usage and exiting with 2."""

    more_help: Callable[[], str] | None = None
    """What stands below the options and is costly to find."""

    def __init__(self, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def format_help(self) -> str:
        more = self.more_help() if self.more_help is not None else ""
        return super().format_help() + more

    def error(self, message: str) -> NoReturn:
        unknown = _UNKNOWN_CHOICE.match(message)
        if unknown is not None:
            known = ", ".join(name for name in COMMANDS if name != "version")
            raise UserError(
                f"there is no command {visible(unknown[2], 60)!r}"
                f"{_near(unknown[2], COMMANDS) or f'; there are {known}'}"
            )
        message = _OF_OPTION.sub(r"\1 ", message)
        raise UserError(f"{visible(message, 500)} (see `{self.prog} --help`)")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments as a namespace with `command`. Raises UserError; SystemExit after help."""
    parser, commands = _build()
    if not arguments:
        parser.print_help()
        raise SystemExit(0)
    namespace, unknown = parser.parse_known_args(arguments)
    if unknown or namespace.command is None:
        command = commands.get(namespace.command, parser)
        unknown = unknown or ["--"]
        wrong = unknown[0].partition("=")[0]
        if not wrong.startswith("-"):
            raise UserError(
                f"{visible(wrong, 100)!r} is one argument too many (see `{command.prog} --help`)"
            )
        options = [option for action in command._actions for option in action.option_strings]
        hint = _near(wrong, options)
        raise UserError(
            f"{command.prog} has no option {visible(wrong, 100)}"
            f"{hint or f' (see `{command.prog} --help`)'}"
        )
    return namespace


def _near(wrong: str, known: Sequence[str] | dict[str, Any]) -> str:
    near = difflib.get_close_matches(wrong, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _checked(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """`convert` as argparse wants it: its ValueError becomes the message of the option."""

    def converted(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(visible(error)) from None

    return converted


_duration = _checked(lambda text: units.seconds(text, "it"))
_count = _checked(lambda text: units.count(text, "it"))


def _positive(text: str) -> int:
    value = units.count(text, "it")
    if not value:
        raise ValueError("it must be 1 or more")
    return value


def _positive_duration(text: str) -> float:
    value = units.seconds(text, "it")
    if not value:
        raise ValueError("it must be more than 0 s")
    return value


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError(f"it is {text!r}, expected a port from 0 to 65535")
    return int(text)


def _build() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="chaperon",
        description="Load tests for HTTP and WebSocket services, written as plain async Python.",
        epilog="`chaperon COMMAND --help` tells more. `chaperon-tui` is the same with a screen.\n\n"
        "exit codes: 0 done, 1 an export or the engine failed, 104 bad input, 105 interrupted,\n"
        "107 no session passed its init",
    )
    parser.add_argument("--version", action="store_const", const="version", dest="command")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    found: dict[str, _Parser] = {}
    for name, text in COMMANDS.items():
        found[name] = _command(commands, name, text)
    _options_of_run(found["run"])
    _options_of_quick(found["quick"])
    _options_of_try(found["try"])
    found["list"].add_argument("path", nargs="?", metavar="PATH", help="folder or file to look in")
    _options_of_target(found["target"])
    _options_of_serve(found["serve"])
    _options_of_worker(found["worker"])
    _options_of_report(found["report"])
    _options_of_runs(found["runs"])
    _options_of_recover(found["recover"])
    return parser, found


def _options_of_recover(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="id of the run, or how it begins")
    command.add_argument(
        "--agent-journal",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="add what an agent had kept on its host: a copy of its journal",
    )


def _command(commands: Any, name: str, text: Command) -> _Parser:
    examples = "".join(f"  {line}\n" for line in text.examples)
    command: _Parser = commands.add_parser(
        name,
        help=text.summary,
        description=text.description or text.summary.capitalize() + ".",
        epilog=f"examples:\n{examples}" if examples else None,
    )
    command.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return command


def _file(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", metavar="FILE[:NAME]", help="scenario file, and which load test or scenario of it"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", help="set a config value"
    )
    command.add_argument("--config", metavar="FILE", help="config file in TOML or JSON")
    command.add_argument(
        "--no-preflight", action="store_true", help="do not check first that services are reachable"
    )


def _load(command: argparse.ArgumentParser, *, least_workers: int = 1) -> None:
    command.add_argument(
        "--workers",
        type=_count if least_workers == 0 else _checked(_positive),
        metavar="N",
        help="processes; default one per core"
        + ("; 0: this machine makes no load, agents do" if least_workers == 0 else ""),
    )
    _exports(command)
    command.add_argument("--seed", type=_count, metavar="N", help="seed of session.random")
    command.add_argument("--tag", default="", metavar="T", help="a word that names this run")
    command.add_argument("--no-pin", action="store_true", help="do not tie workers to cores")


def _exports(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out",
        action="append",
        default=[],
        metavar="FORMAT[=DESTINATION]",
        help="export the report: csv, json, timeline, influxdb, s3; files without a path go below "
        "./results (`chaperon report --help` lists formats and options)",
    )
    command.add_argument(
        "--out-option",
        action="append",
        default=[],
        metavar="FORMAT.NAME=VALUE",
        help="an option of an export, such as csv.separator=';'",
    )


def _options_of_run(command: argparse.ArgumentParser) -> None:
    _file(command)
    command.add_argument(
        "--sessions",
        action="append",
        default=[],
        metavar="[NAME=]N",
        help="sessions of the only population, or of the one of that name",
    )
    command.add_argument(
        "--duration",
        type=_checked(_positive_duration),
        metavar="D",
        help="how long sessions iterate",
    )
    command.add_argument(
        "--iterations", type=_checked(_positive), metavar="N", help="of each session"
    )
    command.add_argument(
        "--warmup", type=_duration, metavar="D", help="first part of the run, measured apart"
    )
    command.add_argument(
        "--metrics",
        metavar="A,B",
        help="keep only these kinds, actions or names of metrics: get,ws_recv,run_scenario",
    )
    command.add_argument(
        "--max-time", type=_checked(_positive_duration), metavar="D", help="absolute end of the run"
    )
    _load(command, least_workers=0)
    command.add_argument(
        "--detach", action="store_true", help="start it, print its id, and leave it alone"
    )
    _options_of_agents(command)


def _options_of_agents(command: argparse.ArgumentParser) -> None:
    agents = command.add_argument_group("other machines")
    agents.add_argument(
        "--listen",
        default="",
        metavar="HOST:PORT",
        help="let agents and viewers attach here, and print the lines that do; port 0: any",
    )
    agents.add_argument(
        "--expect",
        type=_checked(_positive),
        metavar="N",
        help="begin when N agents have attached; without it none takes part, others only watch",
    )
    agents.add_argument(
        "--start-timeout",
        type=_checked(_positive_duration),
        metavar="D",
        help="how long to wait for them; 60s",
    )
    agents.add_argument(
        "--fewer-ok", action="store_true", help="begin then with those that are there"
    )
    agents.add_argument(
        "--on-loss",
        choices=("continue", "respread", "fail"),
        default="continue",
        help="when an agent is lost: go on without it (default), hand its sessions to the others, "
        "or end the run as failed",
    )
    agents.add_argument(
        "--print-token", action="store_true", help="print the agents' token, not only its file"
    )
    agents.add_argument(
        "--tls-cert", metavar="FILE", help="certificate chain to show (PEM), instead of a pin"
    )
    agents.add_argument("--tls-key", metavar="FILE", help="its key (PEM, without a password)")
    agents.add_argument(
        "--tls-ca", metavar="FILE", help="who attaches must show a certificate signed by this one"
    )
    _options_of_fleet(command)


def _options_of_fleet(command: argparse.ArgumentParser) -> None:
    fleet = command.add_argument_group("starting agents there (docs/distributed.md)")
    fleet.add_argument(
        "--fleet",
        metavar="ENGINE",
        help="dask://tls://SCHEDULER:8786, ssh://HOST,HOST or kubernetes starts the agents",
    )
    fleet.add_argument(
        "--nodes",
        type=_checked(_positive),
        metavar="N",
        help="on so many hosts; default all of them; kubernetes needs it",
    )
    fleet.add_argument(
        "--dry-run", action="store_true", help="print what the fleet would do, and do nothing"
    )
    fleet.add_argument(
        "--fleet-command",
        metavar="WORDS",
        help="ssh, kubernetes: how Chaperon is called there; default chaperon",
    )
    fleet.add_argument("--fleet-image", metavar="IMAGE", help="kubernetes: what pods run")
    fleet.add_argument(
        "--fleet-cores",
        type=_checked(_positive),
        metavar="N",
        help="kubernetes: cores and workers of each pod; default 2",
    )


def _options_of_quick(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="without a scheme http:// is meant")
    command.add_argument(
        "-c", "--sessions", type=_checked(_positive), default=50, metavar="N", help="50"
    )
    amount = command.add_mutually_exclusive_group()
    amount.add_argument(
        "-d", "--duration", type=_checked(_positive_duration), metavar="D", help="default 10s"
    )
    amount.add_argument(
        "-n", "--requests", type=_checked(_positive), metavar="N", help="exactly that many requests"
    )
    command.add_argument("-m", "--method", default="", metavar="M", help="default GET, or POST")
    command.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="repeatable"
    )
    command.add_argument("-b", "--body", metavar="BODY|@FILE", help="makes the method POST")
    command.add_argument(
        "--timeout", type=_checked(_positive_duration), metavar="T", help="of a request; 30s"
    )
    command.add_argument("-k", "--insecure", action="store_true", help="accept any TLS certificate")
    command.add_argument("--warmup", type=_duration, metavar="D", help="measured apart")
    _load(command)


def _options_of_try(command: argparse.ArgumentParser) -> None:
    _file(command)
    command.add_argument("--seed", type=_count, metavar="N", help="seed of session.random")
    command.add_argument("--full", action="store_true", help="show heads, and more of the bodies")


def _options_of_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=_checked(_port), default=7070, help="default 7070")
    command.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine only")


def _options_of_serve(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", metavar="H", help="default CHAPERON_IP, else 127.0.0.1")
    command.add_argument(
        "--port", type=_checked(_port), metavar="P", help="default CHAPERON_PORT, else 7080"
    )
    command.add_argument(
        "--folder",
        action="append",
        default=[],
        metavar="DIR",
        help="where load tests are taken from; default those of `chaperon list`; repeatable",
    )
    command.add_argument(
        "--allow-target",
        action="append",
        default=[],
        metavar="PATTERN",
        help="what requests may aim at besides loopback and a file's own services: HOST[:PORT], "
        "*.example.com, 10.1.0.0/16; repeatable",
    )
    command.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which this server is called, as behind a proxy; repeatable",
    )
    command.add_argument(
        "--allow-export",
        action="append",
        default=[],
        metavar="FORMAT[=DESTINATION]",
        help="an export that requests may ask for besides csv, json, timeline; repeatable",
    )
    command.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM)")
    command.add_argument("--tls-key", metavar="FILE", help="its key (PEM, without a password)")
    command.add_argument("--token-file", metavar="FILE", help="default CHAPERON_API_TOKEN")
    command.add_argument(
        "--option-parser",
        default="default",
        metavar="NAME",
        help="an installed one that changes what requests ask for",
    )
    command.add_argument(
        "--end-run", action="store_true", help="stop the run that is running when the server ends"
    )
    command.add_argument("--quiet", action="store_true", help="log warnings only")


def _options_of_worker(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(
        dest="action", metavar="ACTION", title="actions", required=True
    )
    join = actions.add_parser("join", help="join a run on another machine")
    join.add_argument("address", metavar="HOST:PORT", help="where the run listens")
    join.add_argument("--run", required=True, metavar="ID", help="id of the run")
    trust = join.add_mutually_exclusive_group(required=True)
    trust.add_argument("--pin", metavar="sha256:...", help="digest of the run's certificate")
    trust.add_argument("--ca", metavar="FILE", help="or the authority that signed it (PEM)")
    join.add_argument("--cert", metavar="FILE", help="with --ca: own certificate (PEM)")
    join.add_argument("--key", metavar="FILE", help="its key (PEM, without a password)")
    join.add_argument(
        "--token-file", metavar="FILE", help="`-` for standard input; default CHAPERON_TOKEN"
    )
    join.add_argument("--name", metavar="NAME", help="unique in the run; default the host's name")
    join.add_argument(
        "--workers", type=_checked(_positive), metavar="N", help="processes; default one per core"
    )
    join.add_argument("--no-pin", action="store_true", help="do not tie workers to cores")
    join.add_argument(
        "--lease",
        type=_checked(_positive_duration),
        metavar="D",
        help="stop the load when the run was not heard for so long; default 15s",
    )
    join.add_argument(
        "--return",
        dest="return_s",
        type=_checked(_positive_duration),
        metavar="D",
        help="how long to look for a run that was lost, to deliver what was measured; default 10m",
    )
    join.add_argument("--debug", action="store_true", help="show tracebacks of errors")


def _options_of_report(command: _Parser) -> None:
    command.add_argument(
        "run", nargs="?", metavar="RUN", help="id, its beginning, or a path; default the newest"
    )
    _exports(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.more_help = _formats


def _formats() -> str:
    from chaperon_engine.cli.formats import show_formats

    return show_formats()


def _options_of_runs(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", metavar="ACTION", title="actions")
    remove = actions.add_parser("rm", help="remove runs")
    remove.add_argument("run", nargs="+", metavar="RUN")
    prune = actions.add_parser("prune", help="remove old runs")
    prune.add_argument("--keep", type=_count, metavar="N", help="keep the newest N")
    prune.add_argument("--older-than", type=_duration, metavar="D", help="such as 7d")
    for action in (remove, prune):
        action.add_argument("--debug", action="store_true", help="show tracebacks of errors")
