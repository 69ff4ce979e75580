"""The guard of a node agent: ends the pods' processes, and theirs, when the agent was killed.

The kernel ends the first process of a container with the agent that started it, but not what that
process started. So a process beside the agent holds the reading end of a pipe; when it closes,
everything with the mark of a container of this node is ended. The guard's own lock keeps the next
agent from starting pods until that is done; killed itself, it leaves that to the next one.

Runs without site-packages; imports the standard library and modules that do the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coalmine_sandbox.keep import family

_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from coalmine_sandbox.node.guard import main; main(*sys.argv[2:])"
)
_SOURCES: Final = str(Path(__file__).parents[2])


@contextlib.contextmanager
def guarding(pods: Path) -> Iterator[None]:
    """While this is entered, and however it is left, no process marked with a directory below `pods`
    outlives us; none of an agent before us is left when it is entered."""
    pods.mkdir(parents=True, exist_ok=True)
    alive, kept = os.pipe()
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, _SOURCES, str(pods), str(alive)],
        pass_fds=(alive,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C on our terminal is not for it
    )
    os.close(alive)
    try:
        assert guard.stdout is not None
        guard.stdout.read(1)
        yield
    finally:
        os.close(kept)
        guard.wait()
        if guard.stdout is not None:
            guard.stdout.close()


def main(pods: str, alive: str) -> None:
    """Clear up, say so on stdout, wait for the agent's end, clear up again."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # told to all of a group, it must still outlive the agent
    directory = Path(pods)
    with (directory / ".guard").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the guard of an agent before us may still be at it
        family.end_marked(directory)
        os.write(1, b".")
        os.read(int(alive), 1)
        family.end_marked(directory)
