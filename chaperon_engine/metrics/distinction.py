"""What series are called where several stand in one table. Pure.

Must not know tables: a label may lack what a column of its own says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

NESTED: Final = ("run_scenario", "schedule_scenario")
"""Actions that are measured as a call, and say more than `call`."""

_TELLING: Final = ("action", "session", "scenario", "service", "kind", "unit", "phase")
"""What may tell two series of the same label apart, the most telling first."""


def kind_word(kind: str, action: str) -> str:
    """The word for a kind in a label: `call`, `ws_recv`, or the action that says more."""
    return action if action in NESTED else kind


def distinctions(labels: Sequence[str], keys: Sequence[Any]) -> list[str]:
    """For each label what tells its series from the others with this label: `Greet`,
    `visitors, Greet`; empty where it stands alone.

    `keys` are parallel to `labels` and have the fields of a SeriesKey, as ReportMetric does.
    """
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    found = [""] * len(labels)
    for group in places.values():
        if len(group) > 1:
            for place, words in zip(group, _words([keys[place] for place in group]), strict=True):
                found[place] = words
    return found


def _words(keys: Sequence[Any]) -> list[str]:
    """As few fields as make the series of one label distinct."""
    words: list[tuple[str, ...]] = [() for _ in keys]
    for field in _TELLING:
        if len(set(words)) == len(keys):
            break
        values = [str(getattr(key, field)) for key in keys]
        if len(set(values)) > 1:
            words = [(*known, value) for known, value in zip(words, values, strict=True)]
    return [", ".join(word for word in known if word) for known in words]
