"""A run that waits for agents: how machines attach, who is here, how long it still waits.

Owns: a launch, or the attaching to a run that is being launched elsewhere, until the load begins or
does not. Dismisses with the connection to the run, or with a sentence that says why there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from chaperon_engine import ChaperonError, Gathering, LaunchRequest, visible
from chaperon_tui.raster.cells import Row
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.screens.join import CARD_KEYS, CardKeys
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.join import attached_row, waiting_words
from chaperon_tui.state.table import short_path
from chaperon_tui.widgets.join_card import JoinCard
from chaperon_tui.widgets.rows import Rows

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp
    from chaperon_tui.engine import Engine, RunHandle

END_TIMEOUT_S = 5.0
"""How long a cancelled launch may take to clean up when the UI is closed."""
_WATCHES = "What is watched goes on whatever happens here; Esc gives up."
_NOTE = "On each machine that is to make load, with its copy of the token file, run:"


OnGathering = Callable[[Gathering], None]


@dataclass(frozen=True)
class Awaited:
    """What is waited for."""

    title: str
    connect: Callable[[OnGathering], Coroutine[None, None, RunHandle]]
    """Answers when the load begins."""
    wait_s: float = 0.0
    """How long agents are waited for; 0: that is not known here."""
    is_launch: bool = True
    """The run ends with this screen; else it only watches."""
    doing: str = ""
    """What happens until the run is found, if that is not clear."""


def launch_of(engine: Engine, request: LaunchRequest) -> Awaited:
    """The launch of a run that waits for agents."""
    return Awaited(
        title=request.name or short_path(request.file),
        connect=lambda on_gathering: engine.launch(request, on_gathering=on_gathering),
        wait_s=request.start_timeout_s,
    )


@dataclass(frozen=True)
class Launched:
    """How it ended."""

    client: RunHandle | None = None
    problem: str = ""
    """Why there is no run."""


class GatheringScreen(CardKeys, Screen[Launched]):
    """Join line, token file, who is here."""

    CSS_PATH = "join.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *CARD_KEYS,
        Binding("escape,q", "cancel", "Cancel", id="gathering.cancel",
                tooltip="Cancel the launch, after a question; nothing has run yet"),
    ]  # fmt: skip

    def __init__(self, awaited: Awaited):
        super().__init__()
        self._awaited = awaited
        self._gathering: Gathering | None = None
        self._until = 0.0
        """Monotonic time at which nobody is waited for any more."""
        self._launching: asyncio.Task[RunHandle] | None = None
        self._outcome: Launched | None = None
        """Known, but another screen lies above this one."""
        self._question: ConfirmScreen | None = None
        self._quits = False

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    def compose(self) -> ComposeResult:
        yield Rows(id="head")
        doing = self._awaited.doing
        rows: list[Row] = [((f" {doing}", ""),), ((f" {_WATCHES}", "dim"),)] if doing else []
        yield Rows(rows, wrap=True, hanging=1, id="attached")
        with VerticalScroll(id="body"):
            card = JoinCard(_NOTE, id="card")
            card.display = False
            yield card
        yield Footer()

    def on_mount(self) -> None:
        """Launch."""
        self._show()
        self.set_interval(1.0, self._show)
        self.run_worker(self._launch(), group="launch", exclusive=True)

    async def _launch(self) -> None:
        self._launching = asyncio.create_task(self._awaited.connect(self._gathered))
        try:
            outcome = Launched(client=await self._launching)
        except (ChaperonError, OSError) as error:
            outcome = Launched(problem=in_words(error))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the screen is going
            gone = "Not launched: it was cancelled while agents attached."
            outcome = Launched(problem=gone if self._awaited.is_launch else "")
        self._outcome = outcome
        if self._quits and outcome.client is None:
            self.app.exit()
        elif self._question is not None and self._question.is_active:
            self._question.dismiss("")
        elif self.is_active:
            self.dismiss(outcome)

    def on_screen_resume(self) -> None:
        """What lay above is gone."""
        if self._outcome is not None:
            self.dismiss(self._outcome)
        else:
            self._show()

    def _gathered(self, gathering: Gathering) -> None:
        is_first = self._gathering is None
        if is_first:
            self._until = monotonic() + self._awaited.wait_s
        self._gathering = gathering
        if self.is_mounted:
            self.card.display = True
            self.card.show(gathering.join, gathering.token_file, gathering.attach)
            self._show()
            if is_first:
                self.refresh_bindings()

    def _show(self) -> None:
        name = visible(self._awaited.title, 40)
        left_s = self._until - monotonic() if self._awaited.wait_s else None
        words = waiting_words(self._gathering, left_s)
        self.query_one("#head", Rows).show([((f" {name}  ", "title"), (words, "key"))])
        if self._gathering is not None:
            self.query_one("#attached", Rows).show([attached_row(self._gathering)])

    @work(group="question", exclusive=True)
    async def action_cancel(self) -> None:
        """Give the launch up, after a question."""
        await self._ask_to_cancel()

    @work(group="question", exclusive=True)
    async def ask_to_quit(self) -> None:
        """The same when the UI is to be closed."""
        self._quits = await self._ask_to_cancel()

    async def _ask_to_cancel(self) -> bool:
        if self._launching is None:
            return False
        if not self._awaited.is_launch:
            return self._launching.cancel()
        self._question = ConfirmScreen(
            "Cancel the launch?",
            [(("Nothing has run yet. Agents that have attached are sent away, and this join line "
               "is worth nothing any more.", ""),)],
            [Choice("c", "Cancel it", "cancel", "error"), Choice("w", "Wait on", "", "primary")],
        )  # fmt: skip
        answer = await self.app.push_screen_wait(self._question)
        self._question = None
        return answer == "cancel" and self._launching.cancel()

    async def on_unmount(self) -> None:
        """An engine that nobody waits for any more is ended."""
        launching = self._launching
        if launching is not None and not launching.done():
            launching.cancel()
            with contextlib.suppress(ValueError):
                await asyncio.wait([launching], timeout=END_TIMEOUT_S)
