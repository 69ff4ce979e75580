"""A loop that does nothing but take turns, for connections in memory (`wire_transport`): no socket, no clock.

A conformance case is run many thousand times (at each split, cut at each byte), so it may cost no
system call and must come out the same each time. This module knows nothing of what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any


class Turns:
    """A loop without sockets and without a clock of its own: `advance` moves the time.

    It has what protocols, futures and tasks ask of a loop, and nothing else.
    """

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._loop: Any = self
        self._now = 1000.0
        #: What callbacks raised, and what was reported to the loop.
        self.errors: list[object] = []

    # --- what protocols and tasks ask of a loop ---

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._loop, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self._loop, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by a timer that is cancelled; it stays in its place and does nothing."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._loop)

    def create_task(self, coro: Any, **named: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self._loop, **named)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context.get("exception") or context.get("message"))

    # --- what a test does ---

    @contextlib.contextmanager
    def running(self) -> Iterator[Turns]:
        """Be the running loop of this thread."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        try:
            yield self
        finally:
            asyncio._set_running_loop(before)

    def settle(self, turns: int = 10_000) -> None:
        """Take turns until nothing is left to do. More than `turns` callbacks are an endless loop."""
        ready = self._ready
        for _ in range(turns):
            if not ready:
                return
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
        raise AssertionError("the callbacks do not come to an end")

    def advance(self, seconds: float) -> None:
        """Let time pass, with whatever was to happen in it."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if not handle.cancelled():
                handle._run()
            self.settle()
        self._now = until
