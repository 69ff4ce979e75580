"""Long work of the sidecar, done in short turns: between two of them the loop serves requests.

A turn is half a millisecond: no request is ten times as late as it would otherwise be. But where requests
themselves keep the loop for long (it is full: a turn of it takes tens of milliseconds), a turn of the work
is a part of that, so that the work comes to its end in any load: a push has two seconds.

While such work is under way the garbage collector rests: it would look at thousands of new objects in one go, which
takes as long as ten turns, and again later, each time that it looks at everything. So what work leaves behind
in such numbers is there to stay (`gc.freeze`): it is freed like anything else when nobody refers to it, but not if
it refers to itself in a circle. Connections do not, once they are closed.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final, TypeVar

from coalmine.model.pieces import Pieces

T = TypeVar("T")

#: Seconds of work after which others come first.
TURN: Final = 0.0005
#: Of the time that the others took, this part is the work's next turn: sixty milliseconds of work take three hundred.
PART: Final = 0.25
#: Work of so many turns has made thousands of objects; of fewer, some hundreds, which the collector may well look at.
MANY: Final = 20


async def in_turns(pieces: Pieces[T], clock: Callable[[], float]) -> T:
    """Run `pieces` to their end. What fits into one turn is done in one, without a pause."""
    until = clock() + TURN
    resting = False
    turns = 0
    try:
        while True:
            try:
                next(pieces)
            except StopIteration as end:
                result: T = end.value
                return result
            now = clock()
            if now >= until:
                if not resting and gc.isenabled():
                    resting = True
                    gc.disable()
                turns += 1
                await asyncio.sleep(0)
                back = clock()
                until = back + max(TURN, PART * (back - now))
    finally:
        if resting:
            if turns >= MANY:
                gc.freeze()
            gc.enable()
