"""The lines above the panels: state and progress, the generator's health, the tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.geometry import Size

from chaperon_tui.raster.bars import progress_bar
from chaperon_tui.raster.cells import Row, clip, pad, text_width
from chaperon_tui.state.figures import HealthLine, Progress, Tile
from chaperon_tui.state.table import fit
from chaperon_tui.widgets.painted import Painted
from chaperon_tui.widgets.rows import wrap_row


class StateLine(Painted):
    """Load test, state, progress bar, time; at the right what kind of figures are shown."""

    def __init__(self, source: Callable[[], tuple[Progress, str]], *, id: str | None = None):
        super().__init__(id=id)
        self._source = source

    def paint(self, width: int, height: int) -> list[Row]:
        progress, mode = self._source()
        head = f" {clip(progress.title, max(12, width // 4))}  "
        state = f"{progress.state}  "
        tail = f"  {mode} " if mode else " "
        text = f"  {progress.text}" if progress.text else ""
        partial = "PARTIAL  " if progress.is_partial else ""
        room = width - text_width(head + state + partial + tail + text)
        row: list[tuple[str, str]] = [(head, "title"), (state, "key"), (partial, "warn")]
        if progress.share is not None and room >= 6:
            length = min(room, 60)
            done, rest = progress_bar(progress.share, length)
            row += [(done, "done"), (rest, "open")]
            room -= length
        row.append((text, ""))
        row += [(" " * max(room, 0), ""), (tail, "dim")]
        return [fit(tuple(row), width)]


class HealthBar(Painted):
    """The generator's verdict on itself; never hidden, as tall as its words need. Below it, on one
    line, what the run lacks."""

    def __init__(self, source: Callable[[], HealthLine], *, id: str | None = None):
        super().__init__(id=id)
        self._source = source

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line while all is well."""
        return len(self._lines(width))

    def repaint(self) -> None:
        """The layout changes only with the number of lines."""
        if self.is_seen and len(self._lines(self.size.width)) != self.size.height:
            self._rows = None
            self.refresh(layout=True)
        else:
            super().repaint()

    def paint(self, width: int, height: int) -> list[Row]:
        return self._lines(width)[:height]

    def _lines(self, width: int) -> list[Row]:
        line = self._source()
        rows = self._verdict(line, width)[:3]
        if line.partial:
            rows.append(((pad(f" {line.partial}", width), "warn"),))
        return rows

    def _verdict(self, line: HealthLine, width: int) -> list[Row]:
        note = f" {line.note} " if line.note else ""
        if line.verdict == "good":
            if text_width(f" {line.text}") + text_width(note) > width:
                note = ""
            room = width - text_width(note)
            return [fit(((pad(f" {line.text}", room), "good"), (note, "dim")), width)]
        rows = wrap_row(((f" {line.text}", line.verdict),), width, 3)
        return [((pad("".join(text for text, _ in row), width), line.verdict),) for row in rows]


class Tiles(Painted):
    """The big figures side by side, three lines each."""

    def __init__(self, source: Callable[[], Sequence[Tile]], *, id: str | None = None):
        super().__init__(id=id)
        self._source = source

    def paint(self, width: int, height: int) -> list[Row]:
        tiles = self._source()
        each, left = divmod(width, max(len(tiles), 1))
        rows: list[list[tuple[str, str]]] = [[], [], []]
        for number, tile in enumerate(tiles):
            own = each + (1 if number < left else 0)
            edge = "tile-bad" if tile.role else "tile"
            value = f"{tile.value}  {tile.extra}" if tile.extra else tile.value
            value = value if text_width(value) <= own - 2 else tile.value
            has_room = text_width(tile.note) <= own - 2 or not tile.short_note
            note = tile.note if has_room else tile.short_note
            texts = ((tile.title, "dim"), (value, tile.role or "value"), (note, "dim"))
            for row, (text, role) in zip(rows, texts, strict=True):
                row += [("▎", edge), (pad(text, own - 2), role), (" ", "")]
        return [tuple(row) for row in rows]
