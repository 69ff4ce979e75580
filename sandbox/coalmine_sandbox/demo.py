"""`coalmine demo`: the article's story on a control plane of its own, for a person to watch.

On the sandbox's control plane it runs under a keeper (`keep`), on Kubernetes' own in namespaces (`isolate`): either
way nothing is left behind, whatever ends it. How it looks is the caller's: this module is given a stage.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Never, Protocol, TypeAlias

import uvloop

from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.rollout import Status
from coalmine_sandbox import isolate, keep
from coalmine_sandbox.daemon import DaemonError, resident
from coalmine_sandbox.ground import GroundError
from coalmine_sandbox.lab import Lab, LabError
from coalmine_sandbox.plane import ControlPlane
from coalmine_sandbox.plane.real import RealControlPlane
from coalmine_sandbox.plane.small import SmallControlPlane
from coalmine_sandbox.story.application import NAME
from coalmine_sandbox.story.ledger import Step
from coalmine_sandbox.story.tale import NAMESPACE, Promise, Report, Scene, Tale

_CHECK_SECONDS: Final = 0.5
Plane: TypeAlias = Callable[[Path], ControlPlane]


class Stage(Protocol):
    """Shows the story while it is told."""

    def tell(self, what: Scene | Step | Promise) -> None:
        """Something happened."""

    def watch(self, status: Status) -> None:
        """The Rollout changed."""

    async def attend(self, lab: Lab, tale: Tale, namespace: str, name: str) -> None:
        """Runs beside the story, until it is cancelled."""

    def end(self, report: Report, memory: dict[str, int]) -> None:
        """The summary; `memory` is resident megabytes by component."""


def inside(command: Sequence[str], binaries: Path | None) -> int | None:
    """Run `command` again where the demo belongs and return its exit status; None when this process is there already.

    `binaries` are those of Kubernetes' own control plane; None for the sandbox's. Raises IsolationError, KeepError.
    """
    if binaries is not None:
        return None if isolate.current() is not None else isolate.run(command)
    return None if keep.current() is not None else keep.run(command, keep.fresh())


def plane(binaries: Path | None, kubectl: Path | None) -> Plane:
    """The control plane of these binaries, else the sandbox's."""
    if binaries is not None:
        return partial(RealControlPlane, binaries)
    return partial(SmallControlPlane, kubectl=kubectl)


def perform(plane: Plane, pace: float, as_json: bool, stage: Stage) -> int:
    """Tell the story; the exit status: 0 only if every promise was kept."""
    try:
        report = uvloop.run(_perform(plane, pace, stage))
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if not isinstance(first, RemoteError | SpecError | GroundError | LabError | DaemonError | TimeoutError):
            raise
        print(f"coalmine demo: {first}", file=sys.stderr)
        return 1
    except (RemoteError, SpecError, GroundError, LabError, DaemonError, TimeoutError) as error:
        print(f"coalmine demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("coalmine demo: ended; nothing is left behind", file=sys.stderr)
        return 130
    if as_json:
        print(json.dumps(report.to_json()))
    return 0 if report.ok else 1


async def _perform(plane: Plane, pace: float, stage: Stage) -> Report:
    async with Lab(plane) as lab:
        await lab.install()
        tale = Tale(lab, pace, time.monotonic, random.Random(), stage.tell, stage.watch)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(stage.attend(lab, tale, NAMESPACE, NAME)), group.create_task(_check(lab))]
            report = await tale.run()
            memory = memory_of(lab)
            for task in beside:
                task.cancel()
    stage.end(report, memory)
    return report


async def _check(lab: Lab) -> Never:
    """Raises DaemonError once a process of the lab has ended: the story would wait for it in vain."""
    while True:
        lab.check()
        await asyncio.sleep(_CHECK_SECONDS)


def memory_of(lab: Lab) -> dict[str, int]:
    """Resident megabytes of each of our processes, and of the largest sidecar."""
    found = {d.name: d.memory() >> 20 for d in (lab.webhook, *lab.controllers) if d is not None}
    sidecars = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            ours = os.fsencode(lab.state) in environment  # others may run on this machine
            if ours and b"proxy" in command and b"--app-port" in command:
                sidecars.append(resident(int(entry.name)) >> 20)
    return found | {"sidecar": max(sidecars, default=0)}
