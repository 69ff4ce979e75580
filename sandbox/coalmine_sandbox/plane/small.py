"""The sandbox's own control plane: one process, no root, no Go (`coalmine_sandbox.api` and `native`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coalmine_sandbox import binaries, ground
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.keep.tied import tied
from coalmine_sandbox.plane import ControlPlane

_KUBECTL: Final = "kubectl"


class SmallControlPlane(ControlPlane):
    """API server, native controllers and scheduler in one process, on loopback addresses of their own."""

    def __init__(self, state: Path, kubectl: Path | None = None) -> None:
        """`kubectl` is one of this machine, if it has any: the sandbox has none of its own."""
        # ours for as long as this process lives
        self._claim = ground.free()
        super().__init__(state, self._claim.ground)
        self._kubectl = kubectl
        command = [sys.executable, "-m", "coalmine_sandbox", "control-plane"]
        command += ["--address", self.ground.api[0], "--port", str(self.ground.api[1])]
        command += ["--services", self.ground.services, "--pki", str(self._pki), "--state", str(state / "objects")]
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        self._process = Daemon("control-plane", tied(command), state / "logs" / "control-plane.log", environment)
        self.daemons = (self._process,)

    @property
    def apiserver(self) -> Daemon:
        return self._process

    @property
    def kubectl(self) -> Path | None:
        return self._kubectl

    async def start(self) -> None:
        self._prepare()
        self._process.start()
        await self.api_ready()
        await self._controllers_work(self._process)

    async def stop(self) -> None:
        await super().stop()
        self._claim.close()


def find_kubectl(environ: Mapping[str, str]) -> Path | None:
    """kubectl from $KUBEBUILDER_ASSETS, from the cache of a control plane that was built, or from $PATH."""
    folders = [Path(environ["KUBEBUILDER_ASSETS"])] if environ.get("KUBEBUILDER_ASSETS") else []
    if binaries.MODULE.exists():
        folders.append(binaries.cached(binaries.cache_of(environ)))
    folders += [Path(folder) for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    return next((f / _KUBECTL for f in folders if os.access(f / _KUBECTL, os.X_OK)), None)
