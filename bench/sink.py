"""An origin for uploads: reads and throws away a body of any length, then answers.

Knows only requests with a Content-Length, as it has only the benchmark's to answer. Run as
``python -m bench.sink PORT PORT``; the first port is stable's, the second the canary's.
"""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from typing import Final, cast

import uvloop

from bench.processes import HOST

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
#: One read takes what the kernel's receive buffer holds.
_BUFFER: Final = 256 * 1024
_ANSWER: Final = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-Version: %b\r\n\r\n{}"
)


class Sink(asyncio.BufferedProtocol):
    """One connection."""

    # one buffer serves all connections: nothing that is in it is kept
    _memory = bytearray(_BUFFER)

    def __init__(self, version: bytes) -> None:
        self._answer = _ANSWER % version
        self._head = b""
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        assert self._transport is not None
        if self._left:
            self._left -= nbytes
            if self._left == 0:
                self._transport.write(self._answer)
            return
        self._head += self._memory[:nbytes]
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._head, 0, end)
        self._left = (int(length[1]) if length else 0) - (len(self._head) - end - 4)
        self._head = b""
        if self._left == 0:
            self._transport.write(self._answer)


async def serve(ports: list[int]) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    for port, version in zip(ports, (b"stable", b"canary"), strict=True):
        await loop.create_server(lambda version=version: Sink(version), HOST, port, backlog=1024)  # type: ignore[misc]
    gc.freeze()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
