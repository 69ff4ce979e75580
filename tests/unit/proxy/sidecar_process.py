"""A sidecar as a process, for tests that run in a `World`: its log, its workers, and whose a connection is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


class SidecarProcess:
    """One that was started. `lines` is what it has logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self.lines: list[dict[str, Any]] = []
        self.text = ""
        self.port = 0
        self.admin_port = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.text += line.decode()
            with contextlib.suppress(ValueError):
                self.lines.append(json.loads(line))
            self._news.set()

    async def logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of an event, when there are so many. The test's own time limit bounds it."""
        while len(found := [line for line in self.lines if line["event"] == event]) < count:
            assert not self._reading.done(), f"it ended without {event!r}: {self.text}"
            self._news.clear()
            await self._news.wait()
        return found

    async def started(self) -> SidecarProcess:
        [line] = await self.logged("started")
        self.port, self.admin_port = line["port"], line["admin_port"]
        return self

    @property
    def workers(self) -> dict[int, int]:
        """The process id of each worker, the newest."""
        return {line["worker"]: line["worker_pid"] for line in self.lines if line["event"] == "worker started"}

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit status, and all of the log is read."""
        status = await self._process.wait()
        await self._reading
        return status

    async def kill(self) -> None:
        if self._process.returncode is None:
            # The workers may stand still.
            for pid in self.workers.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self._process.kill()
        await self._process.wait()
        await self._reading


@contextlib.asynccontextmanager
async def sidecar_process(*arguments: str, files: tuple[int, int] | None = None, **environ: str) -> AsyncIterator[Any]:
    """Start one on ports that the kernel chooses. `files`: its soft and hard limit of open files."""
    command = [sys.executable, "-m", "coalmine_proxy", "--listen", f"{HOST}:0", "--admin", f"{HOST}:0", *arguments]
    if files is not None:
        command = ["prlimit", f"--nofile={files[0]}:{files[1]}", *command]
    process = SidecarProcess(
        await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environ}, start_new_session=True
        )
    )
    try:
        yield process
    finally:
        await process.kill()


def owner(port: int, client: int, processes: dict[int, int]) -> int | None:
    """Which of `processes` (index to id) has the connection from the port `client`; None: nobody has accepted it."""
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port and int(fields[2].split(":")[1], 16) == client:
            inode = fields[9]
    for index, pid in processes.items():
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(file) == f"socket:[{inode}]":
                    return index
    return None


def wait_for_end(pid: int, seconds: float) -> bool:
    """Has the process ended, which need not be our child?"""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
