"""Copies of requests for a version that nobody waits for.

A copy never slows or fails the request itself: it is sent once the request is whole in hand, its
answer is thrown away, and whatever goes wrong with it is counted and nothing else. So that copies cannot
use up what requests need, there are only so many at once, and what is too large to hold is not copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine_proxy.answer import Response
from coalmine_proxy.request import Request
from coalmine_proxy.stats import FAILED, SENT, SKIPPED
from coalmine_proxy.upstream import Asker, Upstream

if TYPE_CHECKING:
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.routing import Arm
    from coalmine_proxy.service import Service


class Mirrors:
    """All copies under way."""

    __slots__ = ("_service", "incomplete", "open")

    def __init__(self, service: Service) -> None:
        self._service = service
        self.open: set[Copy] = set()
        #: Copies of requests whose bodies still come: a bound of their own, or slow uploads would stop all copying.
        self.incomplete = 0

    def begin(self, request: Request, arm: Arm, outgoing: bytes) -> Copy | None:
        """A copy of a request that goes to `arm`, if a route wants one. Its body is still to come."""
        target = self._service.table.mirror(request)
        if target is None or target is arm:
            return None
        # What is negotiated on the way (100-continue, an upgrade) can be negotiated with one side only.
        waits = request.length != 0
        if request.expects or request.upgrade or (waits and self.incomplete >= self._service.limits.mirrors):
            target.stats.mirrored[SKIPPED] += 1
            return None
        if waits:
            self.incomplete += 1
        return Copy(self._service, target, request.method, outgoing, waits)


class Copy(Asker):
    """One copy."""

    __slots__ = ("_arm", "_data", "_incomplete", "_outcome", "_received", "_sent", "_service", "_upstream")

    def __init__(self, service: Service, arm: Arm, method: bytes, head: bytes, incomplete: bool) -> None:
        super().__init__(method)
        self._incomplete = incomplete
        self._service = service
        self._arm = arm
        self._data = head
        self._received = 0
        self._sent = False
        self._outcome = ""
        self._upstream: Upstream | None = None

    # --- the exchange calls ---

    def body(self, out: bytes) -> None:
        """More of the request, as it is framed for the way out."""
        if not self._outcome:
            self._data += out
            if len(self._data) > self._service.limits.held:
                self._end(SKIPPED)

    def send(self) -> None:
        """The request is whole."""
        if self._outcome:
            return
        self._sent = True
        self._complete()
        service = self._service
        if len(service.mirrors.open) >= service.limits.mirrors:
            self._end(SKIPPED)
            return
        service.mirrors.open.add(self)
        self.until = service.wheel.now + service.limits.mirror
        peer = self._arm.choose(service.random, (), service.wheel.now)
        if peer is None:
            self._end(FAILED)
            return
        upstream = service.pool.take(peer)
        if upstream is None:
            service.connector.open(self, peer)
        else:
            self.connected(upstream)

    def done(self) -> None:
        """The request is over. A copy that was never whole is none."""
        if not self._sent and not self._outcome:
            self._end(SKIPPED)

    # --- the connection calls ---

    def connected(self, upstream: Upstream) -> None:
        if self._outcome:
            upstream.keep(self._service.clock())
            return
        self._upstream = upstream
        upstream.begin(self, self._data)
        self._data = b""

    def unconnected(self, peer: Peer[Upstream]) -> None:
        self._end(FAILED)

    def exhausted(self) -> None:
        self._end(FAILED)

    def interim(self, response: Response) -> None:
        pass

    def answer(self, response: Response, data: bytes, body: int) -> None:
        self._received += len(data) - body

    def answer_body(self, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > self._service.limits.mirror_bytes:
            self._let_go()
            self._end(SENT)

    def complete(self, trailers: bytes, reusable: bool) -> None:
        upstream = self._upstream
        self._upstream = None
        self._end(SENT)
        if upstream is not None:
            if reusable:
                upstream.keep(self._service.clock())
            else:
                upstream.detach()
                upstream.transport.abort()

    def upgraded(self, response: Response, data: bytes) -> None:
        self.failed(0)

    def failed(self, cause: int) -> None:
        self._let_go()
        self._end(FAILED)

    def full(self) -> None:
        pass  # all there is was written at once, and is bounded

    def drained(self) -> None:
        pass

    def _complete(self) -> None:
        """No more of the request is waited for."""
        if self._incomplete:
            self._incomplete = False
            self._service.mirrors.incomplete -= 1

    def _let_go(self) -> None:
        upstream = self._upstream
        self._upstream = None
        if upstream is not None:
            upstream.detach()
            upstream.transport.abort()

    def _end(self, outcome: str) -> None:
        if not self._outcome:
            self._complete()
            self._outcome = outcome
            self._data = b""
            self._arm.stats.mirrored[outcome] += 1
            self._service.mirrors.open.discard(self)
