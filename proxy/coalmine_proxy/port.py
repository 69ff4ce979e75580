"""The port for requests in one process: how it begins to take clients, and how it ends without losing one.

Ending: answers carry ``Connection: close`` at once; new connections are taken for as long as Services
may still send some; then no more are taken, idle ones are closed, requests in flight get the
rest of the grace. A client that has never asked is no idle one yet: it has a moment. A drain that began earlier
(preStop) counts towards that time.

Connections that the kernel has made and nobody has accepted are lost with their socket: it resets them
(with SO_REUSEPORT, too, unless the sysctl net.ipv4.tcp_migrate_req is 1, which is not the default, and not
ours to set). So before the socket closes they are accepted until there are no more.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

from coalmine_proxy.connector import Connector
from coalmine_proxy.downstream import Downstream
from coalmine_proxy.forwarding import Trust
from coalmine_proxy.observer import Observer
from coalmine_proxy.service import Service
from coalmine_proxy.settings import Settings
from coalmine_proxy.split import Random
from coalmine_proxy.wheel import TICK


def new_service(settings: Settings, *, clock: Callable[[], float], random: Random, tasks: asyncio.TaskGroup) -> Service:
    """What all connections of this process share, with the routing that holds at first."""
    observer = None
    if settings.log_sample or settings.istio is not None:
        observer = Observer(random, settings.log_sample, sizes=settings.istio is not None)
    service = Service(
        own=settings.own,
        limits=settings.limits,
        clock=clock,
        random=random,
        tasks=tasks,
        trust_all=settings.static,
        trust=Trust(settings.trusted),
        protocol=settings.protocol,
        observer=observer,
    )
    service.connector = Connector(service)
    service.apply(settings.routing)
    return service


async def turn_wheel(service: Service) -> None:
    """Turn the wheel of timeouts, for ever."""
    while True:
        await asyncio.sleep(TICK)
        service.wheel.turn(service.clock())


class ProxyPort:
    """The port for requests, open or closed."""

    def __init__(self, settings: Settings, service: Service) -> None:
        self._settings = settings
        self._service = service
        self._server: asyncio.Server | None = None
        self.number = 0

    async def open(self, sock: socket.socket | None = None) -> None:
        """Take clients: of `sock`, which listens, or of a socket of our own. Raises OSError."""
        loop = asyncio.get_running_loop()
        backlog = self._settings.limits.backlog
        if sock is None:
            self._server = await loop.create_server(self._client, *self._settings.listen, backlog=backlog)
        else:
            self._server = await loop.create_server(self._client, sock=sock, backlog=backlog)
        self.number = self._server.sockets[0].getsockname()[1]

    def _client(self) -> asyncio.Protocol:
        # It has the methods of a protocol, and compiled it can have no base that is not.
        return cast("asyncio.Protocol", Downstream(self._service))

    async def end(self) -> int:
        """End as far as the grace allows; see above. Returns how many requests were cut."""
        service = self._service
        grace = self._settings.drain_seconds
        began = service.clock()
        waited = self._settings.limits.endpoint_lag
        if service.drained_since is not None:
            waited -= began - service.drained_since
        service.drain()
        if waited > 0:
            await asyncio.sleep(min(waited, grace))
        await self._close()
        # What has come while others had the loop is read first: who has asked is not idle.
        await asyncio.sleep(0)
        for client in list(service.clients):
            client.close_idle()
        while service.busy and (left := grace - (service.clock() - began)) > 0:
            service.quiet.clear()
            try:
                async with asyncio.timeout(left):
                    await service.quiet.wait()
            except TimeoutError:
                break
        return self._cut()

    async def _close(self) -> None:
        """Take no more clients but those that are connected already."""
        assert self._server is not None
        loop = asyncio.get_running_loop()
        left = [socket.socket(fileno=os.dup(sock.fileno())) for sock in self._server.sockets]
        self._server.close()
        for sock in left:
            with sock:
                sock.setblocking(False)
                # Those who come meanwhile come too late; their number bounds this.
                for _ in range(self._settings.limits.backlog):
                    try:
                        client, _address = sock.accept()
                    except OSError:  # there is none, or no descriptor is left for it
                        break
                    client.setblocking(False)
                    await loop.connect_accepted_socket(self._client, client)

    def _cut(self) -> int:
        """Cut what is left."""
        service = self._service
        cut = service.stats.in_flight
        for client in list(service.clients):
            client.abort()
        for tunnel in list(service.tunnels):
            tunnel.close()
        for upstream in service.pool.close():
            upstream.transport.close()
        return cut
