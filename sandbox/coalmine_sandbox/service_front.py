"""The front for Services: what kube-proxy is, at the level of connections.

Each ClusterIP is added to the loopback device and listened on; each new connection goes to the next
ready endpoint, round robin, and its bytes are passed on both ways, half-closes included, as
fast as the slower side reads. Endpoints that change do not touch connections that stand.
Nothing is retried: an endpoint that refuses resets the client, as it would see it with kube-proxy.

A port that this user may not have, or that something else listens on at every address of the machine,
is moved (80 to 8080), if there is a file to say so in (`connect`).

Which endpoints get connections is kube-proxy's rule: the ready ones; when there are none, those
that are still serving while they terminate; when there are none of these, the connection is reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from coalmine.kube.client import Client
from coalmine.kube.resources import ENDPOINT_SLICES, SERVICES, Object, labels_of
from coalmine_sandbox import connect, hosts
from coalmine_sandbox.node import addresses
from coalmine_sandbox.reflector import Key, Reflector

log = logging.getLogger(__name__)

Endpoint = tuple[str, int]
#: More than that waiting to be accepted on one Service is an overload worth seeing.
_BACKLOG: Final = 4096
#: Ports below this are root's, unless the machine is set otherwise.
_PRIVILEGED: Final = 1024
#: Where those go: 80 to 8080, 443 to 8443.
_MOVED_BY: Final = 8000
#: Bytes that may wait for a slow reader before the fast writer is held back.
_HIGH_WATER: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Frontend:
    """One port of one Service."""

    namespace: str
    service: str
    port_name: str
    address: str
    port: int


def frontends(service: Object) -> list[Frontend]:
    """Where a Service is listened on: its TCP ports, unless it is headless or external."""
    spec = service["spec"]
    address = str(spec.get("clusterIP") or "")
    if address in ("", "None") or spec.get("type") == "ExternalName":
        return []
    metadata = service["metadata"]
    return [
        Frontend(metadata["namespace"], metadata["name"], str(port.get("name") or ""), address, int(port["port"]))
        for port in spec.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]


def endpoints(slices: Iterable[Object], port_name: str) -> list[Endpoint]:
    """The endpoints that new connections go to, in a stable order."""
    ready: set[Endpoint] = set()
    serving: set[Endpoint] = set()
    for each in slices:
        numbers = [
            p["port"] for p in each.get("ports") or () if str(p.get("name") or "") == port_name and p.get("port")
        ]
        for endpoint in each.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            found = {(str(a), int(n)) for a in endpoint.get("addresses") or () for n in numbers}
            if conditions.get("ready") is not False:
                ready |= found
            elif conditions.get("serving") and conditions.get("terminating"):
                serving |= found
    return sorted(ready or serving, key=lambda e: (socket.inet_aton(e[0]), e[1]))


class RoundRobin:
    """Deals endpoints in turn; goes on where it was when they change."""

    def __init__(self) -> None:
        self._endpoints: list[Endpoint] = []
        self._next = 0

    def replace(self, endpoints: list[Endpoint]) -> None:
        if endpoints != self._endpoints:
            following = self._endpoints[self._next :] + self._endpoints[: self._next]
            self._endpoints = endpoints
            self._next = next((endpoints.index(e) for e in following if e in endpoints), 0)

    def pick(self) -> Endpoint | None:
        if not self._endpoints:
            return None
        endpoint = self._endpoints[self._next]
        self._next = (self._next + 1) % len(self._endpoints)
        return endpoint


class _Side(asyncio.Protocol):
    """One side of a connection: what it reads, the other side writes."""

    def __init__(self, pair: _Pair) -> None:
        self.pair = pair
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self._held: list[bytes] = []
        self._ended = False
        self._blocked = False

    def connection_made(self, made: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, made)  # uvloop's are not asyncio's by class
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self.pair.made(self)

    def join(self, other: _Side) -> None:
        """From now on bytes go to `other`; those that came before it was there go first."""
        self.other = other
        assert other.transport is not None
        for data in self._held:
            other.transport.write(data)
        self._held.clear()
        if self._ended:
            other.finish()

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self._held.append(data)
            if self.transport is not None:
                self.transport.pause_reading()  # one read's worth, until the endpoint is connected
            return
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.other is not None:
            self.other.finish()
        return True  # the other direction goes on

    def finish(self) -> None:
        """The peer has sent everything."""
        if self.transport is not None and self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        if self.pair.both_ended():
            self.pair.close()

    @property
    def ended(self) -> bool:
        return self._ended

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.pair.lost(self, error)


class _Pair:
    """A client's connection and the one to its endpoint."""

    def __init__(self, frontend: Frontend, pick: Callable[[], Endpoint | None], tasks: asyncio.TaskGroup) -> None:
        self.client = _Side(self)
        self.server: _Side | None = None
        self._frontend = frontend
        self._pick = pick
        self._tasks = tasks

    def made(self, side: _Side) -> None:
        if side is self.client:
            self._tasks.create_task(self._connect())

    async def _connect(self) -> None:
        endpoint = self._pick()
        if endpoint is None:
            reset(self.client.transport)
            return
        server = _Side(self)
        try:
            await asyncio.get_running_loop().create_connection(lambda: server, *endpoint)
        except OSError as error:
            log.info("%s: %s:%d: %s", self._frontend.service, *endpoint, error)
            reset(self.client.transport)
            return
        if self.client.transport is None or self.client.transport.is_closing():
            reset(server.transport)
            return
        self.server = server
        server.join(self.client)
        self.client.join(server)
        for side in (self.client, server):
            if side.transport is not None and not side.transport.is_closing():
                side.transport.resume_reading()  # either may speak first

    def both_ended(self) -> bool:
        return self.client.ended and self.server is not None and self.server.ended

    def close(self) -> None:
        for side in (self.client, self.server):
            if side is not None and side.transport is not None:
                side.transport.close()

    def lost(self, side: _Side, error: Exception | None) -> None:
        other = self.server if side is self.client else self.client
        if other is None or other.transport is None or other.transport.is_closing():
            return
        if error is not None:
            reset(other.transport)
        else:
            other.transport.close()


