"""One client's connection: reads requests one at a time, and ends in a way that loses no answer.

Input that comes while a request is being answered is held back, up to a bound, then no longer
read. A client that closes is gone: like nginx and Envoy, and unlike a server that hopes for a
half-open connection, we let go of the application's work at once and count it.

What does not speak HTTP/1 (TLS, HTTP/2) is recognized by its first bytes and passed on unread.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from coalmine_proxy.exchange import Exchange
from coalmine_proxy.forwarding import Origin
from coalmine_proxy.head import CRLF, END, Malformed
from coalmine_proxy.passthrough import Passthrough, spoken, undecided
from coalmine_proxy.request import parse_request
from coalmine_proxy.stats import TCP
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


_BARE_CR: Final = re.compile(rb"\r[^\n]")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")


class Downstream:
    """A connection of a client. `buffer` is input that nobody has read yet."""

    __slots__ = (
        "_deaf",
        "_discarded",
        "_fresh",
        "_holding",
        "_service",
        "_stopped",
        "blocked",
        "buffer",
        "deadline",
        "ended",
        "exchange",
        "origin",
        "passing",
        "transport",
    )

    def __init__(self, service: Service) -> None:
        self._service = service
        self.transport: asyncio.Transport
        self.origin: Origin
        self.exchange: Exchange | None = None
        self.passing: Passthrough | None = None
        self.buffer = b""
        self.deadline = NEVER
        #: The client does not read what we write.
        self.blocked = False
        #: No request has been read yet.
        self._fresh = True
        #: Two reasons not to read: too much is held back, or it cannot be passed on.
        self._holding = False
        self._stopped = False
        #: The client sends no more, and what it speaks is not HTTP.
        self.ended = False
        #: No more requests are read.
        self._deaf = False
        self._discarded = 0

    # --- the transport calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        service = self._service
        service.stats.clients += 1
        if len(service.clients) + service.stats.tunnels >= service.limits.connections:
            service.stats.clients_refused += 1
            self._deaf = True
            self.abort()
            return
        peer = transport.get_extra_info("peername")
        # A client that is gone already has no address any more.
        address = _plain(peer[0]) if peer else "unknown"
        self.origin = Origin(address.encode(), service.trust(address), partial(_asked, self.transport))
        self.deadline = service.wheel.now + service.limits.head_time
        service.wheel.add(self)
        service.clients.add(self)
        if service.protocol == TCP:
            self._pass(TCP, b"")

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            if self._deaf:
                self._unasked(data)
                return
            buffer = self.buffer
            self._request(buffer + data if buffer else data)
        elif exchange.reader is not None:
            try:
                exchange.body(data)
            except Malformed as error:
                self._bad_body(exchange, error)
            self._hold()
        else:
            self.buffer += data
            self._hold()

    def eof_received(self) -> bool | None:
        if self.passing is None:
            return None
        # A tunnel that is still being opened passes it on.
        self.ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        service = self._service
        service.wheel.remove(self)
        service.clients.discard(self)
        service.stats.clients -= 1
        service.quiet.set()
        self.buffer = b""
        self._deaf = True
        if self.exchange is not None:
            self.exchange.client_lost()
        elif self.passing is not None:
            self.passing.client_lost()

    def pause_writing(self) -> None:
        self.blocked = True
        self.deadline = self._service.wheel.now + self._service.limits.stream
        if self.exchange is not None:
            self.exchange.client_blocked()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.exchange is not None:
            self.watch()
            self.exchange.client_reads()
        elif not self._deaf:
            self._between()

    def expired(self) -> None:
        """The wheel found the deadline passed."""
        self.deadline = NEVER
        exchange = self.exchange
        if exchange is not None and not exchange.answered and not self.blocked:
            exchange.client_silent()
            self._refuse(Malformed(408, "The body of the request did not arrive in time."))
        elif exchange is not None or self._deaf or self.blocked:
            self.abort()
        elif self.buffer:
            self._refuse(Malformed(408, "The head of the request did not arrive in time."))
        else:
            self._close()

    # --- the exchange calls ---

    def done(self, close: bool, whole: bool) -> None:
        """The answer is written. `whole`: so was the request; otherwise its rest is thrown away."""
        if self._stopped:
            self.go_on()
        if close or not whole:
            self._finish(drained=whole and not self.buffer)
        elif not self.blocked:
            self._between()

    def _between(self) -> None:
        """No request is being answered: go on with the next, or wait for it."""
        service = self._service
        if self.buffer or self._holding:
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

    def stop(self) -> None:
        """What the client sends cannot be passed on now: read no further."""
        self._stopped = True
        self._read_or_not()

    def go_on(self) -> None:
        """It can be passed on again."""
        self._stopped = False
        self._read_or_not()

    def _hold(self) -> None:
        """Read no further while more is held back than may be."""
        if len(self.buffer) > self._service.limits.held:
            self._holding = True
            self._read_or_not()

    def _read_or_not(self) -> None:
        if self.transport.is_closing():
            return
        if self._holding or self._stopped:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def watch(self) -> None:
        """During an exchange: the client's time, to read what it was sent or to send a body, runs or does not."""
        exchange = self.exchange
        if exchange is not None:
            waits = self.blocked or (exchange.reader is not None and not self._stopped)
            self.deadline = self._service.wheel.now + self._service.limits.stream if waits else NEVER

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
        """Close if nothing has been asked. The first request of a new connection is on its way: it may take as long as
        opening one.
        """
        if self.exchange is None and self.passing is None and not self.buffer and not self._deaf:
            if self._fresh:
                self.deadline = min(self.deadline, self._service.wheel.now + self._service.limits.connect)
            else:
                self.transport.close()

    # --- reading requests ---

    def _next(self) -> None:
        """Go on with input that was held back."""
        if self.exchange is None and not self._deaf and not self.blocked and not self.transport.is_closing():
            if self.buffer:
                self._request(self.buffer)
            if len(self.buffer) <= self._service.limits.held:
                self._holding = False
                self._read_or_not()

    def _request(self, data: bytes) -> None:
        """Read a head and begin an exchange, if the whole head is there."""
        service = self._service
        if self.blocked:
            # It does not read our answers: it gets no more of them.
            self.buffer = data
            self._hold()
            return
        if data[:2] == CRLF:
            # Empty lines before a request are ignored (RFC 9112 2.2; nginx and HAProxy take any number). The
            # deadline goes on meanwhile: they keep no connection open.
            data = data[len(_EMPTY_LINES.match(data)[0]) :]  # type: ignore[index]  # it matches
            if not data:
                self.buffer = b""
                return
        end = data.find(END)
        try:
            if end < 0 or end > service.limits.head:
                self._incomplete(data)
                return
            request = parse_request(data[:end], service.limits)
        except Malformed as error:
            if not (self._fresh and self._passes(data)):
                self._refuse(error)
            return
        self._fresh = False
        self.buffer = b""
        self.deadline = NEVER
        exchange = self.exchange = Exchange(service, self, request)
        try:
            exchange.start(data[end + 4 :])
        except Malformed as error:
            self._bad_body(exchange, error)
            return
        if request.length != 0 or self.blocked:
            self.watch()
        if self.buffer:
            self._hold()

    def _incomplete(self, data: bytes) -> None:
        """Wait for more. Raises Malformed for a beginning that can no longer become a good head."""
        limits = self._service.limits
        line = data.find(CRLF)
        # The line's own end may be cut in two.
        if (len(data) - data.endswith(b"\r") if line < 0 else line) > limits.line:
            raise Malformed(414, f"The request line is longer than {limits.line} bytes.")
        if len(data) > limits.head:
            raise Malformed(431, f"The head is larger than {limits.head} bytes.")
        if data.count(b"\n") != data.count(CRLF):
            raise Malformed(400, "A line ends in a bare LF; lines end in CRLF.")
        if data and data[0] < 0x21 and data != b"\r":
            raise Malformed(400, "This is not HTTP: TLS and HTTP/2 have to begin with a connection.")
        if _BARE_CR.search(data):
            raise Malformed(400, "A line ends in a bare CR; lines end in CRLF.")
        self._wait(data)

    def _wait(self, data: bytes) -> None:
        """More has to come before anything can be said."""
        # A lone CR may be half an empty line, which wins no time.
        if not self.buffer and data != b"\r":
            self.deadline = self._service.wheel.now + self._service.limits.head_time
        self.buffer = data

    def _passes(self, data: bytes) -> bool:
        """Is this the beginning of another protocol? If so, act on it."""
        protocol = spoken(data)
        if protocol:
            self._pass(protocol, data)
            return True
        if undecided(data):
            self._wait(data)
            return True
        return False

    def _pass(self, protocol: str, data: bytes) -> None:
        """Hand the connection on unread."""
        self.buffer = data
        self.deadline = NEVER
        self._deaf = True
        self.stop()
        self.passing = Passthrough(self._service, self, protocol)
        self.passing.start()

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
        self._deaf = True
        if drained:
            self._close()
            return
        limits = self._service.limits
        # An answer that is still on its way has the time of any other.
        waits = limits.stream if self.transport.get_write_buffer_size() else limits.linger
        self.deadline = self._service.wheel.now + waits
        if not self.transport.is_closing():
            self.transport.write_eof()
        self._holding = self._stopped = False
        self._read_or_not()

    def _close(self) -> None:
        """Close once everything is written; a client that does not read is not waited for for ever."""
        self._deaf = True
        self.deadline = self._service.wheel.now + self._service.limits.stream
        self.transport.close()

    def _unasked(self, data: bytes) -> None:
        """Input that is no request: for a tunnel that is being opened, or after the last answer."""
        if self.passing is not None:
            # To pause a connection before it was first read from has no effect.
            self.buffer += data
            self._read_or_not()
            return
        self._discarded += len(data)
        if self._discarded > self._service.limits.linger_bytes:
            self.transport.close()


def _asked(transport: asyncio.Transport) -> bytes:
    """Our own address, as the client knows it.

    No method: a closed connection that refers to itself would be left to the garbage collector.
    """
    own = transport.get_extra_info("sockname")
    host = _plain(own[0])
    return (f"[{host}]:{own[1]}" if ":" in host else f"{host}:{own[1]}").encode()


def _plain(address: str) -> str:
    """An IPv4 address is written as one, also when it came through an IPv6 socket."""
    return address.removeprefix("::ffff:")
