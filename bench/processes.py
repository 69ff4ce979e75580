"""Processes of a benchmark: started on a core of their own, known by pid, ended at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
#: The proxies' core, and that of the load and the origins.
PROXY_CORE: Final = 0
LOAD_CORE: Final = 1

_PACKAGES: Final = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "strace": "strace"}
#: Debian keeps daemons where a user's PATH does not look.
_PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
#: Seconds for a process to listen; the first start of a Python program compiles it.
_PATIENCE: Final = 20.0


class BenchError(Exception):
    """A sentence for the person who runs the benchmark."""


def program(name: str) -> str:
    """The path of a program. Raises BenchError that names the package."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise BenchError(f"{name} is missing: apt-get install {_PACKAGES.get(name, name)}")
    return found


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens at this moment."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind((HOST, 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


class Processes:
    """Everything that one benchmark has started."""

    def __init__(self, folder: Path) -> None:
        #: Configurations and logs.
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def log(self, name: str) -> Path:
        """Where the output of `name` goes; a name may hold a branch's slash."""
        return self.folder / f"{name.replace('/', '_')}.log"

    def start(
        self, name: str, command: Sequence[str], core: int, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `command` on `core`; its output goes to ``<name>.log``."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environ or {})},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        self._running.append(process)
        return process

    def listening(self, name: str, process: subprocess.Popen[bytes], ports: Sequence[int]) -> None:
        """Wait until all `ports` take connections. Raises BenchError with the end of the log."""
        end = time.monotonic() + _PATIENCE
        for port in ports:
            while True:
                with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                    break
                if process.poll() is not None or time.monotonic() > end:
                    raise BenchError(f"{name} does not listen on port {port}: {self.tail(name)}")
                time.sleep(0.02)

    def tail(self, name: str) -> str:
        """The last lines of a log."""
        with contextlib.suppress(OSError):
            return self.log(name).read_text(errors="replace")[-1500:]
        return ""

    def stop(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """End these."""
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process in self._running:
                self._running.remove(process)

    @contextlib.contextmanager
    def all(self) -> Iterator[Processes]:
        """Whatever happens inside, all are ended after it."""
        try:
            yield self
        finally:
            self.stop(list(self._running))
