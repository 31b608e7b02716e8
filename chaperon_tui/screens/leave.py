"""Asks what becomes of a run that is going when its screen or the UI is closed."""

from __future__ import annotations

from chaperon_engine import visible
from chaperon_tui.screens.confirm import Choice, ConfirmScreen


class LeaveScreen(ConfirmScreen):
    """Dismisses with `leave`, `stop`, or the empty text to stay."""

    def __init__(self, run_id: str):
        attach = f"chaperon-tui attach {visible(run_id, 80)}"
        super().__init__(
            "The run is still going",
            [
                (("Leave it running: ", ""), (attach, "value"),
                 (" shows it again. Or stop it gracefully, and it ends with its report.", "")),
            ],
            [
                Choice("s", "Stop it", "stop", "warning"),
                Choice("l", "Leave it running", "leave", "primary"),
                Choice("c", "Stay", ""),
            ],
        )  # fmt: skip
