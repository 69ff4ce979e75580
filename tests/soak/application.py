"""The application of one pod, as a process of its own: it says who it is and writes down what it was asked.

Each head of a request is one line in its log (``nth id method``; nth counts on its connection), written
before anything else is done, so that a process that is killed has still told what had reached it. A connection that
begins like TLS or HTTP/2 is greeted by name and echoed, as is one that was upgraded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from urllib.parse import parse_qs

import uvloop
from tests.soak.messages import Message, chunked, digest, pattern, read_body, read_head, send

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: The beginning of a TLS record with a ClientHello: as much as a proxy can know one by.
HELLO = b"\x16\x03\x01\x02\x00\x01"


class Application:
    """One application: its connections, and whether it is about to leave."""

    def __init__(self, uid: str, version: str, write_down: Callable[[int, str, str], None]) -> None:
        """`write_down` is told the number on its connection, the id and the method of each request."""
        self._uid = uid
        self._version = version
        self._write_down = write_down
        self._closing = False
        self._idle: set[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = set()
        self._busy = 0
        self.gone = asyncio.Event()

    def leave(self) -> None:
        """As on SIGTERM: idle connections are closed, what is being answered is finished."""
        self._closing = True
        for reader, writer in self._idle:
            # What has been read already is answered.
            if not reader._buffer:  # type: ignore[attr-defined]  # streams do not tell otherwise
                writer.close()
        if not self._busy:
            self.gone.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        nth = 0
        try:
            # The first request of a connection is answered even when it comes late.
            while not (self._closing and nth):
                self._idle.add((reader, writer))
                first = await reader.readexactly(1)
                self._idle.discard((reader, writer))
                nth += 1
                self._busy += 1
                try:
                    if not await self._one(reader, writer, first, nth):
                        break
                finally:
                    self._busy -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side left
        finally:
            self._idle.discard((reader, writer))
            writer.close()
            if self._closing and not self._busy:
                self.gone.set()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, nth: int) -> bool:
        """Answer one request. May there be another?"""
        if first == HELLO[:1]:
            await reader.readexactly(len(HELLO) - 1)
            return await self._echo(reader, writer, (await reader.readline()).decode().strip(), b"")
        message = await read_head(reader, first)
        method, target, _ = message.start.split(" ")
        if method == "PRI":
            await reader.readexactly(6)
            return await self._echo(reader, writer, (await reader.readline()).decode().strip(), b"")
        identity = message.fields.get("x-id", "-")
        self._write_down(nth, identity, method)
        if "upgrade" in message.fields:
            head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: soak\r\n\r\n"
            return await self._echo(reader, writer, "", head)
        if message.fields.get("expect"):
            send(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        await read_body(reader, message, until_close=False)
        query = parse_qs(target.partition("?")[2])
        await asyncio.sleep(int(query.get("delay", ["0"])[0]) / 1000)
        how = query.get("how", ["length"])[0]
        head, body = self._answer(message, method, identity, int(query.get("size", ["64"])[0]), how)
        close = how == "close" or self._closing
        send(writer, head + (b"Connection: close\r\n\r\n" if close else b"\r\n"))
        # In two writes, and with a pause in the middle of large ones: an answer may be cut anywhere.
        half = len(body) // 2
        send(writer, body[:half])
        await writer.drain()
        send(writer, body[half:])
        await writer.drain()
        return not close

    def _answer(self, message: Message, method: str, identity: str, size: int, how: str) -> tuple[bytes, bytes]:
        body = pattern(identity, size)
        lines = [
            "HTTP/1.1 200 OK",
            f"X-Id: {identity}",
            f"X-Uid: {self._uid}",
            f"X-Version: {self._version}",
            f"X-Digest: {digest(message.body)}",
        ]
        if how == "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = chunked(body, 4000)
        elif how == "length":
            lines.append(f"Content-Length: {size}")
        return "\r\n".join([*lines, ""]).encode(), b"" if method == "HEAD" else body

    async def _echo(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: str, head: bytes
    ) -> bool:
        if identity:
            self._write_down(1, identity, "OPAQUE")
        send(writer, head + f"{self._uid} {self._version}\n".encode())
        while data := await reader.read(65536):
            send(writer, data)
            await writer.drain()
        return False


async def _run(address: str, port: int, uid: str, version: str, log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write_down(nth: int, identity: str, method: str) -> None:
        os.write(file, f"{nth} {identity} {method}\n".encode())

    application = Application(uid, version, write_down)
    server = await asyncio.start_server(application.serve, address, port, limit=1 << 18, backlog=512)
    print("ready", flush=True)

    def leave() -> None:
        server.close()
        application.leave()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
    await application.gone.wait()
    # What was accepted last has not been read yet.
    await asyncio.sleep(0.2)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]))
