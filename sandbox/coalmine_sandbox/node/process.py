"""A container's process, and commands run beside it in its mounts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coalmine_sandbox.daemon import exited
from coalmine_sandbox.node.launcher import PROGRAM

_SOURCES: Final = str(Path(__file__).parents[2])


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of ours, at an absolute path of the container."""

    source: Path
    target: str
    read_only: bool = False


class Process:
    """A started process; its whole process group ends with it, as a container's would."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    async def wait(self) -> int:
        """The exit code as a container runtime tells it: 128 + n after signal n."""
        code = await exited(self._popen)
        self.kill()
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """To the first process only, as in a container."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    mounts: Sequence[Mount] = (),
    root: Path,
    directory: str = "",
) -> Process:
    """Start a container's process; its output is appended to `log`. `root` is an empty directory.

    Never fails for a bad command: the process then ends with `launcher.CANNOT_START`.
    """
    spec = {
        "command": list(command),
        "directory": directory,
        "mounts": [{"source": str(m.source), "target": m.target, "readOnly": m.read_only} for m in mounts],
        "root": str(root),
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return Process(_launch(spec, environment, output.fileno()))


def execute(command: Sequence[str], environment: Mapping[str, str], beside: Process, directory: str = "") -> Process:
    """Start a command in the mounts of a running container (kubectl exec, exec probes and hooks)."""
    spec = {"command": list(command), "directory": directory, "join": beside.pid}
    return Process(_launch(spec, environment, subprocess.DEVNULL))


def _launch(spec: Mapping[str, object], environment: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, _SOURCES, json.dumps(spec)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output != subprocess.DEVNULL else subprocess.DEVNULL,
        start_new_session=True,
    )
