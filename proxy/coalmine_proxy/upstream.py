"""One connection to an application: reads its answers and hands them to the exchange that waits.

It knows how an answer is framed, not what becomes of it. Without an exchange it is idle in the
pool, and a byte or a close from the other side takes it out.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

from coalmine_proxy.answer import CHUNKED, UNTIL_CLOSE, Response, parse_response
from coalmine_proxy.framing import ChunkedReader, CloseReader, LengthReader, Reader
from coalmine_proxy.head import END, Malformed
from coalmine_proxy.stats import INVALID, RESET, TIMEOUT
from coalmine_proxy.wheel import NEVER

if TYPE_CHECKING:
    from coalmine_proxy.exchange import Exchange
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.service import Service


class Upstream(asyncio.Protocol):
    """A connection to `peer`. `started` says that a byte of the present answer has come."""

    __slots__ = (
        "_buffer",
        "_paused",
        "_reader",
        "_response",
        "_service",
        "deadline",
        "epoch",
        "exchange",
        "peer",
        "started",
        "transport",
        "used",
    )

    transport: asyncio.Transport

    def __init__(self, service: Service, peer: Peer[Upstream], epoch: int) -> None:
        self._service = service
        self.peer = peer
        self.epoch = epoch
        self.exchange: Exchange | None = None
        self.deadline = NEVER
        self.used = 0.0
        self.started = False
        self._buffer = b""
        self._reader: Reader | None = None
        self._response: Response | None = None
        self._paused = False

    # --- the transport calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._service.wheel.add(self)
        self._service.stats.upstreams += 1

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # Nobody asked: whatever this is, it must not become the next request's answer.
            self.drop()
            return
        reader = self._reader
        try:
            if reader is None:
                self.started = True
                buffer = self._buffer
                if buffer:
                    self._buffer = b""
                    data = buffer + data
                self._heads(exchange, data)
                return
            payload = reader.feed(data)
        except Malformed:
            exchange.failed(INVALID)
            return
        done = reader.done
        exchange.answer_body(payload)
        if done:
            self._complete(exchange, reader.rest, reader.trailers)
        elif not self._paused:
            self.deadline = self._service.wheel.now + self._service.limits.stream

    def eof_received(self) -> bool | None:
        exchange = self.exchange
        reader = self._reader
        if exchange is None:
            self.drop()
        elif reader is not None and reader.end():
            self._complete(exchange, b"", b"")
        else:
            exchange.failed(RESET)
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        service = self._service
        service.wheel.remove(self)
        service.stats.upstreams -= 1
        exchange = self.exchange
        if exchange is None:
            service.pool.discard(self.peer, self)
        else:
            exchange.failed(RESET)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.pause()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.client.resume()

    # --- the exchange calls ---

    def begin(self, exchange: Exchange, data: bytes) -> None:
        """Send the head of a request and what there is of its body."""
        self.exchange = exchange
        self.started = False
        self.deadline = self._service.wheel.now + self._service.limits.first_byte
        self.transport.write(data)

    def detach(self) -> None:
        """The exchange is over; this connection is not in the pool, and not in use."""
        self.resume()
        self.exchange = None
        self._reader = None
        self._response = None
        self.deadline = NEVER

    def drop(self) -> None:
        """Leave the pool and close."""
        self._service.pool.discard(self.peer, self)
        self.detach()
        self.transport.abort()

    def keep(self) -> None:
        """Wait in the pool for the next request."""
        self.detach()
        service = self._service
        self.deadline = service.wheel.now + service.limits.pooled
        for surplus in service.pool.give(self.peer, self, service.clock()):
            surplus.drop()

    def leave(self) -> None:
        """The transport gets another protocol."""
        self.detach()
        self._service.wheel.remove(self)
        self._service.stats.upstreams -= 1

    def pause(self) -> None:
        """The client does not read: read no further either."""
        if not self._paused:
            self._paused = True
            self.deadline = NEVER
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.deadline = self._service.wheel.now + self._service.limits.stream
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def silent(self) -> bool:
        """Has the other side sent nothing, not even a close? Asks the kernel: the loop may not know yet."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)

    def expired(self) -> None:
        """The wheel found the deadline passed: no answer in time, or idle for long enough."""
        if self.exchange is None:
            self.drop()
        else:
            self.deadline = NEVER
            self.exchange.failed(TIMEOUT)

    # --- reading an answer ---

    def _heads(self, exchange: Exchange, data: bytes) -> None:
        """Read heads until the final one. Raises Malformed."""
        limits = self._service.limits
        while True:
            end = data.find(END)
            if end < 0:
                if len(data) > limits.head:
                    raise Malformed(502, "The head of the answer is too large.")
                self._buffer = data
                return
            if end > limits.head:
                raise Malformed(502, "The head of the answer is too large.")
            response = parse_response(data[:end], exchange.request.method, limits)
            data = data[end + 4 :]
            if response.status >= 200 or response.status == 101:
                break
            exchange.interim(response)
            if not data:
                return
        if response.status == 101:
            exchange.upgraded(response, data)
            return
        self._answer(exchange, response, data)

    def _answer(self, exchange: Exchange, response: Response, data: bytes) -> None:
        """The final head, and what came of the body with it."""
        length = response.length
        self._response = response
        if length == 0:
            exchange.answer(response, b"")
            self._complete(exchange, data, b"")
            return
        reader: Reader
        if length > 0:
            reader = LengthReader(length)
        elif length == CHUNKED:
            reader = ChunkedReader(self._service.limits)
        else:
            assert length == UNTIL_CLOSE
            reader = CloseReader()
        payload = reader.feed(data) if data else b""
        exchange.answer(response, payload)
        if reader.done:
            self._complete(exchange, reader.rest, reader.trailers)
        else:
            self._reader = reader
            if not self._paused:
                self.deadline = self._service.wheel.now + self._service.limits.stream

    def _complete(self, exchange: Exchange, rest: bytes, trailers: bytes) -> None:
        """The answer is whole. Bytes after it belong to nobody: such a connection is not kept."""
        response = self._response
        assert response is not None
        exchange.complete(trailers, response.keep_alive and not rest)
