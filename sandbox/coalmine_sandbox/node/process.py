"""A container's process, and commands run beside it in its mounts.

Each carries the container's directory in its environment (`family.MARK`), as does what it starts: that
is how they are found again when whoever started them was killed.
"""

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
from coalmine_sandbox.keep import family
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

    def __init__(self, popen: subprocess.Popen[bytes], directory: Path, *, has_mounts: bool) -> None:
        self._popen = popen
        self.pid = popen.pid
        #: The container's, on this machine.
        self.directory = directory
        self.has_mounts = has_mounts

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
    directory: str = "",
) -> Process:
    """Start a container's process; its output is appended to `log`, which is in the container's directory.

    `mounts` take the right to make namespaces, and an empty directory ``root`` beside the log.
    Never fails for a bad command: the process then ends with `launcher.CANNOT_START`.
    """
    spec = {
        "command": list(command),
        "directory": directory,
        "mounts": [{"source": str(m.source), "target": m.target, "readOnly": m.read_only} for m in mounts],
        "root": str(log.with_name("root")),
        "parent": os.getpid(),
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        launched = _launch(spec, {**environment, family.MARK: str(log.parent)}, output.fileno())
        return Process(launched, log.parent, has_mounts=bool(mounts))


def execute(command: Sequence[str], environment: Mapping[str, str], beside: Process, directory: str = "") -> Process:
    """Start a command in the mounts of a running container (kubectl exec, exec probes and hooks)."""
    spec: dict[str, object] = {"command": list(command), "directory": directory, "parent": os.getpid(), "mounts": []}
    if beside.has_mounts:  # otherwise it sees the machine as we do
        spec["join"] = beside.pid
    launched = _launch(spec, {**environment, family.MARK: str(beside.directory)}, subprocess.DEVNULL)
    return Process(launched, beside.directory, has_mounts=beside.has_mounts)


def _launch(spec: Mapping[str, object], environment: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, _SOURCES, json.dumps(spec)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output != subprocess.DEVNULL else subprocess.DEVNULL,
        start_new_session=True,
    )
