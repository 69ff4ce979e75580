"""A work queue by name: each key is worked on by one worker at a time, and again when it changed meanwhile.

As client-go's workqueue: a key that is added while it waits is not added twice; one that is added while
it is worked on is worked on again afterwards; failures back off per key. A watcher may be told of it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 30.0


class Watcher(Protocol):
    """Who counts what a queue does. Times are in seconds."""

    def added(self) -> None: ...
    def taken(self, waited: float) -> None: ...
    def done(self, worked: float) -> None: ...
    def retried(self) -> None: ...


class Queue(Generic[K]):
    """Must be used from one event loop, whose `call_later` and `time` it is given."""

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], asyncio.Handle],
        now: Callable[[], float],
        watcher: Watcher | None = None,
    ) -> None:
        self._call_later = call_later
        self._now = now
        self._watcher = watcher
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: dict[K, float] = {}  # since when
        self._working: dict[K, float] = {}
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, tuple[float, asyncio.Handle]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def under_way(self) -> list[float]:
        """How long each key that is worked on has been, in seconds."""
        return [self._now() - since for since in self._working.values()]

    def add(self, key: K) -> None:
        """Have `key` worked on soon."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = self._now()
            self._ready.put_nowait(key)
            if self._watcher is not None:
                self._watcher.added()

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` worked on in `seconds`, or earlier when something else asks for it sooner."""
        due = self._now() + seconds
        if key in self._timers:
            earlier, timer = self._timers[key]
            if earlier <= due:
                return
            timer.cancel()
        self._timers[key] = due, self._call_later(seconds, lambda: self._due(key))

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def take(self) -> K:
        """The next key; `done` must follow."""
        key = await self._ready.get()
        since, now = self._waiting.pop(key), self._now()
        self._working[key] = now
        if self._watcher is not None:
            self._watcher.taken(now - since)
        return key

    def done(self, key: K) -> None:
        since = self._working.pop(key, None)
        if self._watcher is not None and since is not None:
            self._watcher.done(self._now() - since)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def failed(self, key: K) -> float:
        """Have `key` tried again after a wait that doubles with each failure; returns the wait in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        if self._watcher is not None:
            self._watcher.retried()
        wait: float = min(_FIRST_WAIT * 2 ** min(count, 16), _LONGEST_WAIT)
        self.add_after(key, wait)
        return wait

    def succeeded(self, key: K) -> None:
        self._failures.pop(key, None)
