"""Commands that attach to a run, as wide as the screen and without a frame, so that they can be
marked with the mouse and copied; the token below them is shown only when it was asked for."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size

from chaperon_tui.raster.cells import Row
from chaperon_tui.state.join import WATCHED_ROWS, copied_text, shell_lines, token_rows
from chaperon_tui.widgets.painted import Painted
from chaperon_tui.widgets.rows import Rows


class CommandLines(Painted):
    """One command in full."""

    def __init__(self, *, id: str | None = None):
        super().__init__(id=id)
        self.command = ""

    def show(self, command: str) -> None:
        """Another command."""
        if command != self.command:
            self.command = command
            self._rows = None
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it takes."""
        return len(self.paint(width, 0))

    def paint(self, width: int, height: int) -> list[Row]:
        return [((line, "value"),) for line in shell_lines(copied_text(self.command), width)]


class JoinCard(Vertical):
    """The join line, the attach line, the token."""

    def __init__(self, note: str, *, id: str, watch_first: bool = False):
        super().__init__(id=id)
        self._note = note
        self._watch_first = watch_first
        self._token_file: str | None = None
        self._token = ""

    def compose(self) -> ComposeResult:
        watch = [
            Rows([((" To watch from another machine, with a copy of the token file:", ""),)],
                 id="watch-note"),
            CommandLines(id="watch-line"),
        ]  # fmt: skip
        if self._watch_first:
            yield from watch
        yield Rows([((" " + self._note, ""),)], wrap=True, hanging=1, id="join-note")
        yield CommandLines(id="join-line")
        yield Rows(wrap=True, hanging=1, id="join-token")
        if not self._watch_first:
            yield from watch

    def show(self, join: str, token_file: str, attach: str) -> None:
        """What is known now."""
        self.query_one("#join-line", CommandLines).show(join)
        self.query_one("#watch-line", CommandLines).show(attach)
        for name in ("#watch-note", "#watch-line"):
            self.query_one(name).set_class(not attach, "-none")
        for name in ("#join-note", "#join-line"):
            self.query_one(name).set_class(not join, "-none")
        self._token_file = token_file
        self._show_token()

    def command(self, which: str) -> str:
        """`join` or `watch`; empty when there is none."""
        return self.query_one(f"#{which}-line", CommandLines).command

    @property
    def token_file(self) -> str:
        """Where the agents' token lies on this host; empty when it does not, or nobody needs it."""
        return self._token_file or "" if self.command("join") else ""

    @property
    def is_token_shown(self) -> bool:
        """It can be read on the screen."""
        return bool(self._token)

    def show_token(self, token: str) -> None:
        """Show it, or with the empty text hide it."""
        self._token = token
        self._show_token()

    def _show_token(self) -> None:
        if self._token_file is not None:
            has_agents = bool(self.command("join"))
            rows = token_rows(self._token_file, self._token) if has_agents else WATCHED_ROWS
            indented: list[Row] = [((" ", ""), *row) for row in rows]
            self.query_one("#join-token", Rows).show(indented)
