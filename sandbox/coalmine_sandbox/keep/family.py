"""Which processes belong to a sandbox, and ending them.

Two ways to tell. By descent: a subreaper is the parent of all that lost theirs, so that what it has
not reaped is its own. By a mark in the environment: the program carries the state directory
there, a pod's process the directory of its container, so that they are known even after everything
between has ended.

Linux only; imports the standard library only, since the keeper runs without site-packages.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: Variable that names what a process was started for: a state directory, or a container's below one.
MARK: Final = "COALMINE_SANDBOX_PART"
#: Between two looks at those that were killed: what takes longer to end waits for the kernel.
_PAUSE: Final = 0.005


def descendants(root: int) -> list[int]:
    """All processes below `root`, as they are at this moment; those that ended unreaped are left out."""
    children: dict[int, list[int]] = {}
    for pid in _processes():
        try:
            # the name in parentheses may hold anything, parentheses too
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found


def marked(directory: Path) -> list[int]:
    """This user's other processes that were started for `directory`, or for one below it."""
    wanted = f"{MARK}={directory}".encode()
    found = []
    for pid in set(_processes()) - {os.getpid()}:
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if any(v == wanted or v.startswith(wanted + b"/") for v in variables):
                found.append(pid)
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_marked(directory: Path) -> None:
    """SIGKILL to all that are `marked`, until none is left: one may have started another meanwhile."""
    while pids := marked(directory):
        kill(pids)
        time.sleep(_PAUSE)


def end_all() -> None:
    """SIGKILL to every descendant of this process, which is a subreaper, until none is left.

    Whoever loses its parent meanwhile becomes our child; without a child there is no descendant.
    """
    me = os.getpid()
    while True:
        kill(descendants(me))
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
