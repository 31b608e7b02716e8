"""A screen around one run: following it, steering it, and what happens when it ends.

Owns: the connection to the run, questions about it, its report. What is drawn is `RunView`'s, what
else keys do is the screen's that builds on this one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from textual import work
from textual.screen import Screen

from chaperon_engine import ChaperonError, LaunchRequest, Report, WorkerRow, visible
from chaperon_tui.screens.confirm import Choice, ConfirmScreen
from chaperon_tui.state.errors import in_words
from chaperon_tui.state.members import drain_rows
from chaperon_tui.state.store import RunStore
from chaperon_tui.widgets.run_view import RunView

if TYPE_CHECKING:
    from chaperon_tui.app import ChaperonApp
    from chaperon_tui.engine import RunHandle

RATE_HZ = 4.0
LOOK_EVERY_S = 0.5
"""How often it is looked whether a connection over the network still stands."""


class RunScreen(Screen[None]):
    """A run, its view, and everything that is asked and told about it."""

    def __init__(self, client: RunHandle, request: LaunchRequest | None):
        super().__init__()
        self.client = client
        self.request = request
        """What the run was launched from; None when this viewer attached to it."""
        self.store = RunStore(client.run_id, client.plan, role=client.role, where=client.where)
        self.view = RunView(self.store)
        self.report: Report | None = None
        self._quits_at_end = False
        self._question: ConfirmScreen | None = None
        self._is_report_due = False
        """The run has ended below another screen: its report opens when that one is gone."""

    @property
    def chaperon(self) -> ChaperonApp:
        """The app with its own type."""
        return cast("ChaperonApp", self.app)

    @property
    def is_going(self) -> bool:
        """The run has not ended, as far as is known here."""
        return not self.store.is_finished

    @property
    def is_paused(self) -> bool:
        """The display is held; the run and its record go on."""
        return self.view.is_held

    def on_mount(self) -> None:
        """Follow the run."""
        self.client.on_refused = lambda reason: self.chaperon.say(reason, severe=True)
        self.run_worker(self._follow(), group="follow", exclusive=True)
        if self.store.where:
            self.set_interval(LOOK_EVERY_S, self._look_at_connection)

    def on_screen_resume(self) -> None:
        """Nothing was drawn while another screen lay above."""
        self.view.refill()
        if self._is_report_due and not self.is_paused:
            self._show_report()

    # The run

    async def _follow(self) -> None:
        try:
            await self.client.subscribe(self.view.series.view, RATE_HZ)
            async for snapshot in self.client.snapshots():
                self.view.take(snapshot)
        except (ChaperonError, OSError) as error:
            self.store.lost = in_words(error)
        if not self.store.is_finished and not self.store.lost:
            self.store.lost = f"the engine of {self.store.run_id} ended without a report"
        self.store.outage = ""
        self.view.draw()
        self.refresh_bindings()
        self._answer_moot_question()
        if not self.store.lost:
            await self._open_report()
        elif self.store.where:
            await self.app.push_screen_wait(_parted(self.store))
        else:
            await self._offer_recovery()

    def _look_at_connection(self) -> None:
        """Say when the connection is broken and made anew; no snapshot would tell."""
        outage = self.client.outage if self.is_going else None
        words = "" if outage is None else visible(str(outage))
        if words != self.store.outage:
            self.store.outage = words
            self.view.draw_figures()

    def _answer_moot_question(self) -> None:
        """Whether to leave, stop or abort a run is no question any more when it has ended."""
        if self._question is not None and self._question.is_active:
            self._question.dismiss("")

    async def _ask(self, question: ConfirmScreen) -> str:
        """The answer to a question that makes sense only while the run is going."""
        self._question = question
        try:
            return await self.app.push_screen_wait(question)
        finally:
            self._question = None

    async def _offer_recovery(self) -> None:
        answer = await self.app.push_screen_wait(ConfirmScreen(
            "The engine is gone",
            [((self.store.lost, "bad"),), (),
             (("What it had recorded is in its journal. Recovering makes a report of it.", ""),)],
            [Choice("r", "Recover", "recover", "primary"), Choice("c", "Close", "")],
        ))  # fmt: skip
        if answer != "recover":
            return
        try:
            self.report = await asyncio.to_thread(self.chaperon.engine.recover, self.store.run_id)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self._show_report()

    async def _open_report(self) -> None:
        try:
            self.report = await asyncio.to_thread(self._read_report)
        except (ChaperonError, OSError) as error:
            self.chaperon.say(error, severe=True)
            return
        self.chaperon.last_report = self.report
        self.refresh_bindings()
        if self._quits_at_end:
            self.app.exit()
        elif self.is_paused:
            self._is_report_due = True
        else:
            self._show_report()

    def _read_report(self) -> Report:
        """What the last snapshot brought, if it did; else what lies in the run's directory."""
        engine, snapshot = self.chaperon.engine, self.store.snapshot
        if snapshot is not None and (self.store.where or snapshot.unkept_report):
            return engine.final_report(snapshot)
        return engine.load_report(self.store.run_id)

    def _show_report(self) -> None:
        """Open the report now, or as soon as no other screen lies above."""
        from chaperon_tui.screens.report import ReportScreen

        if self.report is None:
            return
        self.chaperon.last_report = self.report
        self._is_report_due = not self.is_active
        if self.is_active:
            snapshot = self.store.snapshot
            there = f" on {self.store.where}" if self.store.where else ""
            exports = snapshot.exports if snapshot is not None else {}
            written = {name + there: path for name, path in exports.items()}
            self.app.push_screen(
                ReportScreen(self.report, request=self.request, written=written,
                             where=self.store.where)
            )  # fmt: skip

    # Steering

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what makes sense now, and what this viewer may do."""
        if action in ("stop", "abort"):
            return self.is_going and self.store.may_steer
        if action == "report":
            return self.report is not None
        return True

    @work(group="stop", exclusive=True)
    async def action_stop(self) -> None:
        """Stop gracefully."""
        await self._steer(self.client.stop)

    async def _steer(self, what: Callable[[], Awaitable[None]]) -> None:
        """Ask for an early end; a run that has ended meanwhile needs none."""
        with contextlib.suppress(ChaperonError, OSError):
            await what()
            self.store.is_stopping = True
            self.view.draw_figures()

    @work(group="stop", exclusive=True)
    async def action_abort(self) -> None:
        """Cancel everything, after a question."""
        answer = await self._ask(ConfirmScreen(
            "Abort the run?",
            [(("Requests in flight are cancelled at once. There is still a report; "
               "stopping (s) lets them end.", ""),)],
            [Choice("a", "Abort", "abort", "error"), Choice("c", "Go on", "", "primary")],
        ))  # fmt: skip
        if answer == "abort":
            await self._steer(self.client.abort)

    async def drain(self, member: WorkerRow) -> None:
        """Have one member leave, after a question; a refusal is said in one sentence."""
        answer = await self._ask(ConfirmScreen(
            "Drain this member?", drain_rows(member),
            [Choice("d", "Drain", "drain", "warning"), Choice("c", "Keep", "", "primary")],
        ))  # fmt: skip
        if answer == "drain":
            try:
                await self.client.drain(member.worker)
            except (ChaperonError, OSError) as error:
                self.chaperon.say(error, severe=True)

    def action_report(self) -> None:
        """The report of the ended run."""
        self._show_report()

    @work(group="leave", exclusive=True)
    async def ask_to_leave(self, *, quits: bool) -> None:
        """Leave the run running, or stop it, or stay. Who only looked in from elsewhere leaves."""
        from chaperon_tui.screens.leave import LeaveScreen

        answer = "leave" if self.store.where else await self._ask(LeaveScreen(self.store.run_id))
        if answer == "leave":
            self.chaperon.left_running.append(self.store.run_id)
            if quits:
                self.app.exit()
            else:
                self.app.pop_screen()
        elif answer == "stop":
            self._quits_at_end = quits
            self.action_stop()

    async def on_unmount(self) -> None:
        """The connection ends with the screen; the run does not."""
        with contextlib.suppress(ChaperonError, OSError):
            await self.client.close()


def _parted(store: RunStore) -> ConfirmScreen:
    """Said when a connection over the network cannot be made again."""
    return ConfirmScreen(
        "The connection is gone",
        [((visible(store.lost, 500), "bad"),), (),
         ((f"What becomes of the run shows on {visible(store.where, 80)}: ", ""),
          (f"chaperon report {visible(store.run_id, 80)}", "value"))],
        [Choice("c", "Close", "", "primary")],
    )  # fmt: skip
