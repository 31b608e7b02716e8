"""The app: which screen comes first, what is remembered, and how it ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from chaperon_tui.palette import KeyCommands
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.memory import load_memory, save_memory

if TYPE_CHECKING:
    from chaperon_engine import LaunchRequest, Report
    from chaperon_tui.engine import Engine
    from chaperon_tui.remote import Remote
    from chaperon_tui.screens.gathering import Awaited


@dataclass(frozen=True)
class Start:
    """Where the app begins."""

    request: LaunchRequest | None = None
    """Straight to the launch form of this."""
    attach: bool = False
    """Straight to the live screen of a run."""
    run: str | None = None
    """Which run to attach to; None for the newest that is running."""
    remote: Remote | None = None
    """The run to attach to is on another machine."""
    queue: bool = False
    """Straight to the queue."""
    queue_url: str | None = None
    """Of `chaperon serve` elsewhere; None: this user's own."""
    target_url: str = ""
    """Base URL of the bundled target of a demo."""


class Ground(Screen[None]):
    """Empty; below all other screens. Who comes back to it gets the menu."""

    async def on_screen_resume(self) -> None:
        """Nothing lies above."""
        await cast("ChaperonApp", self.app).show_menu()


class ChaperonApp(App[None]):
    """The terminal UI of Chaperon: a viewer of runs."""

    TITLE = "Chaperon"
    CSS_PATH = "app.tcss"
    COMMANDS = App.COMMANDS | {KeyCommands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "leave", "Quit", id="app.quit", priority=True,
                tooltip="Close the UI; asks first while a run is going"),
        Binding("f1", "help", "Help", id="app.help",
                tooltip="Keys of this screen and what the signs mean"),
        Binding("question_mark", "help", "Help", show=False, id="app.help2"),
    ]  # fmt: skip

    def __init__(self, engine: Engine, start: Start, memory_file: Path):
        super().__init__()
        self.engine = engine
        self.start = start
        self.memory_file = memory_file
        self.memory = load_memory(memory_file)
        self.last_report: Report | None = None
        """Printed when the app ends."""
        self.left_running: list[str] = []
        """Ids of runs that go on when the app ends."""
        self.refusal = ""
        """Why what the app was started for cannot be shown; it ends at once."""
        self._is_at_start = start.attach
        """The run that the app was started for is being looked for."""
        self._has_menu = False

    def get_default_screen(self) -> Screen[Any]:
        """What lies below all others."""
        return Ground()

    def on_load(self) -> None:
        """The theme is known before anything is painted."""
        if self.memory.theme in self.available_themes:
            self.theme = self.memory.theme

    async def on_mount(self) -> None:
        """Show the first screen."""
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))
        await self.show_menu()
        if self.start.request is not None:
            from chaperon_tui.screens.launch import LaunchScreen

            self.push_screen(LaunchScreen(self.start.request))
        elif self.start.remote is not None:
            self._attach_to_remote(self.start.remote)
        elif self.start.attach:
            self.attach_to(self.start.run)
        elif self.start.queue:
            from chaperon_tui.screens.queue import QueueScreen

            self.push_screen(QueueScreen(self.start.queue_url))

    async def show_menu(self) -> None:
        """Open the menu, unless it is there already. Who came for a run sees the menu only when
        that is closed."""
        if self._has_menu or self._is_at_start:
            return
        from chaperon_tui.screens.menu import MenuScreen

        self._has_menu = True
        await self.push_screen(MenuScreen())

    def attach_to(self, run: str | None) -> None:
        """Connect to a run and show it; a refusal is said in one sentence."""
        from chaperon_tui.screens.gathering import Awaited

        self._await_run(Awaited(
            title=run or "the newest run", is_launch=False,
            doing="Looking for the run on this machine and attaching to it.",
            connect=lambda on_gathering: self.engine.attach(run, on_gathering=on_gathering),
        ))  # fmt: skip

    def _attach_to_remote(self, remote: Remote) -> None:
        """The same with a run on another machine."""
        from chaperon_tui.screens.gathering import Awaited

        self._await_run(Awaited(
            title=f"{remote.run_id} at {remote.where}", is_launch=False,
            doing="Connecting, checking its certificate, and proving the token to it.",
            connect=lambda on_gathering: self.engine.attach_remote(
                remote.host, remote.port, run_id=remote.run_id, token=remote.token,
                pin=remote.pin, authority=remote.authority, on_gathering=on_gathering,
            ),
        ))  # fmt: skip

    def _await_run(self, awaited: Awaited) -> None:
        self.run_worker(self._connect(awaited), group="attach", exclusive=True)

    async def _connect(self, awaited: Awaited) -> None:
        from chaperon_tui.screens.gathering import GatheringScreen
        from chaperon_tui.screens.live import LiveScreen

        launched = await self.push_screen_wait(GatheringScreen(awaited))
        if launched.client is not None:
            await self.push_screen(LiveScreen(launched.client, None))
        elif self._is_at_start and launched.problem:
            self.refusal = launched.problem
            self.exit()
        elif launched.problem:
            self.say(launched.problem, severe=True)
        self._is_at_start = False
        if launched.client is None and not self.refusal:
            await self.show_menu()

    def say(self, text: object, *, severe: bool = False) -> None:
        """A short message in the corner; foreign text is made visible."""
        from chaperon_engine import visible

        shown = in_words(text) if isinstance(text, Exception) else visible(text)
        self.notify(
            shown, severity="error" if severe else "information",
            timeout=10 if severe else 5, markup=False,
        )  # fmt: skip

    def save_memory(self) -> None:
        """Write what is remembered."""
        save_memory(self.memory, self.memory_file)

    def action_help(self) -> None:
        """Keys and signs."""
        from chaperon_tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    async def action_leave(self) -> None:
        """Quit, after asking what to do with a run that is going."""
        from chaperon_tui.screens.gathering import GatheringScreen
        from chaperon_tui.screens.leave import LeaveScreen
        from chaperon_tui.screens.live import LiveScreen

        if isinstance(self.screen, LeaveScreen):
            return
        for screen in reversed(self.screen_stack):
            if isinstance(screen, LiveScreen) and screen.is_going:
                screen.ask_to_leave(quits=True)
                return
            if isinstance(screen, GatheringScreen):
                screen.ask_to_quit()
                return
        self.exit()

    async def action_quit(self) -> None:
        """The palette's quit is the same as the key's."""
        await self.action_leave()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Those of the toolkit that make sense here."""
        for command in super().get_system_commands(screen):
            if command.title in ("Theme", "Screenshot"):
                yield command

    def _keep_theme(self, name: str) -> None:
        if self.memory.theme != name:
            self.memory.theme = name
            self.save_memory()