def reset(transport: asyncio.Transport | None) -> None:
    """Close with RST, which is what the peer of a dead endpoint sees."""
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):  # closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def listener(address: str, port: int, *, movable: bool) -> socket.socket:
    """A socket bound to this address, and to this port unless it is `movable` and cannot be had.

    Raises OSError.
    """
    # last of all any port: what is written down need not be a nice number
    moved = [*([port + _MOVED_BY] if port < _PRIVILEGED else []), 0] if movable else []
    for number in [port, *moved]:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, number))
        except OSError as error:
            made.close()
            if error.errno not in (errno.EACCES, errno.EADDRINUSE) or number == (moved or [port])[-1]:
                raise
        else:
            return made
    raise AssertionError("the last attempt returns or raises")


class ServiceFront:
    """Call `run` once; it never returns.

    `hosts_file` gets the Services' names and `connect_to` where each port of theirs is; None for none.
    """

    def __init__(self, client: Client, hosts_file: Path | None, connect_to: Path | None = None) -> None:
        self._services = Reflector(client, SERVICES, self._service_changed)
        self._slices = Reflector(client, ENDPOINT_SLICES, self._slice_changed)
        self._hosts_file = hosts_file
        self._connect_to = connect_to
        self._servers: dict[Frontend, asyncio.Server] = {}
        self._turns: dict[Frontend, RoundRobin] = {}
        self._addresses: set[str] = set()
        self._dirty = asyncio.Event()

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            for server in self._servers.values():
                server.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._services.run())
            group.create_task(self._slices.run())
            await self._services.synced.wait()
            await self._slices.synced.wait()
            while True:
                self._dirty.clear()
                await self._listen(group)
                await self._dirty.wait()

    def _service_changed(self, _key: Key, _service: Object | None) -> None:
        self._dirty.set()

    def _slice_changed(self, key: Key, each: Object | None) -> None:
        # endpoints count from this very moment; what is listened on follows in its own task
        for frontend, turns in self._turns.items():
            if frontend.namespace == key[0]:
                turns.replace(self._endpoints(frontend))

    def _endpoints(self, frontend: Frontend) -> list[Endpoint]:
        slices = [
            each
            for (namespace, _), each in self._slices.objects.items()
            if namespace == frontend.namespace
            and labels_of(each).get("kubernetes.io/service-name") == frontend.service
            and each.get("addressType") == "IPv4"
        ]
        return endpoints(slices, frontend.port_name)

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        wanted = {f for service in self._services.objects.values() for f in frontends(service)}
        for frontend in set(self._servers) - wanted:
            self._servers.pop(frontend).close()  # connections that stand go on
            del self._turns[frontend]
        addressed = {f.address for f in wanted}
        for address in addressed - self._addresses:
            addresses.add(address)
        # in order, so that a port which is moved finds the others where they are
        for frontend in sorted(wanted - set(self._servers), key=lambda f: (f.address, -f.port)):
            turns = self._turns[frontend] = RoundRobin()
            turns.replace(self._endpoints(frontend))
            self._servers[frontend] = await self._serve(frontend, turns, group)
        for address in self._addresses - addressed:
            addresses.remove(address)
        self._addresses = addressed
        if self._hosts_file is not None:
            named = {(f.namespace, f.service): f.address for f in wanted}
            hosts.write(self._hosts_file, hosts.text(named))
        if self._connect_to is not None:
            connect.write(self._connect_to, connect.text(self._places()))

    def _places(self) -> dict[Endpoint, Endpoint]:
        """Where each port is, by every name of its Service and by its address."""
        places = {}
        for frontend, server in self._servers.items():
            actual = int(server.sockets[0].getsockname()[1])
            for host in [frontend.address, *hosts.names(frontend.namespace, frontend.service)]:
                places[host, frontend.port] = frontend.address, actual
        return places

    async def _serve(self, frontend: Frontend, turns: RoundRobin, group: asyncio.TaskGroup) -> asyncio.Server:
        bound = listener(frontend.address, frontend.port, movable=self._connect_to is not None)
        return await asyncio.get_running_loop().create_server(
            lambda: _Pair(frontend, turns.pick, group).client, sock=bound, backlog=_BACKLOG
        )
