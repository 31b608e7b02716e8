"""The launch form: everything a person decides before a run, checked while it is typed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Footer

from chaperon_engine import ChaperonError, LaunchRequest, Plan, visible
from chaperon_tui.raster.cells import Row
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.state import form
from chaperon_tui.state.agents import agent_rows, is_listening, launch_words
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.hosts import are_near, host_of, is_near
from chaperon_tui.state.memory import remember_launch
from chaperon_tui.state.menu import plan_rows
from chaperon_tui.state.queue import for_queue
from chaperon_tui.state.table import short_path
from chaperon_tui.widgets.fields import Fields
from chaperon_tui.widgets.rows import Rows

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp

RESOLVE_TIMEOUT_S = 3.0


class LaunchScreen(Screen[None]):
    """Fields on the left, the plan on the right, what is wrong below."""

    CSS_PATH = "launch.tcss"
    AUTO_FOCUS: ClassVar[str | None] = ""
    """Nothing has the focus until the fields are there: Enter would press the first button."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5,ctrl+l", "launch", "Launch", id="launch.launch", priority=True,
                tooltip="Start the run (Enter in a field does the same)"),
        Binding("ctrl+t", "try", "Try", id="launch.try",
                tooltip="Run one session once and show every exchange"),
        Binding("ctrl+g", "queue", "Queue", id="launch.queue",
                tooltip="Put it into the queue of `chaperon serve`: it runs when its turn comes"),
        # A text field has this key too (delete to the right): without priority it would never act.
        Binding("ctrl+d", "defaults", "Reset", id="launch.defaults", priority=True,
                tooltip="Forget the remembered values and show those of the plan"),
        Binding("escape", "app.pop_screen", "Back", id="launch.back", tooltip="Back to the menu"),
        # The box around the fields would scroll instead.
        Binding("down", "app.focus_next", "Next field", show=False, priority=True),
        Binding("up", "app.focus_previous", "Previous field", show=False, priority=True),
    ]  # fmt: skip

    def __init__(self, request: LaunchRequest, plan: Plan | None = None, *, target: str = ""):
        super().__init__()
        self._request = request
        self._plan = plan
        self._target = target
        self._busy = ""
        self._file_formats: set[str] = set()
        """Exports whose destination is a path."""

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    @property
    def _key(self) -> str:
        return f"{self._request.file}:{self._request.name or ''}"

    def compose(self) -> ComposeResult:
        name = visible(self._request.name or short_path(self._request.file), 60)
        yield Rows([((" Launch  ", "key"), (name, "title"))], id="head")
        with Horizontal(id="body"):
            fields = Fields(id="fields", classes="panel")
            fields.border_title = Content("Settings")
            yield fields
            with VerticalScroll(id="plan", classes="panel") as panel:
                panel.border_title = Content("Plan")
                panel.can_focus = False
                yield Rows([(("Reading the plan …", "dim"),)], wrap=True, id="about")
        with Horizontal(id="bottom"):
            yield Rows(wrap=True, id="problem")
            yield Button(Content("Try"), id="try")
            yield Button(Content("Queue"), id="queue")
            yield Button(Content("Launch"), id="launch", variant="primary")
        yield Footer()

    def on_mount(self) -> None:
        """Learn the plan if nobody knows it yet."""
        if self._plan is None:
            self.run_worker(self._describe(), group="describe", exclusive=True)
        else:
            self.call_later(self._show_fields, True)

    async def _describe(self) -> None:
        try:
            self._plan = await self.chaperon.engine.describe(self._request)
        except (ChaperonError, OSError) as error:
            self.query_one("#about", Rows).show([(("This file cannot be launched.", "bad"),)])
            self._say(in_words(error), "bad")
            return
        await self._show_fields(True)

    async def _show_fields(self, with_memory: bool) -> None:
        plan = self._plan
        assert plan is not None
        remembered = self.chaperon.memory.launches.get(self._key, {}) if with_memory else {}
        engine = self.chaperon.engine
        formats = await asyncio.to_thread(
            lambda: [engine.export_format(name) for name in engine.export_formats()]
        )
        self._file_formats = {each.name for each in formats if each.is_file}
        wanted = form.fields(plan, remembered, formats, self._target)
        await self.query_one(Fields).show(wanted)
        self._check()

    @property
    def _values(self) -> dict[str, str]:
        return self.query_one(Fields).values

    def _check(self) -> bool:
        """Mark the fields with something wrong; True if all is well."""
        fields = self.query_one(Fields)
        found = form.problems(self._values)
        fields.mark(found)
        if self._plan is None or not self._values:
            return False
        if found:
            focused = fields.focused_key
            self._say(found[focused if focused in found else next(iter(found))], "bad")
        else:
            self._say(launch_words(self._values), "dim")
        self.query_one("#launch", Button).disabled = bool(found)
        queued = self.query_one("#queue", Button)
        queued.disabled = bool(found) or is_listening(self._values)
        self._show_plan(self._plan, [] if found else agent_rows(self._values))
        return not found

    def _show_plan(self, plan: Plan, agents: list[Row]) -> None:
        """What would run now."""
        about: list[Row] = []
        if plan.doc:
            about += [((visible(line), ""),) for line in plan.doc.strip().split("\n")[:8]]
            about.append(())
        about += plan_rows(form.planned(plan, self._values)) + agents
        self.query_one("#about", Rows).show(about)

    def _say(self, text: str, role: str) -> None:
        sign = "✗ " if role == "bad" else ""
        self.query_one("#problem", Rows).show([((f" {sign}{visible(text)}", role),)])

    @on(Fields.Changed)
    def changed(self) -> None:
        """Check while it is typed."""
        self._check()

    @on(Fields.Submitted)
    def submitted(self) -> None:
        """Enter launches."""
        self.action_launch()

    @on(Button.Pressed, "#launch")
    def launch_pressed(self) -> None:
        """The button does what the key does."""
        self.action_launch()

    @on(Button.Pressed, "#try")
    def try_pressed(self) -> None:
        """The button does what the key does."""
        self.action_try()

    @on(Button.Pressed, "#queue")
    def queue_pressed(self) -> None:
        """The button does what the key does."""
        self.action_queue()

    def action_defaults(self) -> None:
        """The plan's own values."""
        if self._plan is not None:
            self.chaperon.memory.launches.pop(self._key, None)
            self.run_worker(self._show_fields(False), group="describe", exclusive=True)

    def action_try(self) -> None:
        """One session once."""
        if self._plan is not None and self._check():
            request = form.request(self._plan, self._request, self._values)
            self.run_worker(self._after_question(request, self._try), exclusive=True)

    def action_launch(self) -> None:
        """Start the run, once for a press."""
        self._begin(self._launch)

    def action_queue(self) -> None:
        """Let the queue's server start the run when its turn comes, once for a press."""
        if is_listening(self._values):
            self._say("The queue takes no run that listens: empty Listen, or launch it now.", "bad")
        else:
            self._begin(self._add_to_queue)

    def _begin(self, what: Callable[[LaunchRequest], Awaitable[None]]) -> None:
        if self._plan is None or self._busy or not self._check():
            return
        kept = {key: value for key, value in self._values.items() if value != self._target}
        remember_launch(self.chaperon.memory, self._key, kept)
        self.chaperon.save_memory()
        request = form.request(self._plan, self._request, self._values)
        self.run_worker(self._after_question(request, what), exclusive=True)

    async def _after_question(
        self, request: LaunchRequest, what: Callable[[LaunchRequest], Awaitable[None]]
    ) -> None:
        for host in await self._unknown_hosts():
            answer = await self.app.push_screen_wait(host_question(host))
            if answer != "yes":
                self._say(f"Not launched: {host} was not allowed.", "dim")
                return
            self.chaperon.memory.hosts.append(host)
            self.chaperon.save_memory()
        await what(request)

    async def _unknown_hosts(self) -> list[str]:
        """Hosts neither near nor allowed before."""
        urls = [value for key, value in self._values.items() if key.startswith("url.")]
        hosts = sorted({host_of(url.strip()) for url in urls} - set(self.chaperon.memory.hosts))
        return [host for host in hosts if host and not await _is_near(host)]

    async def _try(self, request: LaunchRequest) -> None:
        from chaperon_tui.screens.trial import TrialScreen

        await self.app.push_screen(TrialScreen(request))

    async def _add_to_queue(self, request: LaunchRequest) -> None:
        from chaperon_tui.screens.queue import QueueScreen

        self._busy = "queueing"
        self._say("Putting it into the queue …", "")
        try:
            async with await self.chaperon.engine.QueueClient.connect() as queue:
                wanted = for_queue(request, self._file_formats, str(Path.cwd()))
                entry = await queue.add(wanted)
        except (ChaperonError, OSError) as error:
            self._say(in_words(error), "bad")
            return
        finally:
            self._busy = ""
        self._say("Enter or F5 launches.", "dim")
        await self.app.push_screen(QueueScreen(select=entry.id))

    async def _launch(self, request: LaunchRequest) -> None:
        self._busy = "launching"
        self._say("Starting the engine and its workers …", "")
        button = self.query_one("#launch", Button)
        button.disabled = True
        try:
            problem = await self._start(request)
        finally:
            self._busy = ""
            button.disabled = False
        if problem:
            self._say(problem, "bad")
        else:
            self._say("Enter or F5 launches.", "dim")

    async def _start(self, request: LaunchRequest) -> str:
        """Show the run from its load on; why there is none."""
        from chaperon_tui.screens.live import LiveScreen

        if request.expect:
            from chaperon_tui.screens.gathering import GatheringScreen, Launched, launch_of

            awaited = launch_of(self.chaperon.engine, request)
            launched: Launched = await self.app.push_screen_wait(GatheringScreen(awaited))
            if launched.client is None:
                return launched.problem
            client = launched.client
        else:
            try:
                client = await self.chaperon.engine.launch(request)
            except (ChaperonError, OSError) as error:
                return in_words(error)
        await self.app.push_screen(LiveScreen(client, request))
        if request.listen and not request.expect:
            self.chaperon.say("l shows the line with which others watch this run.")
        return ""


async def _is_near(host: str) -> bool:
    near = is_near(host)
    if near is not None:
        return near
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return False
    return are_near(str(address[0]) for *_, address in found)


def host_question(host: str) -> ConfirmScreen:
    """Asked once for each host outside of private networks."""
    return ConfirmScreen(
        "A host outside of your own networks",
        [
            ((visible(host, 200), "value"),),
            (),
            (("A load test can take a service down. Load only what you are allowed to load. "
              "The answer is remembered for this host.", ""),),
        ],
        [Choice("y", "I may load it", "yes", "warning"), Choice("n", "Back", "", "primary")],
    )  # fmt: skip
