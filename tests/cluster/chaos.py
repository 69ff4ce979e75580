"""An API server that misbehaves, as the controller behind the interceptor sees it.

Every misbehaviour is one that a real API server, its load balancer or its network can show: requests that are
refused (before or after they were carried out), slow ones, watches that are cut, end with 410, or
tell of events late and twice. The dice are seeded: a run can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

#: Answers instead of the API server's own: reason and message of the Status.
REFUSALS: Final = {
    409: ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    504: ("Timeout", "Timeout: request did not complete within requested timeout"),
}
#: What only a write can be told.
_WRITES_ONLY: Final = frozenset({409})


@dataclass
class Chaos:
    """What happens to how many requests (shares of 1)."""

    dice: random.Random
    #: By status: answered so, and never carried out.
    refused: dict[int, float] = field(default_factory=dict)
    #: By status: carried out, and answered so all the same.
    lost: dict[int, float] = field(default_factory=dict)
    #: Seconds at most that a request is held back.
    slow: float = 0.0
    #: Of watches: answered 410 at their start.
    expired: float = 0.0
    #: Of events: the connection is cut before it.
    cut: float = 0.0
    #: Of events: told twice, once more after the next one.
    twice: float = 0.0
    #: Seconds at most that an event is held back, and all behind it.
    late: float = 0.0
    #: How often each of them happened, by its name.
    happened: dict[str, int] = field(default_factory=dict)

    @property
    def kinds(self) -> set[str]:
        """The names of what may happen."""
        found = {name for name in ("slow", "expired", "cut", "twice", "late") if getattr(self, name)}
        return found | {f"{name} {status}" for name in ("refused", "lost") for status in getattr(self, name)}

    def refusal(self, method: str) -> int | None:
        """The status that a request is answered with before it is carried out."""
        return self._one_of("refused", self.refused, method)

    def loss(self, method: str) -> int | None:
        """The status that a request is answered with after it was carried out."""
        return self._one_of("lost", self.lost, method)

    def expires(self) -> bool:
        return self._hits("expired", self.expired)

    async def hold_back(self) -> None:
        await self._wait("slow", self.slow)

    def cuts(self) -> bool:
        return self._hits("cut", self.cut)

    def repeats(self) -> bool:
        return self._hits("twice", self.twice)

    async def linger(self) -> None:
        await self._wait("late", self.late)

    async def _wait(self, name: str, most: float) -> None:
        if most:
            self._count(name)
            await asyncio.sleep(self.dice.random() * most)

    def _one_of(self, name: str, shares: dict[int, float], method: str) -> int | None:
        for status, share in shares.items():
            if (method != "GET" or status not in _WRITES_ONLY) and self._hits(f"{name} {status}", share):
                return status
        return None

    def _hits(self, name: str, share: float) -> bool:
        hit = self.dice.random() < share
        if hit:
            self._count(name)
        return hit

    def _count(self, name: str) -> None:
        self.happened[name] = self.happened.get(name, 0) + 1


async def retold(events: AsyncIterator[bytes], current: Callable[[], Chaos | None]) -> AsyncIterator[bytes]:
    """The events of a watch, one a line, as they are told; ends where the connection is cut.

    `current` is asked at each event: a watch that stands meets chaos that begins later.
    """
    again: bytes | None = None
    async for event in events:
        chaos = current()
        if chaos is None:
            yield event
            continue
        if chaos.cuts():
            return
        await chaos.linger()
        yield event
        if again is not None:
            yield again  # after a younger one
            again = None
        if chaos.repeats():
            yield event
            again = event
