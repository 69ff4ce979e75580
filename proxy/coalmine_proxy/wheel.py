"""Timeouts of all connections from one timer.

A connection carries its `deadline` as an attribute; to move it is an assignment, so a
request sets and clears its timeouts at no cost. The wheel has a few slots and visits one of
them a tick: every connection is looked at once a second, which is as exact as these
timeouts need to be.

It knows no clock of its own: `turn(now)` is called by whoever has one. `now` is the time of the
last turn, good enough to set deadlines from.
"""

from __future__ import annotations

from typing import Final, Protocol

NEVER: Final = float("inf")
#: Seconds between two turns, and slots: together, each connection is visited once a second.
TICK: Final = 0.25
_SLOTS: Final = 4


class Timed(Protocol):
    """Something that may run out of time. `expired` must move the deadline or end the thing."""

    deadline: float

    def expired(self) -> None: ...


class Wheel:
    """Visits everything that was added, a slot at a turn."""

    __slots__ = ("_at", "_slots", "_turn", "now")

    def __init__(self, now: float) -> None:
        self.now = now
        self._slots: tuple[set[Timed], ...] = tuple(set() for _ in range(_SLOTS))
        self._at = 0
        self._turn = 0

    def add(self, timed: Timed) -> None:
        """Begin to watch; the slots are filled in turn, so that they stay even."""
        self._at = (self._at + 1) % _SLOTS
        self._slots[self._at].add(timed)

    def remove(self, timed: Timed) -> None:
        """Stop watching."""
        for slot in self._slots:
            slot.discard(timed)

    def turn(self, now: float) -> None:
        """Visit the next slot."""
        self.now = now
        self._turn = (self._turn + 1) % _SLOTS
        for timed in [t for t in self._slots[self._turn] if t.deadline <= now]:
            # One that expired before it may have changed that.
            if timed.deadline <= now:
                timed.expired()
