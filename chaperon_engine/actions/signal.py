"""Signals: values that sessions of one family send each other, and the box they wait in.

Must not know who sends, nor how a session waits.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from chaperon_engine.text import visible

MAX_QUEUED: Final = 1_000
"""Signals that one session may have waiting."""
_SHOWN = 3


class _Any:
    """Type of `ANY`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""`await_signal(ANY)`: whatever comes."""

Condition = Callable[[Any], object]
"""A function of a signal; what it returns is taken as true or false."""


class Wanted:
    """What one `await_signal` waits for, and what it got."""

    __slots__ = ("error", "future", "is_there", "signal", "value", "where")

    def __init__(
        self, loop: AbstractEventLoop, value: object = ANY, where: Condition | None = None
    ) -> None:
        self.value = value
        self.where = where
        self.future: Future[None] = loop.create_future()
        """Done when the signal is there, or the condition raised, or time is up."""
        self.signal: Any = None
        self.is_there = False
        """Whether it came."""
        self.error: BaseException | None = None
        """What the condition raised: it belongs to who waits, not to who sends."""

    def take(self, signal: object) -> bool:
        """Whether this was waited for; then the wait is over."""
        if self.future.done():
            return False
        try:
            if not self._fits(signal):
                return False
            self.signal = signal
            self.is_there = True
        except Exception as error:
            self.error = error
        self.future.set_result(None)
        return self.is_there

    def _fits(self, signal: object) -> bool:
        value = self.value
        if value is not ANY and value is not signal and value != signal:
            return False
        return self.where is None or bool(self.where(signal))

    def __str__(self) -> str:
        """For messages: `signal 'go'`, `signal for which is_ready is true`."""
        text = "signal" if self.value is ANY else f"signal {visible(repr(self.value), 80)}"
        if self.where is not None:
            text += f" for which {getattr(self.where, '__name__', 'the condition')} is true"
        return text


class Mailbox:
    """Signals that came and waits for them, of one session; first come, first served."""

    __slots__ = ("_queued", "_wanted")

    def __init__(self) -> None:
        self._queued: deque[object] = deque()
        self._wanted: list[Wanted] = []

    def put(self, signal: object) -> bool:
        """Hand a signal to the first wait that it fits, else keep it; False: there is no room."""
        for wanted in list(self._wanted):
            if wanted.take(signal):
                return True
        if len(self._queued) >= MAX_QUEUED:
            return False
        self._queued.append(signal)
        return True

    def want(self, wanted: Wanted) -> None:
        """Give it the first signal that fits, now or when it comes. `unwant` it in the end."""
        for number, signal in enumerate(self._queued):
            if wanted.take(signal):
                del self._queued[number]
                return
            if wanted.error is not None:
                return
        self._wanted.append(wanted)

    def unwant(self, wanted: Wanted) -> None:
        """Nobody waits for it any more."""
        if wanted in self._wanted:
            self._wanted.remove(wanted)

    def clear(self) -> None:
        """Forget what nobody awaited."""
        self._queued.clear()

    def __str__(self) -> str:
        """For messages: what came and was not awaited."""
        count = len(self._queued)
        if not count:
            return "no other signal has come"
        shown = [visible(repr(signal), 40) for signal in list(self._queued)[:_SHOWN]]
        if count > _SHOWN:
            shown.append("...")
        noun = "another signal" if count == 1 else f"{count} others"
        return f"{noun} came: {', '.join(shown)}"
