"""Medians and ratios over rounds, and tables as text that is also Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One generator's medians; ratios are medians of the rounds' ratios, None without reference."""

    name: str
    rounds: int
    requests_per_s: float
    requests_ratio: float | None
    cpu_us: float
    cpu_ratio: float | None
    cpu_ratio_range: tuple[float, float] | None
    peak_bytes: float
    server_busy: float
    others_cores: float


def summarise(
    rounds: Sequence[Mapping[str, Measurement]], reference: str = "wrk"
) -> dict[str, Row]:
    """One row for each generator that was measured in any round, in order of appearance.

    A ratio is taken inside each round, against the reference of the same round: what slows the
    machine for some minutes slows both.
    """
    names = dict.fromkeys(name for measured in rounds for name in measured)
    return {name: _row(name, rounds, reference) for name in names}


def _row(name: str, rounds: Sequence[Mapping[str, Measurement]], reference: str) -> Row:
    own = [measured[name] for measured in rounds if name in measured]
    pairs = [
        (measured[name], measured[reference])
        for measured in rounds
        if name in measured and reference in measured
    ]
    cpu_ratios = [mine.cpu_us_per_request / base.cpu_us_per_request for mine, base in pairs]
    rate_ratios = [mine.requests_per_s / base.requests_per_s for mine, base in pairs]
    return Row(
        name=name,
        rounds=len(own),
        requests_per_s=median(each.requests_per_s for each in own),
        requests_ratio=median(rate_ratios) if pairs else None,
        cpu_us=median(each.cpu_us_per_request for each in own),
        cpu_ratio=median(cpu_ratios) if pairs else None,
        cpu_ratio_range=(min(cpu_ratios), max(cpu_ratios)) if pairs else None,
        peak_bytes=median(each.peak_bytes for each in own),
        server_busy=median(each.server_busy for each in own),
        others_cores=median(each.others_cores for each in own),
    )


_HEAD = (
    "generator",
    "requests/s",
    "of wrk's",
    "CPU us/request",
    "times wrk's",
    "lowest-highest",
    "peak MiB",
    "nginx busy",
    "other load",
    "rounds",
)


def comparison(rows: Sequence[Row]) -> str:
    """The table of the comparison."""
    cells = [
        (
            row.name,
            f"{row.requests_per_s:,.0f}",
            _ratio(row.requests_ratio),
            f"{row.cpu_us:.1f}",
            _ratio(row.cpu_ratio),
            "-" if row.cpu_ratio_range is None else "{:.2f}-{:.2f}".format(*row.cpu_ratio_range),
            f"{row.peak_bytes / 1024**2:.1f}",
            f"{row.server_busy:.0%}",
            f"{row.others_cores:.2f}",
            str(row.rounds),
        )
        for row in rows
    ]
    return render(_HEAD, cells)


def render(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, the first to the left and the others to the right."""
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if index == 0 else "-" * (width - 1) + ":" for index, width in enumerate(widths)
    ]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
