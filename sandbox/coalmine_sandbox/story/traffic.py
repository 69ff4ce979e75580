"""The user of the application: requests all the time, on kept and on fresh connections, never twice.

A client of its own, as every HTTP library retries somewhere, and here a request that fails must be
seen to fail. A kept connection that the server closed while nothing was under way, or
announced to close, is opened again, as RFC 9112 section 9.5 asks of every client.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: A request that takes this long has failed.
_PATIENCE: Final = 10.0
_MAX_BODY: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was sent and answered, the colour that came, or what went wrong."""

    sent: float
    ended: float
    colour: str
    failure: str


class Traffic:
    """`rate` requests a second in all, one in five on a connection of its own."""

    KEPT: Final = 8
    FRESH: Final = 2

    def __init__(self, host: str, port: int, rate: float, clock: Callable[[], float], dice: random.Random) -> None:
        self._host = host
        self._port = port
        self.rate = rate
        self._clock = clock
        self._dice = dice
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.KEPT):
                group.create_task(self._user(kept=True))
            for _ in range(self.FRESH):
                group.create_task(self._user(kept=False))

    async def _user(self, *, kept: bool) -> None:
        interval = (self.KEPT + self.FRESH) / self.rate
        connection: _Connection | None = None
        due = self._clock() + self._dice.random() * interval
        try:
            while True:
                await asyncio.sleep(max(0.0, due - self._clock()))
                due = max(due + interval, self._clock() - 1.0)  # after a stall, no burst
                if connection is None or not connection.usable:
                    if connection is not None:
                        connection.close()
                    connection = _Connection()
                self.samples.append(await self._request(connection, kept))
                if not kept:
                    connection.close()
                    connection = None
        finally:
            if connection is not None:
                connection.close()

    async def _request(self, connection: _Connection, kept: bool) -> Sample:
        sent = self._clock()
        colour = failure = ""
        try:
            async with asyncio.timeout(_PATIENCE):
                await connection.open(self._host, self._port)
                colour = await self._exchange(connection, kept)
        except (OSError, EOFError, ValueError, KeyError, TimeoutError) as error:
            failure = f"{type(error).__name__}: {error}"
            connection.usable = False
        return Sample(sent, self._clock(), colour, failure)

    async def _exchange(self, connection: _Connection, kept: bool) -> str:
        """One request and its answer; the colour. Raises ValueError for an answer that is wrong."""
        kind = self._dice.random()
        head = f"Host: {self._host}\r\n" + ("" if kept else "Connection: close\r\n")
        body = self._dice.randbytes(self._dice.randrange(1, _MAX_BODY)) if kind < 0.3 else b""
        if kind < 0.15:
            half = len(body) // 2
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:half], body[half:]) if c)
            request = f"POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        elif kind < 0.3:
            request = f"POST / HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        else:
            request = f"GET / HTTP/1.1\r\n{head}\r\n".encode()
        status, text = await connection.exchange(request)
        if status != 200:
            raise ValueError(f"status {status}: {text[:200]!r}")
        answer = json.loads(text)
        if body and answer["received"] != len(body):
            raise ValueError(f"{answer['received']} of {len(body)} bytes arrived")
        return str(answer["color"])


class _Connection:
    """One connection to the Service."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._last = False  # the server said that it closes

    @property
    def usable(self) -> bool:
        """Whether the next request may be sent on it, as far as the client can know."""
        return self._streams is None or not (self._last or self._streams[0].at_eof())

    @usable.setter
    def usable(self, value: bool) -> None:
        self._last = not value

    async def open(self, host: str, port: int) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(host, port)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        self._last = "close" in fields.get("connection", "").lower()
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunked(reader)
        else:
            body, self._last = await reader.read(), True
        return int(head[0].split()[1]), body


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            return body
