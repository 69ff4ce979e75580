"""A control group of our own for the node: control groups are the machine's, whatever namespaces we are in.

The kubelet is given this group as its root and makes everything below it, in each hierarchy of version 1, or in
the one of version 2. Removed in the end; one that is left over by a kill -9 holds no process and costs nothing: `make`
removes those that are an hour old.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
PREFIX: Final = "coalmine-node-"
_OLD_SECONDS: Final = 3600.0
#: What a kubelet on version 2 asks for.
_CONTROLLERS: Final = "+cpu +cpuset +memory +pids +io"


def _hierarchies() -> Iterator[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        yield _ROOT
        return
    for place in sorted(_ROOT.iterdir()):
        if place.is_dir() and not place.is_symlink() and (place / "cgroup.procs").exists():
            yield place


def make(token: str) -> str:
    """Make the group in each hierarchy; its path, as the kubelet's `cgroupRoot` wants it."""
    for hierarchy in _hierarchies():
        for old in hierarchy.glob(f"{PREFIX}*"):
            if time.time() - old.stat().st_mtime > _OLD_SECONDS:
                _remove(old)
        group = hierarchy / f"{PREFIX}{token}"
        group.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):  # without these no process can enter it
            if hierarchy != _ROOT and (group / name).exists():
                (group / name).write_text((hierarchy / name).read_text())
        if hierarchy == _ROOT:
            (group / "cgroup.subtree_control").write_text(_CONTROLLERS)
    return f"/{PREFIX}{token}"


def kill(token: str) -> None:
    """End every process in it."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / f"{PREFIX}{token}"):
            with contextlib.suppress(OSError):  # containers end meanwhile, and their groups with them
                for pid in Path(folder, "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)


def remove(token: str) -> bool:
    """Remove it; whether nothing is left. Groups that still hold processes stay."""
    groups = [hierarchy / f"{PREFIX}{token}" for hierarchy in _hierarchies()]
    for group in groups:
        _remove(group)
    return not any(group.exists() for group in groups)


def _remove(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # not empty: somebody lives there
            os.rmdir(folder)


def memory(pid: int) -> int:
    """Bytes that the control group of a process holds, page cache included; 0 where that is not told."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return int((_ROOT / "memory" / path.lstrip("/") / "memory.usage_in_bytes").read_text())
        if controllers == "" and (file := _ROOT / path.lstrip("/") / "memory.current").exists():
            return int(file.read_text())
    return 0
