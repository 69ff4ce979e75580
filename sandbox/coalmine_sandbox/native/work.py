"""A controller's work: keys to look at, workers, and another try later when one fails.

Level-based: a key names what to look at, never what happened. A write that met another one, or
an API server that is away for a while, is tried again with a growing pause; anything else is a
fault of ours and ends the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from coalmine.kube.client import ApiError, ConflictError, NotFoundError
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

    def add_after(self, key: K, seconds: float) -> None:
        self._queue.add_after(key, seconds)

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
                # another write came first, or it is gone: what controllers live with all day
                usual = isinstance(error, ConflictError | NotFoundError | AgainError)
                wait = self._queue.failed(key)
                log.log(
                    logging.DEBUG if usual else logging.WARNING,
                    "%s: %s: %s; again in %.2g s",
                    self._name,
                    key,
                    error,
                    wait,
                )
            else:
                self._queue.succeeded(key)
                if again is not None:
                    self._queue.add_after(key, again)
            finally:
                self._queue.done(key)


def is_terminating(error: ApiError) -> bool:
    """A namespace on its way out takes nothing new (the cause NamespaceTerminating): no reason to try again."""
    return error.status == 403 and "because it is being terminated" in error.message
