"""Charts as rows of text."""

from __future__ import annotations

import pytest

from chaperon_engine import HEATMAP_EDGES_US, show_us
from chaperon_tui.raster.axis import (
    count_axis,
    durations,
    linear_axis,
    log_axis,
    nines,
    percentile_axis,
    spread,
    time_axis,
)
from chaperon_tui.raster.bars import Bar, bar_rows, progress_bar
from chaperon_tui.raster.cells import clip, clip_middle, pad, row_text, row_width, text_width
from chaperon_tui.raster.chart import Line, line_chart
from chaperon_tui.raster.heatmap import heatmap, level_of


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 4, "abc…"),
        ("検索", 4, "検索"),
        ("検索", 3, "検…"),
        ("検索語", 4, "検… "),  # half a wide character is never shown
        ("e\u0301e\u0301", 3, "e\u0301e\u0301 "),
        ("anything", 0, ""),
        ("x", 1, "x"),
    ],
)
def test_texts_are_cut_and_filled_by_cells_not_characters(text, width, expected):
    assert pad(text, width) == expected
    assert text_width(pad(text, width)) == width


@pytest.mark.parametrize(
    ("align", "expected"), [("left", "ab   "), ("right", "   ab"), ("center", " ab  ")]
)
def test_texts_are_aligned_in_their_column(align, expected):
    assert pad("ab", 5, align) == expected


def test_a_text_that_fits_is_not_cut():
    assert clip("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("top", "ticks", "labels"),
    [
        (33_000, 4, ["0", "10k", "20k", "30k", "40k"]),
        (9, 3, ["0", "5", "10"]),
        (1000, 4, ["0", "250", "500", "750", "1k"]),
    ],
)
def test_linear_axes_end_at_a_round_number(top, ticks, labels):
    axis = linear_axis(top, ticks)
    assert [label for _, label in axis.ticks] == labels
    assert axis.high >= top


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [(900, 15_000, (500, 20_000)), (1000, 1000, (1000, 2000)), (3, 3, (2, 5))],
)
def test_logarithmic_axes_end_at_one_two_or_five(low, high, ends):
    axis = log_axis(low, high, show_us)
    assert (round(axis.low), round(axis.high)) == ends
    assert axis.place(axis.low) == 0
    assert axis.place(axis.high) == pytest.approx(1)


def test_an_axis_clamps_what_lies_outside():
    axis = log_axis(100, 1000, show_us)
    assert axis.place(1) == 0
    assert axis.place(10**9) == 1


def test_a_logarithmic_axis_has_no_more_ticks_than_asked_for():
    assert len(log_axis(10, 90_000_000, show_us, ticks=3).ticks) <= 3


@pytest.mark.parametrize(
    ("start", "end", "ticks", "labels"),
    [
        (0, 60, 6, ["0s", "10s", "20s", "30s", "40s", "50s", "1m"]),
        (0, 90, 3, ["0s", "30s", "1m", "1m30s"]),
        (57, 117, 3, ["1m", "1m30s"]),
        (0, 7200, 4, ["0s", "30m", "1h00m", "1h30m", "2h00m"]),
    ],
)
def test_time_axes_have_ticks_at_round_times(start, end, ticks, labels):
    assert [label for _, label in time_axis(start, end, ticks).ticks] == labels


def test_percentiles_are_spread_by_their_nines():
    assert nines(90) == pytest.approx(1)
    assert nines(99.9) == pytest.approx(3)
    assert nines(100) == pytest.approx(6)
    assert [label for _, label in percentile_axis(99.9).ticks] == ["0", "50", "90", "99", "99.9"]


def test_an_axis_of_whole_things_has_no_halves():
    assert [label for _, label in count_axis(1, 4).ticks] == ["0", "1"]


@pytest.mark.parametrize(
    ("places", "room", "expected"),
    [([1, 1, 1], 10, [1, 2, 3]), ([9, 9, 9], 10, [7, 8, 9]), ([0, 5], 6, [0, 5]), ([], 3, [])],
)
def test_labels_at_one_place_move_apart(places, room, expected):
    assert spread(places, room) == expected


def test_a_rising_line_is_drawn_from_the_lower_left_to_the_upper_right():
    line = Line("p50", "p50", [(0, 0.0), (10, 10.0)])
    rows = line_chart([line], time_axis(0, 10), linear_axis(10, 2), 30, 8)
    texts = [row_text(row) for row in rows]
    assert texts[0].rstrip().endswith("p50")
    first_dots = [min((i for i, c in enumerate(t) if "\u2801" <= c <= "\u28ff"), default=99)
                  for t in texts[:6]]  # fmt: skip
    assert first_dots == sorted(first_dots, reverse=True)
    assert texts[-2].startswith("  └┬")


def test_a_chart_fills_exactly_its_room():
    for width, height in ((30, 8), (80, 12), (12, 4), (5, 3), (200, 40)):
        line = Line("p99", "p99", [(x, float(x % 7) + 1) for x in range(50)])
        rows = line_chart([line], time_axis(0, 60), log_axis(1, 8, show_us), width, height,
                          marks=(10, 20), margins=(7, 6))  # fmt: skip
        assert len(rows) == height
        assert {row_width(row) for row in rows} == {width}


