"""The body of a review comes in: within a time, and all of them together within a number of bytes.

Rules: anybody who reaches the port may begin a body and never end it, on as many connections as he likes. So a
body has `DEADLINE` seconds, and all bodies that are held at once have `BUDGET` bytes; one that exceeds either is let
go of, and the answer is an HTTP error, which the API server takes as its failurePolicy says. Nothing here knows what a
review is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from coalmine_webhook.review import MAX_REVIEW

_log = logging.getLogger(__name__)

#: Seconds for a body: the API server gives the whole review up then (`timeoutSeconds`).
DEADLINE: Final = 5.0
#: Bytes of all bodies that have begun to come in and are not answered: a quarter of the container's memory (256 MiB, of
#: which 40 are used at rest). Nine reviews of the largest size, or the 200 writes that an API server has in flight
#: (--max-mutating-requests-inflight) at 320 KiB each; a usual one has some tens of KiB.
BUDGET: Final = 64 << 20


class Intake:
    """Reads bodies. A body counts until its review is answered, for as long it is held."""

    def __init__(self, deadline: float = DEADLINE, budget: int = BUDGET) -> None:
        self._deadline = deadline
        self._left = budget

    @property
    def left(self) -> int:
        """Bytes of the budget that nobody has."""
        return self._left

    @contextlib.asynccontextmanager
    async def body(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body. It counts by what the request announces, else (and where it was packed) by what has come.

        Raises HTTPRequestEntityTooLarge, HTTPRequestTimeout, HTTPServiceUnavailable.
        """
        taken = 0
        try:
            taken += self._take(request.content_length or 0)
            parts: list[bytes] = []
            size = 0
            try:
                async with asyncio.timeout(self._deadline):
                    while part := await request.content.readany():
                        size += len(part)
                        taken += self._take(size - taken, so_far=taken)
                        parts.append(part)
            except TimeoutError:
                parts.clear()
                _log.warning("review refused: its body did not come within %g s", self._deadline)
                raise web.HTTPRequestTimeout(text=f"the body did not come within {self._deadline:g} s\n") from None
            body = b"".join(parts)
            del parts
            yield body
        finally:
            self._left += taken

    def _take(self, wanted: int, so_far: int = 0) -> int:
        """Counts bytes that are not counted yet; how many."""
        if so_far + wanted > MAX_REVIEW:
            raise web.HTTPRequestEntityTooLarge(MAX_REVIEW, so_far + wanted)
        if wanted <= 0:
            return 0
        if wanted > self._left:
            _log.warning("review refused: too many bytes of others are coming in")
            raise web.HTTPServiceUnavailable(text="too many bytes of other reviews are coming in: ask again\n")
        self._left -= wanted
        return wanted
