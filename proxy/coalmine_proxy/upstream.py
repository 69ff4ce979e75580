"""One connection to an application: reads its answers and hands them to whoever asked.

It knows how an answer is framed, not what becomes of it. Without an asker it is idle in the
pool, and a byte or a close from the other side takes it out.
"""

from __future__ import annotations

import asyncio
import os
import select
from typing import TYPE_CHECKING, Final, cast

from coalmine_proxy.answer import Response, parse_response
from coalmine_proxy.framing import CHUNKED, UNTIL_CLOSE, ChunkedReader, CloseReader, LengthReader, Reader
from coalmine_proxy.head import CRLF, END, Malformed
from coalmine_proxy.stats import INVALID, RESET, TIMEOUT
from coalmine_proxy.wheel import NEVER

if TYPE_CHECKING:
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.service import Service

#: What is read of an answer after its connection broke: as much as the kernel usually holds for one.
_LAST_BYTES: Final = 256 * 1024


_BEGINS: Final = b"HTTP/1."


class Asker:
    """Whoever waits for an answer: a client's exchange, or a mirrored copy of a request.

    A passthrough waits for a connection alone: of these it has the last three, and the others are never called.
    Compiled, a class has one base only; so this is one interface and not two.
    """

    def __init__(self, method: bytes, until: float = NEVER) -> None:
        """`method` is the request's: a HEAD's answer has no body. Nobody waits beyond `until`."""
        self.method = method
        self.until = until

    def interim(self, response: Response) -> None:
        """A 1xx."""
        raise NotImplementedError

    def answer(self, response: Response, data: bytes, body: int) -> None:
        """The final head, and what there is of the body from `body` on; nothing behind it."""
        raise NotImplementedError

    def answer_body(self, payload: bytes) -> None:
        """More of the answer's body."""
        raise NotImplementedError

    def complete(self, trailers: bytes, reusable: bool) -> None:
        """The answer is whole; `reusable`: its connection could carry another."""
        raise NotImplementedError

    def upgraded(self, response: Response, data: bytes) -> None:
        """A 101, and what came after it."""
        raise NotImplementedError

    def failed(self, cause: int) -> None:
        """The connection closed, fell silent, or did not speak HTTP."""
        raise NotImplementedError

    def full(self) -> None:
        """The application does not read: send no more."""
        raise NotImplementedError

    def drained(self) -> None:
        """It reads again."""
        raise NotImplementedError

    def connected(self, upstream: Upstream) -> None:
        """A new connection is open."""
        raise NotImplementedError

    def unconnected(self, peer: Peer[Upstream]) -> None:
        """No connection to `peer`, or it was not the pod that it should be."""
        raise NotImplementedError

    def exhausted(self) -> None:
        """This pod has no file descriptor or port left for a connection: no version's fault."""
        raise NotImplementedError


