"""What a spawned call is to the one who spawned it: something to await, with an outcome.

Must not know what a child session is, nor who runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Generator
from typing import Any, Literal, Protocol, TypeVar

from chaperon_engine.errors import InvalidRequest

Outcome = Literal["waiting", "running", "done", "failed", "aborted", "cancelled"]
T = TypeVar("T")


class Parent(Protocol):
    """What a handle needs of the session that spawned it."""

    def waiting(self, future: asyncio.Future[T]) -> Awaitable[T]:
        """What to await in place of a future."""
        ...

    def delivered(self, handle: ChildHandle) -> None:
        """Somebody has awaited it."""
        ...

    def cancel_child(self, handle: ChildHandle) -> None:
        """End it."""
        ...


class Gate:
    """Opens when so many handles are over."""

    __slots__ = ("future", "left")

    def __init__(self, left: int) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = left

    def pass_one(self) -> None:
        """One more is over."""
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(None)


class ChildHandle:
    """A spawned call. `await` it for what it returned; what it raised is raised there.

    A child that was aborted or cancelled ended without a value: awaiting it gives None, and
    `outcome` and `reason` say what happened.
    """

    __slots__ = ("_child", "_error", "_gates", "_is_over", "_parent", "_task", "_value", "id",
                 "name", "outcome", "reason")  # fmt: skip

    def __init__(self, parent: Parent, name: str) -> None:
        self._parent = parent
        self._child: Any = None
        """The child session, while it runs."""
        self._task: asyncio.Task[None] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._gates: set[Gate] | None = None
        self._is_over = False
        self.name = name
        """Name under which it was spawned; several may have the same."""
        self.id = ""
        """Id of the child session; empty before it has started."""
        self.outcome: Outcome = "waiting"
        """`waiting` for its turn in a spread, `running`, `done`, `failed` (it raised), `aborted`
        (by `abort` in itself) or `cancelled`."""
        self.reason = ""
        """Why it was aborted."""

    @property
    def is_over(self) -> bool:
        """Whether it will not run any more, and all that it held has been let go."""
        return self._is_over

    def cancel(self) -> None:
        """End the child now, as if its session ended; it has no value then."""
        self._parent.cancel_child(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.is_over:
            if self._task is not None and self._task is asyncio.current_task():
                raise InvalidRequest(f"child {self.id} cannot await itself")
            yield from ended(self._parent, (self,)).__await__()
        return self.result()

    def result(self) -> Any:
        """What `await` gives, of a child that is over. Raises what it raised."""
        if not self.is_over:
            raise InvalidRequest(f"child {self.name} is not over yet: await it")
        self._parent.delivered(self)
        if self._error is not None:
            raise self._error
        return self._value

    def __deepcopy__(self, memo: dict[int, Any]) -> ChildHandle:
        # Assigned values are copied for children; a copy of a handle would never end.
        return self

    def __repr__(self) -> str:
        return f"<child {self.id or self.name} {self.outcome}>"


class SpreadHandle:
    """The calls of a spread. `await` it for all their values, in the order of their starts.

    It waits for all of them; then, if any failed, the error of the first is raised.
    """

    __slots__ = ("_gather", "handles")

    def __init__(
        self,
        handles: tuple[ChildHandle, ...],
        gather: Callable[[Collection[ChildHandle]], Awaitable[list[Any]]],
    ) -> None:
        self._gather = gather
        self.handles = handles
        """Of each call; those whose time has not come are `waiting`."""

    @property
    def name(self) -> str:
        """Name of all of them."""
        return self.handles[0].name

    @property
    def is_over(self) -> bool:
        """Whether all of them are over."""
        return all(handle.is_over for handle in self.handles)

    def cancel(self) -> None:
        """End those that run and start no further one."""
        for handle in self.handles:
            handle.cancel()

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        return self._gather(self.handles).__await__()

    def __deepcopy__(self, memo: dict[int, Any]) -> SpreadHandle:
        return self

    def __repr__(self) -> str:
        over = sum(handle.is_over for handle in self.handles)
        return f"<spread {self.name}: {over} of {len(self.handles)} are over>"


async def ended(parent: Parent, handles: Collection[ChildHandle]) -> None:
    """Wait until all of them are over."""
    running = [handle for handle in handles if not handle.is_over]
    if not running:
        return
    gate = Gate(len(running))
    for handle in running:
        if handle._gates is None:
            handle._gates = set()
        handle._gates.add(gate)
    try:
        await parent.waiting(gate.future)
    finally:
        for handle in running:
            if handle._gates is not None:
                handle._gates.discard(gate)
