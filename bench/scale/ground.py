"""The lab of the bench: a control plane, our webhook and our controller, and nothing that runs pods."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.scale.kubelet import NETWORK, Kubelet
from bench.scale.sidecars import Sidecars, serve
from coalmine.model.names import ADMIN_PORT, CONTROLLER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.plane.real import RealControlPlane

METRICS: Final = "127.0.0.1:9401"
#: The controller's core; everything else has the others.
CORE: Final = 0


class Ground(Lab):
    """A Lab without node agent and Services; pods are the `Kubelet`'s."""

    async def _start(self) -> None:
        await self.control_plane.start()
        self._client = await self.control_plane.client()

    async def start_pinned(self) -> Daemon:
        """The controller, on a core of its own, with its metrics served. Returns once it leads."""
        kubeconfig = await self.control_plane.kubeconfig_for(CONTROLLER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE)
        arguments = ["controller", "--kubeconfig", str(kubeconfig), "--identity", "bench", "--listen", METRICS]
        daemon = self._python("controller", "coalmine_cli", *arguments, "--log-level", "warning")
        program = daemon.command.index(sys.executable, 1)  # after the one that ties it to us
        daemon.command[program:program] = ["taskset", "--cpu-list", str(CORE)]
        self.controllers.append(daemon)
        daemon.start()
        return daemon


@asynccontextmanager
async def ground(binaries: Path) -> AsyncIterator[tuple[Ground, Sidecars]]:
    """Everything but the controller and the Deployments."""
    _own(NETWORK)
    sidecars = Sidecars()
    server = await serve(sidecars, ADMIN_PORT)
    try:
        async with Ground(partial(RealControlPlane, binaries)) as lab:
            await lab.install(controllers=0)
            playing = asyncio.create_task(Kubelet(lab.client, sidecars, time.time).run())
            try:
                yield lab, sidecars
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
    finally:
        server.close()


def _own(network: str) -> None:
    """Make every address of `network` one of this machine's, in the namespace that we are in."""
    subprocess.run(["ip", "route", "replace", "local", network, "dev", "lo"], check=True)
