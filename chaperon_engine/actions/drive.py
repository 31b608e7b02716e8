"""Whether a coroutine ever waited: what keeps user code from holding the loop of its worker.

A coroutine that only awaits things that are done runs to its end without the loop taking a turn.
Whoever repeats such coroutines must give the others a turn himself, and must know when.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


@coroutine
def suspended(work: Coroutine[Any, Any, object]) -> Generator[Any, Any, bool]:
    """Run `work` to its end; whether it waited for anything, so that the loop took a turn.

    Only the first step is driven by hand: after it the answer is known, and `yield from` costs
    next to nothing.
    """
    try:
        waited = work.send(None)
        while True:
            try:
                yield waited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                waited = work.throw(error)
            else:
                break
    except StopIteration as end:
        # Also reached when a cancelled first wait ended the work: one turn too many does no harm.
        del end
        return False
    yield from work
    return True