class Upstream:
    """A connection to `peer`. `started` says that a byte of the present answer has come."""

    __slots__ = (
        "_buffer",
        "_keep",
        "_paused",
        "_reader",
        "_service",
        "asker",
        "deadline",
        "epoch",
        "peer",
        "started",
        "transport",
        "used",
    )

    def __init__(self, service: Service, peer: Peer[Upstream], epoch: int) -> None:
        self._service = service
        self.peer = peer
        self.epoch = epoch
        self.asker: Asker | None = None
        self.transport: asyncio.Transport
        self.deadline = NEVER
        self.used = 0.0
        self.started = False
        self._buffer = b""
        self._reader: Reader | None = None
        #: The present answer lets its connection be used again.
        self._keep = False
        self._paused = False

    # --- the transport calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._service.wheel.add(self)
        self._service.stats.upstreams += 1

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:
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
                self._heads(asker, data)
                return
            payload = reader.feed(data)
        except Malformed:
            asker.failed(INVALID)
            return
        done = reader.done
        if payload:
            asker.answer_body(payload)
        if done:
            asker.complete(reader.trailers, self._keep and not reader.rest)
        elif not self._paused:
            self._watch(asker)

    def eof_received(self) -> bool | None:
        asker = self.asker
        reader = self._reader
        if asker is None:
            self.drop()
        elif reader is not None and reader.end():
            asker.complete(b"", False)
        else:
            asker.failed(RESET)
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        service = self._service
        service.wheel.remove(self)
        service.stats.upstreams -= 1
        if self.asker is not None and exc is not None:
            self._last_words()
        asker = self.asker
        if asker is None:
            service.pool.discard(self.peer, self)
        else:
            asker.failed(RESET)

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.full()

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.drained()

    # --- the asker calls ---

    def begin(self, asker: Asker, data: bytes) -> None:
        """Send the head of a request and what there is of its body."""
        self.asker = asker
        self.started = False
        self.deadline = min(self._service.wheel.now + self._service.limits.first_byte, asker.until)
        self.transport.write(data)

    def detach(self) -> None:
        """The asker needs it no more; this connection is not in the pool, and not in use."""
        if self._paused:
            self.resume()
        self.asker = None
        self._reader = None
        self.deadline = NEVER

    def drop(self) -> None:
        """Leave the pool and close."""
        self._service.pool.discard(self.peer, self)
        self.detach()
        self.transport.abort()

    def keep(self, now: float) -> None:
        """Wait in the pool for the next request."""
        self.detach()
        service = self._service
        self.deadline = service.wheel.now + service.limits.pooled
        for surplus in service.pool.give(self.peer, self, now):
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
        if self.asker is None:
            self.drop()
        else:
            self.deadline = NEVER
            self.asker.failed(TIMEOUT)

    def _watch(self, asker: Asker) -> None:
        """The next piece of the answer has its time."""
        self.deadline = min(self._service.wheel.now + self._service.limits.stream, asker.until)

    # --- reading an answer ---

    def _heads(self, asker: Asker, data: bytes) -> None:
        """Read heads until the final one. Raises Malformed."""
        limits = self._service.limits
        while True:
            end = data.find(END)
            if end < 0:
                if len(data) > limits.head:
                    raise Malformed(502, "The head of the answer is too large.")
                if data[:7] != _BEGINS[: len(data)] or data.count(b"\n") != data.count(CRLF):
                    raise Malformed(502, "The answer is not HTTP/1.")
                self._buffer = data
                return
            if end > limits.head:
                raise Malformed(502, "The head of the answer is too large.")
            response = parse_response(data[:end], asker.method, limits)
            if response.status >= 200 or response.status == 101:
                break
            data = data[end + 4 :]
            asker.interim(response)
            if not data:
                return
        if response.status == 101:
            asker.upgraded(response, data[end + 4 :])
            return
        self._answer(asker, response, data, end + 4)

    def _answer(self, asker: Asker, response: Response, data: bytes, body: int) -> None:
        """The final head, and what came of the body with it, from `body` on. Raises Malformed.

        Bytes after an answer belong to nobody: such a connection is not kept.
        """
        length = response.length
        if length >= 0:
            surplus = len(data) - body - length
            if surplus >= 0:
                asker.answer(response, data if surplus == 0 else data[: body + length], body)
                asker.complete(b"", response.keep_alive and surplus == 0)
                return
            reader: Reader = LengthReader(length)
            reader.feed(data[body:])
        elif length == CHUNKED:
            reader = ChunkedReader(self._service.limits)
            payload = reader.feed(data[body:])
            data = payload
            body = 0
        else:
            assert length == UNTIL_CLOSE
            reader = CloseReader()
        asker.answer(response, data, body)
        if reader.done:
            asker.complete(reader.trailers, response.keep_alive and not reader.rest)
            return
        self._keep = response.keep_alive
        self._reader = reader
        if not self._paused:
            self._watch(asker)

    def _last_words(self) -> None:
        """An application that refuses an upload answers and closes; our next write then breaks the connection.

        The loop gives it up at once, but the answer came before: the kernel still has it.
        """
        sock = self.transport.get_extra_info("socket")
        try:
            data = b"" if sock is None else os.read(sock.fileno(), _LAST_BYTES)
        except (OSError, ValueError):
            return
        # An answer that is not whole then is a broken one: nothing says that it ended here.
        if data:
            self.data_received(data)
