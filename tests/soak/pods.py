"""Pods on loopback: each an address with two real processes, an application and its sidecar.

Every change is written into the facts before it is done, and its end after it is: the judge must never
blame a proxy for a process that this module has just killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

from tests.soak.facts import Down, Facts

from coalmine.model import wire

APP_PORT: Final = 8080
PROXY_PORT: Final = 17080
ADMIN_PORT: Final = 17081
#: More than any request of the soak takes.
DRAIN_SECONDS: Final = 3.0


class SoakError(Exception):
    """The soak itself cannot go on."""


class Pod:
    """One pod. `version` is what its application says it is."""

    def __init__(self, facts: Facts, folder: Path, keys: Path, uid: str, version: str, address: str) -> None:
        self._facts = facts
        self._keys = keys
        self.folder = folder / uid
        self.folder.mkdir(parents=True)
        (self.folder / "state").mkdir()
        self.uid = uid
        self.version = version
        self.address = address
        self.application: asyncio.subprocess.Process | None = None
        self.sidecar: asyncio.subprocess.Process | None = None

    @property
    def endpoint(self) -> wire.Endpoint:
        return wire.Endpoint(self.address, APP_PORT, self.uid, ADMIN_PORT)

    @property
    def listens(self) -> tuple[str, int]:
        """Where its sidecar takes requests."""
        return self.address, PROXY_PORT

    @property
    def seen(self) -> Path:
        """What the application wrote down."""
        return self.folder / "seen"

    async def start(self, with_sidecar: bool = True) -> None:
        await self.start_application()
        if with_sidecar:
            await self.start_sidecar()

    async def start_application(self) -> None:
        self.application = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.soak.application", self.address, str(APP_PORT), self.uid, self.version),
            str(self.seen),
            stdout=asyncio.subprocess.PIPE,
            stderr=(self.folder / "application.log").open("ab"),
        )
        assert self.application.stdout is not None
        if await self.application.stdout.readline() != b"ready\n":
            raise SoakError(f"the application of {self.uid} does not start; see {self.folder}")
        self._over(self._facts.applications[self.uid])

    async def start_sidecar(self) -> None:
        self.sidecar = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "coalmine_proxy"),
            *("--listen-port", str(PROXY_PORT), "--admin-port", str(ADMIN_PORT), "--app-port", str(APP_PORT)),
            *("--state", str(self.folder / "state"), "--keys", str(self._keys), "--drain-seconds", str(DRAIN_SECONDS)),
            *(["--canary"] if self.version == wire.CANARY else []),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self.folder / "sidecar.log").open("ab"),
            env={
                **os.environ,
                "COALMINE_POD_UID": self.uid,
                "COALMINE_POD_IP": self.address,
                "COALMINE_BIND": self.address,
            },
        )
        for _ in range(400):
            try:
                _, writer = await asyncio.open_connection(self.address, ADMIN_PORT)
            except OSError:
                await asyncio.sleep(0.025)
                continue
            writer.close()
            self._over(self._facts.sidecars[self.uid])
            return
        raise SoakError(f"the sidecar of {self.uid} does not start; see {self.folder}")

    async def kill_application(self) -> None:
        """As the kernel does when memory is short."""
        await self._end_application(signal.SIGKILL)

    async def end_application(self) -> None:
        """As the kubelet does; it has been taken out of the documents before."""
        await self._end_application(signal.SIGTERM)

    async def _end_application(self, number: signal.Signals) -> None:
        loop = asyncio.get_running_loop()
        down = Down(loop.time(), killed=number == signal.SIGKILL)
        self._facts.applications[self.uid].append(down)
        await _end(self.application, number)
        down.dead = loop.time()

    async def kill_sidecar(self) -> None:
        self._facts.sidecars[self.uid].append(Down(asyncio.get_running_loop().time()))
        await _end(self.sidecar, signal.SIGKILL)

    async def end_sidecar(self) -> None:
        """As the kubelet does, once the application is gone. Until its grace is over it must lose nothing."""
        since = asyncio.get_running_loop().time() + DRAIN_SECONDS - 0.1
        self._facts.sidecars[self.uid].append(Down(since, killed=False))
        await _end(self.sidecar, signal.SIGTERM)

    async def kill(self) -> None:
        """The node is lost: both at once."""
        await asyncio.gather(self.kill_application(), self.kill_sidecar())

    def _over(self, downs: list[Down]) -> None:
        """It answers again. A peer that asked it a moment ago may still have the old answer."""
        if downs:
            downs[-1].until = asyncio.get_running_loop().time()


async def _end(process: asyncio.subprocess.Process | None, number: int) -> None:
    if process is not None and process.returncode is None:
        process.send_signal(number)
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
