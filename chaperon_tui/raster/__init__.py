"""Charts as rows of styled text: pure functions from numbers to cells.

Owns braille line charts, heatmaps, histogram bars and axes. Must not know Textual, Rich, colours
or where the numbers come from: a run of text carries the name of its role (`p99`, `axis`, `heat3`),
and whoever draws gives the role a style.
"""
