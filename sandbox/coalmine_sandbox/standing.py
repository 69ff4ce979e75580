"""A sandbox that stands until it is told to go: what `coalmine sandbox up` starts.

Runs under a keeper (`keep`) in a directory of its own; `Standing` is what a later command reads there.
A component that ends by itself is started again, as a cluster would.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from coalmine.kube.resources import DEPLOYMENTS
from coalmine_sandbox import keep
from coalmine_sandbox.lab import EXAMPLES, Lab
from coalmine_sandbox.plane.small import SmallControlPlane

EXAMPLE: Final = EXAMPLES / "colorapi" / "manifests"
_FILE: Final = "standing.json"
#: How often components are looked after, in seconds.
_ROUND: Final = 1.0


@dataclass(frozen=True, slots=True)
class Component:
    """A process of the sandbox itself."""

    name: str
    pid: int
    restarts: int
    log: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to know about a sandbox that is up."""

    kubeconfig: str
    #: A curl configuration with every Service's name and place.
    connect_to: str
    since: float
    components: tuple[Component, ...]

    @classmethod
    def read(cls, state: Path) -> Standing | None:
        """The sandbox in this directory; None while none is up there."""
        if keep.holder(state) is None:
            return None
        try:
            raw = json.loads((state / _FILE).read_text())
        except FileNotFoundError:
            return None
        return cls(**{**raw, "components": tuple(Component(**c) for c in raw["components"])})

    def write(self, state: Path) -> None:
        fresh = state / f".{_FILE}"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(state / _FILE)


def directory(chosen: Path | None = None) -> Path:
    """Where a standing sandbox is: in this directory, else in this user's one. Raises KeepError."""
    return keep.home() / "up" if chosen is None else chosen.absolute()


def starting(state: Path) -> bool:
    """Whether one is being started there, or ended, and is of no use now."""
    return keep.holder(state) is not None and not (state / _FILE).exists()


def up(state: Path, images: Sequence[Path], *, example: bool) -> int:
    """Start it and return once it is up (0), or has failed. Raises KeepError.

    The directory goes away with the sandbox: one with something in it is not taken.
    """
    command = [sys.executable, "-m", "coalmine_sandbox", "stand"]
    for file in images:
        command += ["--images", str(file.absolute())]
    if not example:
        command.append("--empty")
    if keep.holder(state) is None:
        keep.sweep_one(state)
        if state.exists() and (not state.is_dir() or any(state.iterdir())):
            raise keep.KeepError(f"{state} is no empty directory, and all of it would go away with the sandbox: "
                                 "name one that is empty or does not exist")  # fmt: skip
    return keep.detach(command, state, remove=True)


async def stand(images: Sequence[Path], *, example: bool) -> None:
    """The program under the keeper; ends when it is cancelled. Raises LabError, DaemonError, GroundError."""
    kept = keep.current()
    assert kept is not None, "`up` starts this under a keeper"
    async with Lab(SmallControlPlane, state=kept.state, images=images) as lab:
        await lab.install()
        if example:
            await lab.apply(EXAMPLE)
            await lab.until(lambda: _available(lab), "the example's pods are ready")
        restarts = dict.fromkeys((d.name for d in lab.daemons), 0)
        since = time.time()
        told: Standing | None = None
        while True:
            components = tuple(Component(d.name, d.pid, restarts[d.name], str(d.log)) for d in lab.daemons)
            now = Standing(str(lab.control_plane.admin_kubeconfig), str(lab.connect_to), since, components)
            if now != told:
                now.write(kept.state)
                told = now
            (kept.state / keep.READY).touch()
            await asyncio.sleep(_ROUND)
            for daemon in lab.daemons:
                if not daemon.running:
                    restarts[daemon.name] += 1
                    daemon.start()


async def _available(lab: Lab) -> bool:
    deployments, _ = await lab.client.list(DEPLOYMENTS, "default")
    return all((d.get("status") or {}).get("availableReplicas") == d["spec"]["replicas"] for d in deployments)
