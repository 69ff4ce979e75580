"""One client's connection: reads requests one at a time, and ends in a way that loses no answer.

Input that comes while a request is being answered is held back, up to a bound, then no longer
read. A client that closes is gone: like nginx and Envoy, and unlike a server that hopes for a
half-open connection, we let go of the application's work at once and count it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final, cast

from coalmine_proxy.exchange import Exchange
from coalmine_proxy.head import CRLF, END, Malformed
from coalmine_proxy.request import parse_request
from coalmine_proxy.wheel import NEVER

if TYPE_CHECKING:
    from coalmine_proxy.service import Service

_REASONS: Final = {
    400: b"Bad Request",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}


class Downstream(asyncio.Protocol):
    """A connection of a client. `buffer` is input that nobody has read yet."""

    __slots__ = (
        "_discarded",
        "_lingering",
        "_paused",
        "_service",
        "address",
        "asked",
        "blocked",
        "buffer",
        "deadline",
        "exchange",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, service: Service) -> None:
        self._service = service
        self.exchange: Exchange | None = None
        self.buffer = b""
        self.deadline = NEVER
        #: The client does not read what we write.
        self.blocked = False
        self.address = b""
        self.asked = b""
        self._paused = False
        self._lingering = False
        self._discarded = 0

    # --- the transport calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        service = self._service
        peer = self.transport.get_extra_info("peername")
        own = self.transport.get_extra_info("sockname")
        # A client that is gone already has no address any more.
        self.address = _plain(peer[0]).encode() if peer else b"unknown"
        host = _plain(own[0])
        self.asked = (f"[{host}]:{own[1]}" if ":" in host else f"{host}:{own[1]}").encode()
        self.deadline = service.wheel.now + service.limits.head_time
        service.wheel.add(self)
        service.clients.add(self)
        service.stats.clients += 1

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            if self._lingering:
                self._discard(data)
                return
            buffer = self.buffer
            self._request(buffer + data if buffer else data)
        elif exchange.reader is not None:
            try:
                exchange.body(data)
            except Malformed as error:
                self._bad_body(exchange, error)
        else:
            self.buffer += data
            if len(self.buffer) > self._service.limits.held:
                self.pause()

    def connection_lost(self, exc: Exception | None) -> None:
        service = self._service
        service.wheel.remove(self)
        service.clients.discard(self)
        service.stats.clients -= 1
        service.quiet.set()
        self.buffer = b""
        self._lingering = True
        if self.exchange is not None:
            self.exchange.client_lost()

    def pause_writing(self) -> None:
        self.blocked = True
        if self.exchange is not None:
            self.deadline = self._service.wheel.now + self._service.limits.stream
            if self.exchange.upstream is not None:
                self.exchange.upstream.pause()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.exchange is not None:
            uploading = self.exchange.reader is not None
            self.deadline = self._service.wheel.now + self._service.limits.stream if uploading else NEVER
            if self.exchange.upstream is not None:
                self.exchange.upstream.resume()

    def expired(self) -> None:
        """The wheel found the deadline passed."""
        self.deadline = NEVER
        if self.exchange is not None or self._lingering:
            self.abort()
        elif self.buffer:
            self._refuse(Malformed(408, "The head of the request did not arrive in time."))
        else:
            self._close()

    # --- the exchange calls ---

    def done(self, close: bool, whole: bool) -> None:
        """The answer is written. `whole`: so was the request; otherwise its rest is thrown away."""
        service = self._service
        if close or not whole:
            self._finish(drained=whole and not self.buffer)
        elif self.buffer or self._paused:
            self.deadline = service.wheel.now + service.limits.head_time
            # Not from here: a client that sends a thousand bad requests at once would nest as deep.
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self.deadline = service.wheel.now + service.limits.idle

    def say(self, status: int, sentence: str, close: bool, head_only: bool = False) -> None:
        """Write an answer of our own."""
        body = sentence.encode() + b"\n"
        self.transport.write(
            CRLF.join(
                (
                    b"HTTP/1.1 %d %b" % (status, _REASONS[status]),
                    b"Content-Type: text/plain; charset=utf-8",
                    b"Content-Length: %d" % len(body),
                    b"Connection: close" if close else b"Connection: keep-alive",
                    CRLF,
                )
            )
            + (b"" if head_only else body)
        )

    def pause(self) -> None:
        """Read no further: what has been read cannot be passed on."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def abort(self) -> None:
        """End with a reset, so that nobody takes what was sent for the whole."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def leave(self) -> None:
        """The transport gets another protocol."""
        self._service.wheel.remove(self)
        self._service.clients.discard(self)
        self._service.stats.clients -= 1

    def close_idle(self) -> None:
        """Close if nothing has been asked."""
        if self.exchange is None and not self.buffer and not self._lingering:
            self.transport.close()

    # --- reading requests ---

    def _next(self) -> None:
        """Go on with input that was held back."""
        if self.exchange is None and not self._lingering and not self.transport.is_closing():
            self.resume()
            if self.buffer:
                self._request(self.buffer)

    def _request(self, data: bytes) -> None:
        """Read a head and begin an exchange, if the whole head is there."""
        service = self._service
        if data[:2] == CRLF:
            # An empty line before a request is ignored (RFC 9112 2.2); no honest client sends more than one.
            data = data[2:]
            if not data:
                self.buffer = b""
                return
        end = data.find(END)
        try:
            if end < 0 or end > service.limits.head:
                self._incomplete(data)
                if not self.buffer:
                    self.deadline = service.wheel.now + service.limits.head_time
                self.buffer = data
                return
            request = parse_request(data[:end], service.limits)
        except Malformed as error:
            self._refuse(error)
            return
        self.buffer = b""
        self.deadline = NEVER
        exchange = self.exchange = Exchange(service, self, request, service.clock())
        try:
            exchange.start(data[end + 4 :])
        except Malformed as error:
            self._bad_body(exchange, error)
            return
        if exchange is self.exchange and (exchange.reader is not None or self.blocked):
            self.deadline = service.wheel.now + service.limits.stream

    def _incomplete(self, data: bytes) -> None:
        """Refuse a beginning that can no longer become a good head. Raises Malformed."""
        limits = self._service.limits
        line = data.find(CRLF)
        if (len(data) if line < 0 else line) > limits.line:
            raise Malformed(414, f"The request line is longer than {limits.line} bytes.")
        if len(data) > limits.head:
            raise Malformed(431, f"The head is larger than {limits.head} bytes.")
        if data.count(b"\n") != data.count(CRLF):
            raise Malformed(400, "A line ends in a bare LF; lines end in CRLF.")
        if data[:2] == CRLF:
            raise Malformed(400, "There are empty lines before the request.")
        if data and data[0] < 0x21 and data != b"\r":
            raise Malformed(400, "This is not HTTP: TLS and other protocols are not spoken on this port.")

    def _refuse(self, error: Malformed) -> None:
        """Answer a request that was not understood; where the next one begins is not known."""
        refused = self._service.stats.refused
        refused[error.status] = refused.get(error.status, 0) + 1
        self.say(error.status, str(error), close=True)
        self._finish(drained=False)

    def _bad_body(self, exchange: Exchange, error: Malformed) -> None:
        """The client's body cannot be read on: its fault, no version's."""
        exchange.abandon()
        if exchange.answered:
            self.abort()
        else:
            self._refuse(error)

    # --- ending ---

    def _finish(self, drained: bool) -> None:
        """Close after what was written. Input that is still to come would turn the close
        into a reset and destroy the answer, so it is read and thrown away for a while.
        """
        self.buffer = b""
        self._lingering = True
        if drained:
            self._close()
            return
        limits = self._service.limits
        # An answer that is still on its way has the time of any other.
        waits = limits.stream if self.transport.get_write_buffer_size() else limits.linger
        self.deadline = self._service.wheel.now + waits
        if not self.transport.is_closing():
            self.transport.write_eof()
        self.resume()

    def _close(self) -> None:
        """Close once everything is written; a client that does not read is not waited for for ever."""
        self._lingering = True
        self.deadline = self._service.wheel.now + self._service.limits.stream
        self.transport.close()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._service.limits.linger_bytes:
            self.transport.close()


def _plain(address: str) -> str:
    """An IPv4 address is written as one, also when it came through an IPv6 socket."""
    return address.removeprefix("::ffff:")
