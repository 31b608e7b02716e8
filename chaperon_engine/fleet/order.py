"""What a fleet has to start: the join line of a run, and a token for each agent's name.

Must not know: how or where agents are started.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from chaperon_engine.errors import EngineError
from chaperon_engine.protocol.token import Token
from chaperon_engine.remote.tokens import read_token
from chaperon_engine.text import visible

_LINE = ("chaperon", "worker", "join")
_HIDDEN = "***"


@dataclass(frozen=True)
class Order:
    """One run as its agents must know it."""

    address: str
    """`HOST:PORT` or `[HOST]:PORT` of the run."""
    run_id: str
    pin: str
    """`sha256:...` of its certificate."""
    folder: Path
    """The run's own, for what is written for people."""
    token: Token | None = field(repr=False)
    """That of all agents, which no fleet gets; None: this is what a dry run shows."""

    def words(self, name: str, *, address: str = "") -> list[str]:
        """What follows the command `chaperon`; the token comes over standard input."""
        return [
            "worker", "join", address or self.address, "--run", self.run_id, "--pin", self.pin,
            "--name", name, "--token-file", "-",
        ]  # fmt: skip

    def secret(self, name: str) -> str:
        """The text of the token that is worth something to the agent of this name only."""
        return _HIDDEN if self.token is None else self.token.of_agent(name).text

    @property
    def host(self) -> str:
        """Name or address at which the run is dialled."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])


def order_of(join: str, token_file: str) -> Order:
    """What the join line of a run says, with the token of its file. Raises UserError when that
    cannot be read, EngineError when the line is none."""
    words = shlex.split(join)
    options = dict(zip(words[4::2], words[5::2], strict=False))
    if tuple(words[:3]) != _LINE or len(words) < 4 or not {"--run", "--pin"} <= options.keys():
        raise EngineError(f"a fleet cannot use this join line: {visible(join)}")
    return Order(
        address=words[3],
        run_id=options["--run"],
        pin=options["--pin"],
        folder=Path(token_file).parent,
        token=read_token(token_file),
    )


def dry_order(listen: str) -> Order:
    """Stands for a run that is not started."""
    return Order(
        address=listen,
        run_id="RUN",
        pin="sha256:PIN",
        folder=Path("RUN"),
        token=None,
    )
