"""What all connections of one sidecar share, and the changes that concern all of them.

Everything from outside is passed in here: clock, randomness, the loop's task group. `closing` says
that answers carry ``Connection: close``; it is kept as one attribute, as each answer asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from coalmine.model import wire
from coalmine.model.pieces import Pieces, at_once
from coalmine_proxy.forwarding import Trust
from coalmine_proxy.limits import Limits
from coalmine_proxy.mirror import Mirrors
from coalmine_proxy.pool import Peer, Pool
from coalmine_proxy.routing import Arm, Table
from coalmine_proxy.split import Random
from coalmine_proxy.stats import LOCAL, Snapshot, Stats
from coalmine_proxy.wheel import Wheel

if TYPE_CHECKING:
    from coalmine_proxy.connector import Connector
    from coalmine_proxy.downstream import Downstream
    from coalmine_proxy.observer import Observer
    from coalmine_proxy.tunnel import Tunnel
    from coalmine_proxy.upstream import Upstream


#: Endpoints from one yield to the next; each takes a microsecond.
_PEERS: Final = 32
#: What the port speaks, unless it is `stats.TCP`.
HTTP: Final = "http"


class Service:
    """The state of one sidecar."""

    connector: Connector

    def __init__(
        self,
        *,
        own: wire.Endpoint | None,
        limits: Limits,
        clock: Callable[[], float],
        random: Random,
        tasks: asyncio.TaskGroup,
        trust_all: bool = False,
        trust: Trust | None = None,
        protocol: str = HTTP,
        observer: Observer | None = None,
    ) -> None:
        """`own` is the application of this pod; None when there is none (a static file).

        `trust_all`: endpoints come from a file, not from a cluster; there is no uid to confirm.
        `trust` says whose X-Forwarded-For is believed, `protocol` what the port speaks (`HTTP` or
        `stats.TCP`); `observer` looks at single requests, if anything does.
        """
        self.own = own
        self.limits = limits
        self.clock = clock
        self.random = random
        self.tasks = tasks
        self.trust = trust or Trust()
        self.protocol = protocol
        self.observer = observer
        self.stats = Stats()
        self.wheel = Wheel(clock())
        self.pool: Pool[Upstream] = Pool(limits.idle_per_endpoint)
        self.clients: set[Downstream] = set()
        self.tunnels: set[Tunnel] = set()
        self.mirrors = Mirrors(self)
        self.draining = False
        #: When the drain began.
        self.drained_since: float | None = None
        self.closing = False
        #: Set whenever a connection ends, for whoever waits until none is left.
        self.quiet = asyncio.Event()
        self._trust_all = trust_all
        peers = [] if own is None else [self.pool.peer(own, local=True, trusted=True)]
        self._local: Arm = Arm(LOCAL, peers, self.stats.arm(LOCAL))
        self.table = Table(wire.LOCAL_ONLY, self._local, {}, self.stats, random)

    def _peer(self, endpoint: wire.Endpoint) -> Peer[Upstream]:
        """The own pod is local whatever the document says about its ports' confirmation."""
        if self.own is not None and endpoint.uid == self.own.uid:
            return self.pool.peer(self.own, local=True, trusted=True)
        return self.pool.peer(endpoint, trusted=self._trust_all)

    def apply(self, routing: wire.Routing) -> None:
        """Use `routing` from the next request on. Idle connections to endpoints that left are closed."""
        at_once(self.applying(routing))

    def applying(self, routing: wire.Routing, holds: Callable[[], None] = lambda: None) -> Pieces[None]:
        """`apply` in pieces, one configuration at a time. It takes hold as a whole, in one of them, in which `holds`
        is called.
        """
        pool = self.pool
        pool.begin()
        if self.own is not None:
            self._peer(self.own)
        peers: dict[str, list[Peer[Upstream]]] = {}
        for arm in routing.arms:
            found = peers[arm.name] = []
            for i, endpoint in enumerate(arm.endpoints):
                found.append(self._peer(endpoint))
                if i % _PEERS == 0:
                    yield
        self.table = Table(routing, self._local, peers, self.stats, self.random, self.table)
        self._settle()
        holds()
        yield
        for i, closing in enumerate(pool.retire()):
            for upstream in closing:
                upstream.transport.close()
                yield
            if i % _PEERS == 0:
                yield

    def snapshot(self) -> Snapshot:
        """Everything that is counted."""
        return self.stats.snapshot() | ({} if self.observer is None else self.observer.snapshot())

    def drain(self) -> None:
        """From now on every answer ends its connection, and the sidecar is not ready."""
        if self.drained_since is None:
            self.drained_since = self.clock()
        self.draining = True
        self._settle()

    @property
    def busy(self) -> bool:
        """Is anything left that a client waits for?"""
        return bool(self.clients or self.tunnels)

    def _settle(self) -> None:
        self.closing = self.draining or self.table.close or self.table.drain

    @property
    def accepting(self) -> bool:
        """Nothing says that this pod is about to leave."""
        return not (self.draining or self.table.drain)
