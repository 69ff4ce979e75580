"""The sidecar: everything wired together, from the listening sockets to the last answer.

Ending, after SIGTERM: readiness fails and answers carry ``Connection: close`` at once; new connections are
taken for as long as Services may still send some; then no more are taken, idle
ones are closed, requests in flight get the rest of the grace. A drain that began earlier
(preStop) counts towards that time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coalmine.model import wire
from coalmine_proxy.admin import Admin
from coalmine_proxy.admin_connection import AdminConnection
from coalmine_proxy.config import Configuration
from coalmine_proxy.connector import Connector
from coalmine_proxy.downstream import Downstream
from coalmine_proxy.keys import Keys
from coalmine_proxy.limits import DEFAULT, Limits
from coalmine_proxy.log import log
from coalmine_proxy.service import Service
from coalmine_proxy.split import Random
from coalmine_proxy.wheel import TICK


@dataclass(frozen=True, slots=True)
class Settings:
    """How one sidecar runs. Ports of 0 let the kernel choose, hosts of None mean all addresses."""

    listen: tuple[str | None, int]
    admin: tuple[str | None, int]
    #: This pod's application; None with a static file.
    own: wire.Endpoint | None
    pod: str
    canary: bool = False
    state: Path | None = None
    keys: Path | None = None
    #: What holds until the first document: local paths, or the static arms.
    routing: wire.Routing = wire.LOCAL_ONLY
    static: bool = False
    #: After SIGTERM, all in all, in seconds.
    drain_seconds: float = 20.0
    limits: Limits = DEFAULT


class Sidecar:
    """One running sidecar."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float],
        random: Random,
        nonce: str,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`tasks` owns every task that is started; leave it only after `drain`."""
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self.service = Service(
            own=settings.own,
            limits=settings.limits,
            clock=clock,
            random=random,
            tasks=tasks,
            trust_all=settings.static,
        )
        self.service.connector = Connector(self.service)
        self.service.apply(settings.routing)
        self.configuration = Configuration(
            pod=settings.pod,
            nonce=nonce,
            keys=Keys(settings.keys),
            state=settings.state,
            apply=self.service.apply,
        )
        self.admin = Admin(self.service, self.configuration, needs_configuration=settings.canary)
        self._admin_connections: set[AdminConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._wheel_task: asyncio.Task[None] | None = None
        self.port = 0
        self.admin_port = 0

    async def start(self) -> None:
        """Reload what an earlier boot was told, then open both ports. Raises OSError."""
        self.configuration.reload()
        limits = self._settings.limits
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Downstream(self.service), *self._settings.listen, backlog=limits.backlog
        )
        admin = await loop.create_server(
            lambda: AdminConnection(self.admin, limits, self.service.wheel, self._admin_connections),
            *self._settings.admin,
        )
        self._servers = [server, admin]
        self.port = server.sockets[0].getsockname()[1]
        self.admin_port = admin.sockets[0].getsockname()[1]
        self._wheel_task = self._tasks.create_task(self._turn())

    async def drain(self) -> None:
        """End without losing a request, as far as the grace allows; see above."""
        service = self.service
        grace = self._settings.drain_seconds
        began = self._clock()
        waited = self._settings.limits.endpoint_lag
        if service.drained_since is not None:
            waited -= began - service.drained_since
        service.drain()
        log("info", "ending", connections=len(service.clients))
        if waited > 0:
            await asyncio.sleep(min(waited, grace))
        proxy, admin = self._servers
        proxy.close()
        for client in list(service.clients):
            client.close_idle()
        while service.busy and self._clock() - began < grace:
            service.quiet.clear()
            try:
                async with asyncio.timeout(grace - (self._clock() - began)):
                    await service.quiet.wait()
            except TimeoutError:
                break
        await self._close(proxy, admin)

    async def _close(self, proxy: asyncio.Server, admin: asyncio.Server) -> None:
        """Cut what is left."""
        service = self.service
        cut = service.stats.in_flight
        admin.close()
        for client in list(service.clients):
            client.abort()
        for tunnel in list(service.tunnels):
            tunnel.close()
        for connection in list(self._admin_connections):
            connection.transport.close()
        for upstream in service.pool.close():
            upstream.transport.close()
        if self._wheel_task is not None:
            self._wheel_task.cancel()
        await proxy.wait_closed()
        await admin.wait_closed()
        log("info", "ended", requests_cut=cut)

    async def _turn(self) -> None:
        """Turn the wheel of timeouts."""
        while True:
            await asyncio.sleep(TICK)
            self.service.wheel.turn(self._clock())
