"""The one gate for text that we did not write: URLs, reasons, names, errors, log lines.

Such text may carry escape sequences, bidirectional overrides or megabytes; it passes `visible`
before it reaches a terminal, a log or a report.
"""

from __future__ import annotations

import unicodedata

MAX_LENGTH = 300
"""Characters that are kept unless the caller says otherwise."""

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_COMBINING = 4


def visible(text: object, limit: int = MAX_LENGTH) -> str:
    """`text` on one line with every control, format and bidi character as a visible escape.

    Longer text than `limit` characters is cut and ends in `…`. A run of more than four combining
    marks is cut too: it would paint over the lines above and below. Never raises.
    """
    raw = _words(text)
    cut = len(raw) > limit
    if cut:
        raw = raw[:limit]
    if raw.isascii() and raw.isprintable():
        return raw + "…" if cut else raw
    parts: list[str] = []
    combining = 0
    for char in raw:
        category = unicodedata.category(char)
        if category in ("Mn", "Me"):
            combining += 1
            if combining > _MAX_COMBINING:
                continue
        else:
            combining = 0
        parts.append(_escape(char) if category in _HIDDEN_CATEGORIES else char)
    shown = "".join(parts)
    if len(shown) > limit:
        shown, cut = shown[:limit], True
    return shown + "…" if cut else shown


def visible_block(text: object, lines: int = 40, limit: int = MAX_LENGTH) -> str:
    """As `visible`, for text of several lines such as a traceback; at most `lines` lines."""
    raw = _words(text)
    rows = raw[: lines * limit * 2].split("\n")
    kept = [visible(row, limit) for row in rows[:lines]]
    if len(rows) > lines:
        kept.append("…")
    return "\n".join(kept)


def encodable(text: object) -> str:
    """Text that UTF-8 can carry: each half of a surrogate pair becomes an escape. Never raises."""
    raw = _words(text)
    try:
        raw.encode()
    except UnicodeEncodeError:
        return raw.encode("utf-8", "backslashreplace").decode()
    return raw


def _words(text: object) -> str:
    try:
        # A subclass of str may have a __str__ of its own that says something else, or raises.
        return str.__str__(text) if isinstance(text, str) else str(text)
    except Exception:
        return f"<{type(text).__name__}>"


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
