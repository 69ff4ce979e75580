"""One connection to the admin port, on the same parser and body readers as the proxy's own.

Requests are answered as soon as they are whole, one after the other. A body is bounded before
it is read, as what it says is believed only after its signature.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final, cast

from coalmine.model import names, wire
from coalmine_proxy.admin import TEXT, Admin, Later, Reply
from coalmine_proxy.framing import CHUNKED, ChunkedReader, LengthReader
from coalmine_proxy.head import CRLF, END, Malformed
from coalmine_proxy.limits import Limits
from coalmine_proxy.request import Request, parse_request
from coalmine_proxy.service import Service

_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    409: b"Conflict",
    413: b"Content Too Large",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}
#: The controller, the kubelet, Prometheus and the sidecars of some hundred peers; whoever opens more is none of these.
MAX_CONNECTIONS: Final = 512
#: Bodies whose signature is still to be checked, over all connections: two pushes of the largest size at once.
MAX_UNVERIFIED: Final = 2 * wire.MAX_DOCUMENT
_LOOPBACK: Final = ("127.0.0.1", "::1")
_SIGNATURE: Final = names.SIGNATURE_HEADER.encode() + b":"


class AdminConnection(asyncio.Protocol):
    """A connection of the controller, the kubelet, Prometheus, or a peer."""

    transport: asyncio.Transport

    def __init__(self, admin: Admin, limits: Limits, service: Service, connections: set[AdminConnection]) -> None:
        """Of `service` only its tasks and its wheel are needed."""
        self._admin = admin
        self._limits = limits
        self._tasks = service.tasks
        self._wheel = service.wheel
        self._connections = connections
        self.deadline = self._wheel.now + limits.head_time
        self._buffer = b""
        self._request: Request | None = None
        self._reader: LengthReader | ChunkedReader | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._inside = False
        self._closing = False
        self._blocked = False
        #: An answer is being put together.
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._inside = _inside(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        self._wheel.add(self)
        self._connections.add(self)
        if len(self._connections) > MAX_CONNECTIONS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._forget_body()
        self._wheel.remove(self)
        self._connections.discard(self)

    def pause_writing(self) -> None:
        """The other side does not read its answers: it gets no more of them, and is not read from."""
        self._blocked = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._blocked and not self._waiting:
            if not self.transport.is_closing():
                self.transport.resume_reading()
            self._go_on()

    def expired(self) -> None:
        """Neither a probe nor a push takes this long."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        try:
            while self._buffer and not self._closing and not self._blocked and not self._waiting:
                if self._request is None and not self._head():
                    break
                if not self._whole():
                    break
        except Malformed as error:
            self._write(Reply(error.status, f"{error}\n".encode(), TEXT), close=True)

    def _head(self) -> bool:
        """Read a head; False when it is not all there yet."""
        end = self._buffer.find(END)
        if end < 0 or end > self._limits.head:
            if len(self._buffer) > self._limits.head:
                raise Malformed(431, f"The head is larger than {self._limits.head} bytes.")
            return False
        request = parse_request(self._buffer[:end], self._limits)
        self._buffer = self._buffer[end + 4 :]
        if request.length > wire.MAX_DOCUMENT:
            raise Malformed(413, f"The body is larger than {wire.MAX_DOCUMENT} bytes.")
        self._request = request
        self._reader = ChunkedReader(self._limits) if request.length == CHUNKED else LengthReader(request.length)
        if any(line.lower() == b"expect: 100-continue" for line in request.lines):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _whole(self) -> bool:
        """Read the body and answer; False when it is not all there yet."""
        request, reader = self._request, self._reader
        assert request is not None
        assert reader is not None
        if not reader.done:
            data, self._buffer = self._buffer, b""
            piece = reader.feed(data)
            self._buffer = reader.rest
            self._size += len(piece)
            self._admin.unverified += len(piece)
            if self._size > wire.MAX_DOCUMENT:
                raise Malformed(413, f"The body is larger than {wire.MAX_DOCUMENT} bytes.")
            if self._admin.unverified > MAX_UNVERIFIED:
                raise Malformed(503, "Too many bodies are being sent at once.")
            self._body.append(piece)
        if not self._reader_done():
            return False
        self._request = self._reader = None
        body = b"".join(self._body)
        self._forget_body()
        reply = self._admin.handle(
            request.method.decode(),
            request.path.decode(),
            body,
            _signature(request),
            self._inside,
        )
        if isinstance(reply, Reply):
            self._answer(request, reply)
        else:
            # Meanwhile nothing is read: answers keep their order, and input its bound.
            self._waiting = True
            self.transport.pause_reading()
            self._tasks.create_task(self._later(request, reply))
        return True

    def _answer(self, request: Request, reply: Reply) -> None:
        self._write(reply, close=not request.keep_alive, head_only=request.method == b"HEAD")

    async def _later(self, request: Request, reply: Later) -> None:
        answer = await reply
        self._waiting = False
        if not self._closing and not self.transport.is_closing():
            self._answer(request, answer)
            self._read_on()

    def _forget_body(self) -> None:
        self._admin.unverified -= self._size
        self._size = 0
        self._body = []

    def _reader_done(self) -> bool:
        return self._reader is not None and self._reader.done

    def _write(self, reply: Reply, close: bool, head_only: bool = False) -> None:
        self.transport.write(
            CRLF.join(
                (
                    b"HTTP/1.1 %d %b" % (reply.status, _REASONS[reply.status]),
                    b"Content-Type: " + reply.content_type.encode(),
                    b"Content-Length: %d" % len(reply.body),
                    b"Connection: close" if close else b"Connection: keep-alive",
                    CRLF,
                )
            )
            + (b"" if head_only else reply.body)
        )
        self.deadline = self._wheel.now + self._limits.idle
        if close:
            # Half-closed: input that is still coming must not turn the answer into a reset.
            self._closing = True
            self._buffer = b""
            self._forget_body()
            self.deadline = self._wheel.now + self._limits.linger
            self.transport.write_eof()


def _signature(request: Request) -> str:
    for line in request.lines[1:]:
        if line[: len(_SIGNATURE)].lower() == _SIGNATURE:
            return line[len(_SIGNATURE) :].strip(b" \t").decode("latin-1")
    return ""


def _inside(peer: tuple[str, int] | None, own: tuple[str, int] | None) -> bool:
    """Does the connection come from this pod: over loopback, or from its own address to itself?

    Of loopback only the one address: a mesh that redirects what comes in uses others for its source.
    A pod whose own address is another one of loopback shares it with all others of its machine, whose
    connections come from 127.0.0.1 as well: then only its own address is inside.
    """
    if not peer or not own:
        return False
    source, here = _address(peer[0]), _address(own[0])
    if source == here:
        return True
    return str(source) in _LOOPBACK and (not here.is_loopback or str(here) in _LOOPBACK)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
