"""The keys of the live screen; footer, help and palette show them in this order."""

from __future__ import annotations

from textual.binding import Binding, BindingType

KEYS: list[BindingType] = [
    Binding("s", "stop", "Stop", id="live.stop",
            tooltip="Stop gracefully: running iterations may end, full report"),
    Binding("a", "abort", "Abort", id="live.abort",
            tooltip="Cancel what is in flight; there is still a report"),
    Binding("n", "again", "Start again", id="live.again",
            tooltip="Launch the same once more when this run has ended"),
    Binding("e", "report", "Report", id="live.report", tooltip="Open the report of the run"),
    Binding("i", "interval", "Interval", id="live.interval",
            tooltip="Figures of the last second, or of the whole run"),
    Binding("f", "all_series", "All series", show=False, id="live.all",
            tooltip="All series, also first bytes, connections and warm-up, or the main ones"),
    Binding("p", "pause", "Pause", id="live.pause",
            tooltip="Hold the display; the run and its record go on"),
    Binding("z", "zoom", "Zoom", id="live.zoom",
            tooltip="One panel over the whole screen, or all panels"),
    Binding("w", "workers", "Workers", show=False, id="live.workers",
            tooltip="Hosts and their workers in full; there one can be drained"),
    Binding("l", "join", "Join line", show=False, id="live.join",
            tooltip="The lines that attach a machine or a viewer, to be copied"),
    Binding("t", "span", "Time span", show=False, id="live.span",
            tooltip="Charts of the whole run, the last minute, the last five minutes"),
    Binding("o", "sort", "Sort",
        show=False, id="live.sort", tooltip="Sort the series by the next column"),
    Binding("O", "reverse", "Reverse", show=False, id="live.reverse",
            tooltip="Reverse the order of the series"),
    Binding("slash", "filter", "Find", show=False, id="live.filter",
            tooltip="Show only series whose name contains a text"),
    *(Binding(str(n), f"panel({n - 1})", f"Panel {n}", show=False, id=f"live.panel{n}")
      for n in range(1, 7)),
    Binding("escape,q", "back", "Back", id="live.back",
            tooltip="Leave this screen; asks first while the run is going"),
]  # fmt: skip
