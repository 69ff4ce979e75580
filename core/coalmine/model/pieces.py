"""Long work that lets others in: a generator that yields wherever somebody else may have a turn.

PURE. How long a turn is, and who has the next one, is the affair of whoever runs the generator; what it
returns does not depend on that. Rules for those who write one: no more than some tens of microseconds from one
yield to the next, and nothing that others can see changes before the last step that they must not see.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

#: Work in pieces that comes to a T.
Pieces = Generator[None, None, T]


def at_once(pieces: Pieces[T]) -> T:
    """All of it without a pause."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result
