"""The application of the article: one colour and one status a release, as JSON over HTTP/1.1.

    GET /         {"color": "blue", "status": "ok"}
    POST /        the same and "received", the number of bytes of the body
    GET /healthz  {"status": "up"}, whatever the release

Release 3.0 is the bad one: it runs well, but its status says ``nok``. The standard library is all
that it needs; uvloop is used where it is installed. On SIGTERM it stops listening, answers what
has arrived with ``Connection: close``, and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from typing import Final, cast

RELEASES: Final = {
    "1.0": {"color": "red", "status": "ok"},
    "2.0": {"color": "blue", "status": "ok"},
    "3.0": {"color": "black", "status": "nok"},
    "4.0": {"color": "green", "status": "ok"},
}
#: Far more than any client of ours sends; an endless header is an attack.
MAX_HEAD: Final = 64 * 1024
#: A chunk's size line: 16 hexadecimal digits and an extension.
MAX_LINE: Final = 1024
#: A connection that says nothing may be in the middle of sending a request: after SIGTERM it is
#: given this long before it is closed.
LINGER_SECONDS: Final = 0.5
#: After this, unfinished requests are given up.
DRAIN_SECONDS: Final = 5.0


class BadRequestError(Exception):
    """The request is not HTTP/1.1 as we understand it."""


class Body:
    """Counts the bytes of one request's body, fed piece by piece."""

    def __init__(self, length: int | None) -> None:
        """`length` in bytes, or None for chunked."""
        self.received = 0
        self.done = length == 0
        self._chunked = length is None
        self._left = length or 0
        self._expect = "size"  # size, data, end (the CRLF after data), trailer

    def feed(self, data: bytearray) -> None:
        """Take what belongs to the body off the front of `data`. Raises BadRequestError."""
        while data and not self.done:
            if not self._chunked:
                self._take(data)
                self.done = self._left == 0
            elif self._expect == "data":
                self._take(data)
                if self._left == 0:
                    self._expect = "end"
            else:
                end = data.find(b"\r\n")
                if end < 0:
                    if len(data) > MAX_LINE:
                        raise BadRequestError("a chunk's line is too long")
                    return
                line = bytes(data[:end])
                del data[: end + 2]
                self._line(line)

    def _take(self, data: bytearray) -> None:
        size = min(self._left, len(data))
        del data[:size]
        self._left -= size
        self.received += size

    def _line(self, line: bytes) -> None:
        if self._expect == "end":
            if line:
                raise BadRequestError("a chunk is longer than it says")
            self._expect = "size"
        elif self._expect == "trailer":
            self.done = not line
        else:
            digits = line.split(b";")[0].strip()
            try:
                self._left = int(digits, 16)
            except ValueError as error:
                raise BadRequestError("a chunk's size is not a number") from error
            self._expect = "data" if self._left else "trailer"


class Connection(asyncio.Protocol):
    """One client connection; requests on it are answered in order."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._request: tuple[str, str, bool] | None = None
        self._body = Body(0)

    @property
    def idle(self) -> bool:
        """Nothing of a request has arrived that was not answered."""
        return self._request is None and not self._data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._server.check()

    def eof_received(self) -> bool:
        return False  # all complete requests are answered already: close

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            while self._transport is not None and not self._transport.is_closing() and self._step():
                pass
        except BadRequestError as error:
            self._answer(400, {"error": str(error)}, keep=False)

    def _step(self) -> bool:
        """Read on; whether there may be more to do."""
        if self._request is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                if len(self._data) > MAX_HEAD:
                    raise BadRequestError("the header is too long")
                return False
            head = bytes(self._data[:end])
            del self._data[: end + 4]
            self._request = self._parse(head)
        self._body.feed(self._data)
        if not self._body.done:
            return False
        method, path, keep = self._request
        self._request = None
        self._respond(method, path, keep)
        return bool(self._data)

    def _parse(self, head: bytes) -> tuple[str, str, bool]:
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise BadRequestError("the request line is malformed")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadRequestError("a header line has no colon")
            headers[name.strip().lower()] = value.strip()
        length: int | None
        if "chunked" in headers.get("transfer-encoding", "").lower():
            length = None
        else:
            text = headers.get("content-length", "0")
            if not text.isdigit():
                raise BadRequestError("Content-Length is not a number")
            length = int(text)
        self._body = Body(length)
        if headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection = headers.get("connection", "").lower()
        keep = "close" not in connection if parts[2] == "HTTP/1.1" else "keep-alive" in connection
        return parts[0], parts[1].partition("?")[0], keep

    def _respond(self, method: str, path: str, keep: bool) -> None:
        if path == "/healthz":
            self._answer(200, {"status": "up"}, keep)
        elif path != "/":
            self._answer(404, {"error": "not found"}, keep)
        elif method in ("GET", "HEAD"):
            self._answer(200, self._server.answer, keep, head=method == "HEAD")
        elif method == "POST":
            self._answer(200, {**self._server.answer, "received": self._body.received}, keep)
        else:
            self._answer(405, {"error": "method not allowed"}, keep)

    def _answer(self, status: int, content: dict[str, str | int], keep: bool, *, head: bool = False) -> None:
        if self._transport is None:
            return
        keep = keep and not self._server.stopping
        body = json.dumps(content).encode()
        lines = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{'' if keep else 'Connection: close' + chr(13) + chr(10)}\r\n"
        )
        self._transport.write(lines.encode() + (b"" if head else body))
        if not keep:
            self._transport.close()  # what was written goes out first


REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


class Server:
    """The listening socket and its connections."""

    def __init__(self, answer: dict[str, str]) -> None:
        self.answer: dict[str, str | int] = dict(answer)
        self.connections: set[Connection] = set()
        self.stopping = False
        self._gone = asyncio.Event()

    def check(self) -> None:
        if self.stopping and not self.connections:
            self._gone.set()

    async def serve(self, host: str, port: int, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        print(f"listening on {host}:{port}: {self.answer['color']}", flush=True)
        await stop.wait()
        # Connections that the kernel has completed wait in the backlog: one turn accepts them. One
        # that completes in the instant of the closing is reset, as by any server.
        await asyncio.sleep(0.05)
        listener.close()
        self.stopping = True
        self.check()
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            for connection in [c for c in self.connections if c.idle]:
                connection.close()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.close()


async def run(release: str, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Server(RELEASES[release]).serve(host, port, stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", required=True, choices=sorted(RELEASES))
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  it serves a pod
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args()
    try:
        import uvloop
    except ImportError:
        asyncio.run(run(options.release, options.host, options.port))
    else:
        uvloop.run(run(options.release, options.host, options.port))


if __name__ == "__main__":
    main()
