"""Asks what becomes of a run that is going when its screen or the UI is closed."""

from __future__ import annotations

from chaperon_tui.screens.confirm import Choice, ConfirmScreen


class LeaveScreen(ConfirmScreen):
    """Dismisses with `leave`, `stop`, or the empty text to stay."""

    def __init__(self, run_id: str):
        super().__init__(
            "The run is still going",
            [
                (("Leave it running: ", ""), (f"chaperon-tui attach {run_id}", "value"),
                 (" shows it again. Or stop it gracefully, and it ends with its report.", "")),
            ],
            [
                Choice("s", "Stop it", "stop", "warning"),
                Choice("l", "Leave it running", "leave", "primary"),
                Choice("c", "Stay", ""),
            ],
        )  # fmt: skip