def test_a_gap_in_the_points_is_a_gap_in_the_line():
    whole = Line("a", "", [(x, 5.0) for x in range(11)])
    broken = Line("a", "", [(x, None if 3 <= x <= 7 else 5.0) for x in range(11)])
    count = [
        sum(c != "\u2800" and c > "\u2800" for row in rows for c in row_text(row))
        for rows in (
            line_chart([line], time_axis(0, 10), linear_axis(10), 50, 8) for line in (whole, broken)
        )
    ]
    assert count[1] < count[0] * 0.7


def test_where_points_meet_the_highest_is_shown():
    axis = linear_axis(100, 2)
    spike = [(x / 100, 100.0 if x == 500 else 1.0) for x in range(1000)]
    rows = line_chart([Line("a", "", spike)], time_axis(0, 10), axis, 30, 8)
    assert any("\u2801" <= c <= "\u28ff" for c in row_text(rows[0]))


def test_every_line_is_known_by_a_label_at_its_end():
    lines = [Line(n, n, [(x, v) for x in range(10)]) for n, v in (("p50", 1.0), ("p99", 1.1))]
    rows = line_chart(lines, time_axis(0, 10), linear_axis(10), 40, 9)
    text = "\n".join(map(row_text, rows))
    assert "p50" in text
    assert "p99" in text


def test_a_marked_window_is_a_thick_line_on_the_time_axis():
    rows = line_chart([], time_axis(0, 10), linear_axis(10), 40, 8, marks=(2, 4))
    assert "━" in row_text(rows[-2])
    assert any(role == "mark" for _, role in rows[-2])


@pytest.mark.parametrize(
    ("count", "peak", "level"), [(0, 100, 0), (1, 100, 1), (25, 100, 3), (100, 100, 5), (5, 0, 0)]
)
def test_heat_levels_follow_the_share_of_the_fullest_cell(count, peak, level):
    assert level_of(count, peak) == level


def test_a_heatmap_shows_density_by_character_and_fills_its_room():
    columns = [(float(x), [0] * 8 + [1, 50, 400, 50, 1] + [0] * 16) for x in range(30)]
    for width, height in ((80, 10), (120, 6), (40, 24), (10, 3)):
        rows = heatmap(columns, HEATMAP_EDGES_US, time_axis(0, 60), width, height, show_us)
        assert len(rows) == height
        assert {row_width(row) for row in rows} == {width}
    text = "\n".join(row_text(row) for row in heatmap(
        columns, HEATMAP_EDGES_US, time_axis(0, 60), 80, 10, show_us))  # fmt: skip
    assert "█" in text
    assert "·" in text
    assert "3.16 ms" in text


def test_two_seconds_in_one_column_are_no_darker_than_one():
    columns = [(float(x), [0] * 8 + [100] + [0] * 20) for x in range(100)]
    rows = heatmap(columns, HEATMAP_EDGES_US, time_axis(0, 100), 68, 8, show_us)
    roles = {role for row in rows[:-2] for text, role in row if role.startswith("heat")}
    assert roles <= {"heat0", "heat5"}


def test_an_empty_heatmap_is_blank():
    rows = heatmap([], HEATMAP_EDGES_US, time_axis(0, 60), 80, 10, show_us)
    assert len(rows) == 10


def test_bars_are_as_long_as_their_share():
    rows = bar_rows([Bar("a", 100, "100"), Bar("b", 50, "50"), Bar("c", 0.01, "0")], 40)
    lengths = [row_text(row).count("█") for row in rows]
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=1)
    assert "▏" in row_text(rows[2])
    assert {row_width(row) for row in rows} == {40}


@pytest.mark.parametrize(("share", "done"), [(0, 0), (0.5, 10), (1, 20), (7, 20), (-1, 0)])
def test_a_progress_bar_is_always_as_wide_as_asked(share, done):
    filled, rest = progress_bar(share, 20)
    assert (len(filled), len(filled) + len(rest)) == (done, 20)


@pytest.mark.parametrize(
    ("low", "high", "ends", "has"),
    [
        (200, 9_000, ("200 µs", "10 ms"), "1 ms"),
        (20_000_000, 50_000_000, ("10 s", "1m00s"), "30 s"),
        (300, 7.2e9, ("100 µs", "2h00m"), "1h00m"),
        (9e9, 4e12, ("2h00m", "240h00m"), "24h00m"),
    ],
)
def test_axes_of_durations_have_round_minutes_and_hours(low, high, ends, has):
    axis = log_axis(low, high, show_us, 30, durations)
    labels = [label for _, label in axis.ticks]
    assert has in labels
    assert axis.low <= low
    assert show_us(axis.high) == ends[1]
    assert axis.place(low) < axis.place(min(high, axis.high))
    assert len(log_axis(low, high, show_us, 4, durations).ticks) <= 4


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("GET /a", 10, "GET /a"),
        ("GET /customers/17/orders", 16, "GET /custo…rders"),
        ("GET /商品検索/商品検索", 14, "GET /商品…検索"),
        ("abcdef", 4, "abc…"),
        ("", 4, ""),
    ],
)
def test_long_names_are_cut_in_the_middle(text, width, shown):
    assert clip_middle(text, width) == shown
    assert text_width(shown) <= width
