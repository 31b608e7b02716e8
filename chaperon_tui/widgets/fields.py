"""The fields of a form: one line each below the titles of their sections.

A field that needs another one is shown, and its value counts, as long as that one is filled in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label

from chaperon_tui.state.form import Field
from chaperon_tui.widgets.pick import Pick


class Fields(VerticalScroll):
    """Text fields and picks in a box that scrolls."""

    can_focus = False

    class Changed(Message):
        """A value was typed or chosen."""

    class Submitted(Message):
        """Enter in a field."""

    def __init__(self, *, id: str, classes: str):
        super().__init__(id=id, classes=classes)
        self._needs: dict[str, str] = {}
        """By the key of a field: the one that it needs."""

    async def show(self, fields: Sequence[Field]) -> None:
        """Other fields; the first one gets the focus."""
        await self.remove_children()
        self._needs = {field.key: field.needs for field in fields}
        section = ""
        widgets: list[Label | Horizontal] = []
        for field in fields:
            if field.section != section:
                section = field.section
                widgets.append(Label(Content(section), classes="section"))
            entry = (
                Pick(field.value, field.choices, key=field.key)
                if field.choices
                else Input(field.value, placeholder=field.placeholder, name=field.key,
                           select_on_focus=False)
            )  # fmt: skip
            label = Label(Content(field.label), classes="name")
            widgets.append(Horizontal(label, entry, classes="field", name=field.key))
        await self.mount_all(widgets)
        self._fold()
        self.query(Input).first().focus()

    @property
    def values(self) -> dict[str, str]:
        """By the keys of the fields."""
        found = {str(entry.name): entry.value for entry in self.query(Input)}
        return found | {pick.key: pick.value for pick in self.query(Pick)}

    @property
    def focused_key(self) -> str:
        """Of the field with the focus; empty without one."""
        focused = self.screen.focused
        if isinstance(focused, Pick):
            return focused.key
        return str(focused.name) if isinstance(focused, Input) else ""

    def mark(self, wrong: Collection[str]) -> None:
        """Mark the fields with something wrong."""
        for entry in self.query(Input):
            entry.set_class(entry.name in wrong, "-bad")

    def _fold(self) -> None:
        """Hide what is not asked for."""
        values = self.values
        for line in self.query(Horizontal):
            line.display = self._is_wanted(str(line.name), values)

    def _show_those_below(self, key: str) -> None:
        """Fields that this one asks for; also when the words below the form take more lines now."""
        asked = [line for line in self.query(Horizontal)
                 if line.display and self._needs.get(str(line.name)) == key]  # fmt: skip
        if asked:
            self.call_after_refresh(self.scroll_to_widget, asked[-1], animate=False)

    def _is_wanted(self, key: str, values: Mapping[str, str]) -> bool:
        needs = self._needs.get(key, "")
        if not needs:
            return True
        return bool(values.get(needs, "").strip()) and self._is_wanted(needs, values)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Told on as the form's own."""
        event.stop()
        self._fold()
        if event.input.has_focus:
            self._show_those_below(str(event.input.name))
        self.post_message(self.Changed())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Told on as the form's own."""
        event.stop()
        self.post_message(self.Submitted())

    def on_pick_changed(self, event: Pick.Changed) -> None:
        """Told on as the form's own."""
        event.stop()
        self.post_message(self.Changed())

    def on_pick_submitted(self, event: Pick.Submitted) -> None:
        """Told on as the form's own."""
        event.stop()
        self.post_message(self.Submitted())
