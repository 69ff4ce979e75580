"""A sidecar on connections in memory. THE ONLY MODULE HERE THAT KNOWS THE PROXY'S INTERNALS.

It knows these names and no others: `Limits()`, `Service(...)` with `connector`, `apply`, `wheel.turn`, `stats`,
`clients`, `tunnels` and `pool`, `Downstream(service)`, `Upstream(service, peer, epoch)`, and the calls
`connector.open(exchange, peer)`, `exchange.connected(upstream)`, `exchange.unconnected(peer)`. Everything else in
this folder speaks bytes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from wire_transport import End, Transport
from wire_turns import Turns

from coalmine.model import wire
from coalmine.model.weights import Weight
from coalmine_proxy.connector import Connector
from coalmine_proxy.downstream import Downstream
from coalmine_proxy.limits import Limits
from coalmine_proxy.service import Service
from coalmine_proxy.upstream import Upstream

#: Where the application and the clients are said to be.
ORIGIN = ("10.0.0.2", 8080)
SIDECAR = ("10.0.0.1", 80)
CLIENT = ("10.0.0.9", 50000)


class MemoryConnector:
    """Opens connections in memory: each is an `End` that is given to `accept`."""

    def __init__(self, service: Service, turns: Turns, accept: Callable[[End], None]) -> None:
        self._service = service
        self._turns = turns
        self._accept = accept
        #: The next so many connections are refused.
        self.refuses = 0

    def open(self, exchange: Any, peer: Any) -> None:
        # Three turns, as with a real connection: the handshake, `connection_made`, and who waited for it.
        self._turns.call_soon(self._shake, exchange, peer)

    def _shake(self, exchange: Any, peer: Any) -> None:
        if self.refuses:
            self.refuses -= 1
            self._turns.call_soon(exchange.unconnected, peer)
            return
        upstream = Upstream(self._service, peer, peer.epoch)
        transport = Transport(self._turns, own=SIDECAR, peer=ORIGIN)
        transport.connect(upstream)
        self._accept(transport.end)
        self._turns.call_soon(self._connected, exchange, peer, upstream, transport)

    @staticmethod
    def _connected(exchange: Any, peer: Any, upstream: Upstream, transport: Transport) -> None:
        if transport.is_closing():
            exchange.unconnected(peer)
        else:
            exchange.connected(upstream)


class MemorySidecar:
    """One sidecar in front of one application."""

    def __init__(self, turns: Turns, accept: Callable[[End], None]) -> None:
        """`accept` gets each connection to the application."""
        self._turns = turns
        self._service = _service(turns.time)
        self.connector = MemoryConnector(self._service, turns, accept)
        self._service.connector = self.connector  # type: ignore[assignment]

    def client(self) -> End:
        """A new connection of a client."""
        transport = Transport(self._turns, own=SIDECAR, peer=CLIENT)
        transport.connect(Downstream(self._service))
        return transport.end

    def pass_time(self, seconds: float) -> None:
        """Let time pass, as the sidecar's own timer would tell it."""
        for _ in range(int(seconds / 0.25) + 1):
            self._turns.advance(0.25)
            self._service.wheel.turn(self._turns.time())
            self._turns.settle()

    def left_over(self) -> list[str]:
        """What should not be there when every client has gone, as sentences."""
        service = self._service
        stats = service.stats
        idle = service.pool.idle()
        found = []
        if stats.in_flight:
            found.append(f"in_flight is {stats.in_flight}")
        if stats.clients or service.clients:
            found.append(f"clients is {stats.clients}, and {len(service.clients)} are kept")
        if service.tunnels:
            found.append(f"{len(service.tunnels)} sides of tunnels are kept")
        if stats.upstreams != idle:
            found.append(f"upstreams is {stats.upstreams}, but {idle} are idle in the pool")
        return found

    @property
    def counts(self) -> tuple[int, int]:
        """Answers of the application, and attempts that failed."""
        arms = self._service.stats.arms.values()
        return sum(sum(arm.requests) for arm in arms), sum(sum(arm.failures) for arm in arms)


def _service(clock: Callable[[], float]) -> Service:
    endpoint = wire.Endpoint(*ORIGIN, "uid", 9)
    service = Service(
        own=None,
        limits=Limits(),
        clock=clock,
        random=random.Random(7).random,
        tasks=asyncio.TaskGroup(),
        trust_all=True,
    )
    service.apply(_to(endpoint))
    return service


def _to(endpoint: wire.Endpoint) -> wire.Routing:
    return wire.Routing(arms=(wire.Arm(wire.STABLE, Weight(10_000), (endpoint,)),), local_paths=())


class SocketSidecar:
    """The same on real sockets, with the real connector: what shows that the connections in memory are true."""

    def __init__(self, tasks: asyncio.TaskGroup, application: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        service = Service(
            own=None,
            limits=Limits(),
            clock=loop.time,
            random=random.Random(7).random,
            tasks=tasks,
            trust_all=True,
        )
        service.connector = Connector(service)
        service.apply(_to(wire.Endpoint(*application, "uid", 9)))
        self._service = service
        self._server: asyncio.Server | None = None

    async def start(self) -> tuple[str, int]:
        """Listen on loopback."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Downstream(self._service), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return host, port

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for client in list(self._service.clients):
            client.abort()
        for upstream in self._service.pool.close():
            upstream.transport.close()
        await self._server.wait_closed()
