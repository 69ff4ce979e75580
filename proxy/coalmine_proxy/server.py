"""The sidecar: everything wired together, from the listening sockets to the last answer.

One process does it all; or, with workers, this one has the admin port and the configuration, and the others
have the port for requests (`workers`, `worker`). For the outside it is one sidecar either way.

Ending, after SIGTERM: readiness fails at once, the port for requests ends as `port` says, and the admin port is there
to the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from coalmine.model import wire
from coalmine_proxy.admin import Admin
from coalmine_proxy.admin_connection import AdminConnection
from coalmine_proxy.config import Configuration
from coalmine_proxy.keys import Keys
from coalmine_proxy.listening import listen
from coalmine_proxy.log import log
from coalmine_proxy.port import ProxyPort, new_service, turn_wheel
from coalmine_proxy.settings import Settings as Settings
from coalmine_proxy.split import Random
from coalmine_proxy.turns import in_turns
from coalmine_proxy.worker import fork
from coalmine_proxy.workers import Workers


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
        #: With workers it serves nobody: it is what a new worker begins with, and what says whether we are ready.
        self.service = new_service(settings, clock=clock, random=random, tasks=tasks)
        self.configuration = Configuration(
            pod=settings.pod,
            nonce=nonce,
            keys=Keys(settings.keys),
            state=settings.state,
            clock=clock,
            apply=self._apply,
            known=self.service.pool.known,
        )
        self._proxy = ProxyPort(settings, self.service)
        self._workers: Workers | None = None
        self._admin_server: asyncio.Server | None = None
        self._admin_connections: set[AdminConnection] = set()
        self._wheel_task: asyncio.Task[None] | None = None
        self.admin = Admin(self.service, self.configuration, needs_configuration=settings.canary, istio=settings.istio)
        self.port = 0
        self.admin_port = 0

    async def start(self) -> None:
        """Reload what an earlier boot was told, then open both ports. Raises OSError."""
        settings = self._settings
        await self.configuration.reload()
        if settings.workers > 1:
            await self._start_workers()
        else:
            await self._proxy.open()
            self.port = self._proxy.number
        self._admin_server = await asyncio.get_running_loop().create_server(
            lambda: AdminConnection(self.admin, settings.limits, self.service, self._admin_connections),
            *settings.admin,
        )
        self.admin_port = self._admin_server.sockets[0].getsockname()[1]
        self._wheel_task = self._tasks.create_task(turn_wheel(self.service))

    async def _start_workers(self) -> None:
        settings = self._settings
        sockets = listen(*settings.listen, settings.limits.backlog, settings.workers)
        self.port = sockets[0].getsockname()[1]
        make = partial(fork, settings.of_worker(), self.service)
        self._workers = Workers(sockets, make, clock=self._clock, tasks=self._tasks)
        self.admin.workers = self._workers
        await self._workers.start()

    async def _apply(self, routing: wire.Routing, document: bytes, holds: Callable[[], None]) -> None:
        def taken() -> None:
            holds()
            # in this very step: a worker that is forked later begins with the new one
            if self._workers is not None:
                self._workers.configure(document)

        await in_turns(self.service.applying(routing, taken), self._clock)

    async def drain(self) -> None:
        """End without losing a request, as far as the grace allows."""
        service = self.service
        if self._workers is None:
            log("info", "ending", connections=len(service.clients))
            cut = await self._proxy.end()
        else:
            log("info", "ending", workers=len(self._workers))
            service.drain()
            cut = await self._workers.end(self._settings.drain_seconds)
        assert self._admin_server is not None
        self._admin_server.close()
        for connection in list(self._admin_connections):
            connection.transport.close()
        if self._wheel_task is not None:
            self._wheel_task.cancel()
        await self._admin_server.wait_closed()
        log("info", "ended", requests_cut=cut)

    def kill(self) -> None:
        """The end without grace, of what would not end by itself."""
        if self._workers is not None:
            self._workers.kill()
