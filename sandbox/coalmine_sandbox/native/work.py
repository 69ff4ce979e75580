"""A controller's work: keys to look at, workers, and another try later when one fails.

Level-based: a key names what to look at, never what happened. A write that met another one, or
an API server that is away for a while, is tried again with a growing pause; what is refused because
its namespace ends is not; anything else is a fault of ours and ends the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from coalmine.kube.verbs import ApiError, ConflictError, NotFoundError
from coalmine_controller.queue import Queue

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class AgainError(Exception):
    """It cannot be done yet: try again later. The text says what is waited for."""


class Runnable(Protocol):
    """A controller as `manager` runs it."""

    async def run(self) -> None: ...


class Work(Generic[K]):
    """Made inside of the event loop. `sync` looks at one key; what it returns, if anything, is when to look
    at it again, in seconds. No two workers look at one key at a time."""

    def __init__(self, name: str, sync: Callable[[K], Awaitable[float | None]], *, workers: int = 2) -> None:
        loop = asyncio.get_running_loop()
        self._name = name
        self._sync = sync
        self._workers = workers
        self._queue: Queue[K] = Queue(loop.call_later, loop.time)

    def add(self, key: K) -> None:
        self._queue.add(key)

    async def run(self) -> None:
        """Never returns."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                again = await self._sync(key)
            except (ApiError, AgainError) as error:
                if isinstance(error, ApiError) and namespace_ends(error):
                    self._queue.succeeded(key)
                else:
                    self._failed(key, error)
            else:
                self._queue.succeeded(key)
                if again is not None:
                    self._queue.add_after(key, again)
            finally:
                # where the API is in the same process a look may never have waited: before the next one at this key
                # others are to see what was written
                await asyncio.sleep(0)
                self._queue.done(key)

    def _failed(self, key: K, error: ApiError | AgainError) -> None:
        # another write came first, or it is gone: what controllers live with all day
        usual = isinstance(error, ConflictError | NotFoundError | AgainError)
        wait = self._queue.failed(key)
        level = logging.DEBUG if usual else logging.WARNING
        log.log(level, "%s: %s: %s; again in %.2g s", self._name, key, error, wait)


def namespace_ends(error: ApiError) -> bool:
    """A namespace on its way out takes nothing new (the cause NamespaceTerminating): no reason to try again."""
    return error.status == 403 and "because it is being terminated" in error.message
