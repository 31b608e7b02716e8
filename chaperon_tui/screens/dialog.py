"""What lies above a screen until it has been answered."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A modal screen that is answered once, however many keys were typed ahead."""

    def answer(self, value: Answer) -> None:
        """Close with this answer; nothing when it has been closed."""
        if self.is_active:
            self.dismiss(value)
