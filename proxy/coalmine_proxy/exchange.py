"""One request and its answer: the relay between a client's connection and an application's.

Rules (RFC 9110 9.2.2, and the project's list for proxies):
- When connecting fails, any request goes to another endpoint of its arm, then to stable: nothing
  of it has been sent. Of its body no more is read than may be held.
- When a kept connection dies before the first byte of its answer, a request that may be
  sent twice, and is whole in hand, is sent once more, on a fresh connection.
- A request that must not be sent twice goes out on a kept connection only if that was used a moment
  ago and the kernel knows of nothing from its peer.
- Every failed attempt is charged to the arm that failed it, though the request be answered in the end.
- After the head of an answer has gone out, a failure aborts the client's connection: a
  truncated answer never ends cleanly.

An exchange makes decisions and writes; it neither parses nor waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coalmine_proxy.answer import Response
from coalmine_proxy.framing import CHUNKED, ChunkedReader, LengthReader, chunk, last_chunk
from coalmine_proxy.head import CRLF
from coalmine_proxy.request import IDEMPOTENT, Request
from coalmine_proxy.seeker import Seeker
from coalmine_proxy.stats import ABORTED, CONNECT, INVALID, NO_ENDPOINT, RESET, TIMEOUT
from coalmine_proxy.tunnel import open_tunnel
from coalmine_proxy.upstream import Upstream
from coalmine_proxy.wheel import NEVER

if TYPE_CHECKING:
    from coalmine_proxy.downstream import Downstream
    from coalmine_proxy.mirror import Copy
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.service import Service

#: What the client is told when no version's answer can be had, by cause.
_SENTENCES: Final = {
    CONNECT: (502, "No pod of the application accepted a connection."),
    RESET: (502, "The application closed the connection before its answer was complete."),
    INVALID: (502, "The application's answer was not HTTP."),
    TIMEOUT: (504, "The application did not answer in time."),
    NO_ENDPOINT: (503, "There is no pod that could answer."),
}


class Exchange(Seeker):
    """A request that is being answered. `reader` is None once the request's body has been read."""

    __slots__ = (
        "_chunked",
        "_close",
        "_cookie",
        "_fresh",
        "_full",
        "_mirror",
        "_outgoing",
        "_over",
        "_repeatable",
        "_reused",
        "_started",
        "_status",
        "answered",
        "client",
        "reader",
        "received",
        "request",
        "sent",
        "upstream",
    )

    def __init__(self, service: Service, client: Downstream, request: Request) -> None:
        arm, outside, cookie = service.table.route(request)
        super().__init__(service, request.method, arm, outside)
        self.client = client
        self.request = request
        self._started = service.clock()
        self._cookie = cookie
        self.upstream: Upstream | None = None
        self.reader: LengthReader | ChunkedReader | None = None
        self.answered = False
        #: Bytes of the two bodies.
        self.sent = 0
        self.received = 0
        self._outgoing = b""
        self._fresh = False
        #: The application does not read what is sent to it.
        self._full = False
        self._reused = False
        self._chunked = False
        self._close = False
        self._over = False
        self._status = 0
        self._repeatable = True
        self._mirror: Copy | None = None

    # --- the request's way ---

    def start(self, rest: bytes) -> None:
        """Send the request on. `rest` is what came after its head. Raises Malformed for a bad body."""
        service = self._service
        request = self.request
        client = self.client
        self._arm.stats.in_flight += 1
        self._outgoing = request.forward(client.origin)
        if service.table.mirrors:
            self._mirror = service.mirrors.begin(request, self._arm, self._outgoing)
        if request.length == 0:
            client.buffer = rest
        else:
            self.reader = ChunkedReader(service.limits) if request.length == CHUNKED else LengthReader(request.length)
            if rest:
                self._outgoing += self._read(rest)
        self._set_out()

    def _set_out(self) -> None:
        """Begin with what is in hand."""
        whole = self.reader is None
        self._repeatable = whole and self.method in IDEMPOTENT
        if whole and self._mirror is not None:
            self._mirror.send()
        self._go()

    def body(self, data: bytes) -> None:
        """More of the request's body. Raises Malformed."""
        out = self._read(data)
        upstream = self.upstream
        if upstream is None:
            self._outgoing += out
            if len(self._outgoing) > self._service.limits.held:
                self.client.stop()
        elif out:
            upstream.transport.write(out)
        if self.reader is None and self._mirror is not None:
            self._mirror.send()
        self.client.watch()
        self._watch()

    def _watch(self) -> None:
        """The application's time runs while something is expected of it, and not while the client is waited for."""
        upstream = self.upstream
        if upstream is None or self.client.blocked:
            return
        service = self._service
        if self.answered or self._full:
            upstream.deadline = service.wheel.now + service.limits.stream
        elif self.reader is None:
            upstream.deadline = service.wheel.now + service.limits.first_byte
        else:
            upstream.deadline = NEVER

    def _read(self, data: bytes) -> bytes:
        """What of `data` belongs to the body, framed for the way out."""
        reader = self.reader
        assert reader is not None
        out = reader.feed(data)
        self.sent += len(out)
        if reader.chunked:
            out = chunk(out)
        if reader.done:
            if reader.chunked:
                out += last_chunk(reader.trailers)
            self.client.buffer = reader.rest
            self.reader = None
        if self._mirror is not None:
            self._mirror.body(out)
        return out

    def _go(self) -> None:
        """Find an endpoint and a connection to it."""
        service = self._service
        before = self._arm
        peer = self._seek()
        arm = self._arm
        if arm is not before:
            before.stats.in_flight -= 1
            arm.stats.in_flight += 1
        if peer is None:
            self._fail_client(CONNECT if arm.peers else NO_ENDPOINT)
            return
        upstream: Upstream | None = None
        if not self._fresh:
            if self._repeatable:
                upstream = service.pool.take(peer)
            else:
                recent = service.clock() - service.limits.recent
                while (upstream := service.pool.take(peer, recent)) is not None and not upstream.silent():
                    upstream.drop()
        if upstream is None:
            service.connector.open(self, peer)
        else:
            self._reused = True
            self._attach(upstream)

    def connected(self, upstream: Upstream) -> None:
        """A new connection is open."""
        if self._over:
            upstream.keep(self._service.clock())
            return
        self._reused = False
        self._attach(upstream)

    def unconnected(self, peer: Peer[Upstream]) -> None:
        """No connection to `peer`, or it was not the pod that it should be."""
        if self._over:
            return
        self._charge(CONNECT)
        self._again(peer, last=False)

    def exhausted(self) -> None:
        """This pod has no file descriptor or port left for a connection: no version's fault."""
        if not self._over:
            self._service.stats.exhausted += 1
            self._fail_client(NO_ENDPOINT)

    def _again(self, peer: Peer[Upstream], last: bool) -> None:
        """Another attempt, without `peer`, or asking it last."""
        before = self._arm
        if last:
            self._shunned = (peer,)
            self._arm = self._service.table.again(before)
        else:
            self._turn_down(peer)
        before.stats.in_flight -= 1
        self._arm.stats.in_flight += 1
        self._go()

    def _attach(self, upstream: Upstream) -> None:
        self.upstream = upstream
        upstream.peer.in_flight += 1
        client = self.client
        if self.reader is not None:
            # Before anything is written: the connection may be full at once and pause the client again.
            client.go_on()
        outgoing = self._outgoing
        if not self._repeatable:
            self._outgoing = b""
        self._full = False
        upstream.begin(self, outgoing)
        self._watch()
        if client.blocked:
            upstream.pause()
        if self.reader is not None:
            client.watch()

    def full(self) -> None:
        """The application does not read: neither do we, and it is the one that is waited for."""
        self._full = True
        self.client.stop()
        self.client.watch()
        self._watch()

    def drained(self) -> None:
        """It reads again."""
        self._full = False
        self.client.go_on()
        self.client.watch()
        self._watch()

    def client_blocked(self) -> None:
        """The client does not read: neither do we, and it is the one that is waited for."""
        if self.upstream is not None:
            self.upstream.pause()

    def client_reads(self) -> None:
        """It reads again."""
        if self.upstream is not None:
            self.upstream.resume()
            self._watch()

    # --- the answer's way ---

    def interim(self, response: Response) -> None:
        """A 1xx. Clients of HTTP/1.0 do not know them (RFC 9110 15.2)."""
        if not self.request.http10:
            self.client.transport.write(CRLF.join([*response.forward(), CRLF]))

    def answer(self, response: Response, data: bytes, body: int) -> None:
        """The final head, and what there is of the body."""
        service = self._service
        request = self.request
        upstream = self.upstream
        assert upstream is not None
        self.answered = True
        self._outgoing = b""
        self._status = response.status
        self.received += len(data) - body
        close = (
            not request.keep_alive
            or service.closing
            # The local application says that it ends: so must this connection, before the pod does.
            or (response.close and upstream.peer.local)
            # The rest of the request is not waited for.
            or self.reader is not None
        )
        self._close = close
        if response.whole and not close and response.length >= 0 and not request.http10 and not self._cookie:
            self.client.transport.write(data)
            return
        lines = response.forward()
        payload = data[body:]
        if response.length < 0:
            if request.http10:
                self._close = close = True
            else:
                self._chunked = True
                lines.append(b"Transfer-Encoding: chunked")
                payload = chunk(payload)
        if self._cookie:
            lines.append(b"Set-Cookie: " + self._cookie)
        if close:
            lines.append(b"Connection: close")
        elif request.http10:
            lines.append(b"Connection: keep-alive")
        lines.append(CRLF)
        self.client.transport.write(CRLF.join(lines) + payload)

    def answer_body(self, payload: bytes) -> None:
        """More of the answer's body."""
        self.received += len(payload)
        self.client.transport.write(chunk(payload) if self._chunked else payload)

    def complete(self, trailers: bytes, reusable: bool) -> None:
        """The answer is whole; `reusable`: its connection could carry another."""
        client = self.client
        upstream = self.upstream
        assert upstream is not None
        if self._chunked:
            client.transport.write(last_chunk(trailers))
        arm = self._arm
        now = self._service.clock()
        milliseconds = (now - self._started) * 1000.0
        self._tally().answered(self._status, milliseconds)
        arm.succeeded(upstream.peer)
        if self._service.observer is not None:
            self._service.observer.answered(self, arm, upstream.peer, self._status, milliseconds)
        self._end()
        whole = self.reader is None
        # An answer may overtake the request's body: what is still to be sent must not meet the next request.
        if reusable and whole and (self.request.length == 0 or not upstream.transport.get_write_buffer_size()):
            upstream.keep(now)
        else:
            upstream.detach()
            upstream.transport.abort()
        client.done(self._close, whole)

    def upgraded(self, response: Response, data: bytes) -> None:
        """A 101: from here on bytes are passed on unread."""
        upstream = self.upstream
        assert upstream is not None
        if not self.request.upgrade or not response.upgrade:
            self.failed(INVALID)
            return
        arm = self._arm
        self._tally().codes[101] += 1
        arm.succeeded(upstream.peer)
        service = self._service
        service.stats.upgraded += 1
        if service.observer is not None:
            milliseconds = (service.clock() - self._started) * 1000.0
            service.observer.answered(self, arm, upstream.peer, 101, milliseconds)
        self._end()
        head = CRLF.join([*response.forward(), b"Connection: Upgrade", b"Upgrade: " + response.upgrade, CRLF])
        open_tunnel(service, self.client, upstream, head + data, arm.stats)

    # --- ends before time ---

    def failed(self, cause: int) -> None:
        """The connection to the application closed, fell silent, or did not speak HTTP."""
        if self._over:
            return
        upstream = self.upstream
        assert upstream is not None
        started = upstream.started
        upstream.detach()
        upstream.transport.abort()
        upstream.peer.in_flight -= 1
        self.upstream = None
        self._charge(cause)
        if cause == RESET and self._reused and self._repeatable and not started and not self._fresh:
            self._fresh = True
            self._again(upstream.peer, last=True)
            return
        self._fail_client(cause)

    def client_lost(self) -> None:
        """The client went away."""
        if self._over:
            return
        self._charge(ABORTED)
        self.abandon()

    def client_silent(self) -> None:
        """The client does not go on with its body."""
        self._charge(ABORTED)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the application's connection; what it is doing concerns nobody any more."""
        upstream = self.upstream
        self._end()
        if upstream is not None:
            upstream.detach()
            upstream.transport.abort()

    def _fail_client(self, cause: int) -> None:
        """Tell the client, if it has not been told anything else yet."""
        if self.answered:
            self._end()
            self.client.abort()
            return
        close = self.reader is not None or not self.request.keep_alive or self._service.closing
        whole = self.reader is None
        status, sentence = _SENTENCES[cause]
        self._end()
        self.client.say(status, sentence, close, head_only=self.method == b"HEAD")
        self.client.done(close, whole)

    def _charge(self, cause: int) -> None:
        """An attempt failed, or its client left."""
        super()._charge(cause)
        observer = self._service.observer
        if observer is not None:
            observer.failed(self, self._arm, self._peer, cause)

    def _end(self) -> None:
        """No call changes anything after this one."""
        self._over = True
        upstream = self.upstream
        if upstream is not None:
            upstream.peer.in_flight -= 1
            self.upstream = None
        self.client.exchange = None
        stats = self._arm.stats
        stats.in_flight -= 1
        stats.sent += self.sent
        stats.received += self.received
        if self._mirror is not None:
            self._mirror.done()
            self._mirror = None
