"""What is looked at of single requests, only when somebody asked for it: lines in the log, sizes.

Without either there is no observer, and requests do not pay for one. A line names no query and no
field of a request: these hold secrets.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from coalmine.model import wire
from coalmine_proxy.exposition import SIZE_EDGES
from coalmine_proxy.log import log
from coalmine_proxy.split import Random
from coalmine_proxy.stats import Snapshot

if TYPE_CHECKING:
    from coalmine_proxy.exchange import Exchange
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.routing import Arm
    from coalmine_proxy.upstream import Upstream


class Sizes:
    """A histogram of bytes."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SIZE_EDGES) + 1)
        self.total = 0

    def add(self, size: int) -> None:
        self.counts[bisect_left(SIZE_EDGES, size)] += 1
        self.total += size

    def snapshot(self) -> Snapshot:
        return {"counts": list(self.counts), "sum": self.total}


class Observer:
    """Sees every attempt that ends."""

    def __init__(self, random: Random, sample: float, sizes: bool) -> None:
        """`sample` is the part of requests that are logged, 0 to 1; `sizes`: count the bytes of bodies."""
        self._random = random
        self._sample = sample
        self._sizes = sizes
        self._sent: dict[str, Sizes] = {}
        self._received: dict[str, Sizes] = {}

    def answered(self, exchange: Exchange, arm: Arm, peer: Peer[Upstream], status: int, milliseconds: float) -> None:
        """A complete answer of the version."""
        if self._sizes:
            self._sent.setdefault(arm.name, Sizes()).add(exchange.sent)
            self._received.setdefault(arm.name, Sizes()).add(exchange.received)
        if self._sample and self._random() < self._sample:
            self._line(exchange, arm, peer, status=status, ms=round(milliseconds, 3))

    def failed(self, exchange: Exchange, arm: Arm, peer: Peer[Upstream] | None, cause: int) -> None:
        """An attempt without one."""
        if self._sample and self._random() < self._sample:
            self._line(exchange, arm, peer, cause=wire.CAUSES[cause])

    @staticmethod
    def _line(exchange: Exchange, arm: Arm, peer: Peer[Upstream] | None, **fields: object) -> None:
        request = exchange.request
        log(
            "info",
            "request",
            method=request.method.decode("latin-1"),
            path=request.path.decode("latin-1"),
            client=exchange.client.origin.address.decode(),
            arm=arm.name,
            endpoint=None if peer is None else f"{peer.endpoint.address}:{peer.endpoint.port}",
            sent=exchange.sent,
            received=exchange.received,
            **fields,
        )

    def snapshot(self) -> Snapshot:
        """What to add to the sidecar's own."""
        return {
            "requestBytes": {name: sizes.snapshot() for name, sizes in self._sent.items()},
            "responseBytes": {name: sizes.snapshot() for name, sizes in self._received.items()},
        }
