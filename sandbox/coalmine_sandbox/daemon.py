"""One real process of the lab: started, killed, started again, its log kept.

Rules: a daemon's death is noticed by whoever asks (`check`), not by a task of ours, so that a
daemon belongs to no event loop; one that died without being told to is a failure, told with the
last lines of its log. Each start appends to the same log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_TAIL_BYTES: Final = 64 * 1024


class DaemonError(Exception):
    """A process of the lab ended by itself, or did not become ready; the text holds its last lines."""


async def exited(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a child (negative: the signal), once it has ended; cancelling is harmless."""
    if process.poll() is not None:
        return process.returncode
    descriptor = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()  # ended: this does not block


class Daemon:
    """A program with arguments and a log file. Not started yet when made."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @property
    def pid(self) -> int:
        """The process id. Raises DaemonError when it was never started."""
        if self._process is None:
            raise DaemonError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status (negative: the signal) of the last run; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it. Raises DaemonError when it runs already, or the program is not there."""
        if self.running:
            raise DaemonError(f"{self.name} runs already, as process {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise DaemonError(f"{self.name} cannot be started: {error}") from error
        self._wanted = True

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and from then on expect its end; none if it does not run."""
        self._wanted = False
        self.send(number)

    def send(self, number: int) -> None:
        """Send a signal to a process that is meant to live on (SIGSTOP, SIGCONT, SIGHUP)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def wait(self) -> int:
        """The exit status, once it has ended."""
        if self._process is None:
            raise DaemonError(f"{self.name} was never started")
        return await exited(self._process)

    async def tend(self) -> None:
        """Start it again whenever it ends, as a cluster would, until cancelled: its end is then no failure."""
        while True:
            self._wanted = False
            await self.wait()
            self.start()

    async def stop(self, grace: float = 10.0) -> int | None:
        """SIGTERM, after `grace` seconds SIGKILL; the exit status, None when it was not running."""
        if not self.running:
            return None
        self.kill(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    async def restart(self, number: int = signal.SIGKILL) -> None:
        """End it with the signal if it runs, and start it again with the same arguments."""
        if self.running:
            self.kill(number)
            await self.wait()
        self.start()

    def check(self) -> None:
        """Raises DaemonError when it ended without having been told to."""
        if self._wanted and self._process is not None and not self.running:
            raise DaemonError(f"{self.name} ended by itself, exit status {self.status}:\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def memory(self) -> int:
        """Resident bytes (VmRSS) of the process; 0 when it does not run."""
        return resident(self._process.pid) if self._process is not None and self.running else 0


def resident(pid: int) -> int:
    """Resident bytes of any process; 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS:")), 0)
