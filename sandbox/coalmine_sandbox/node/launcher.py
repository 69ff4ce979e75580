"""What becomes a container: enters its mounts, then turns into its program.

Runs in a process of its own, started without site-packages (10 ms). A process that is to see a
volume at an absolute path gets a mount namespace; where the path does not exist on this machine,
the deepest directory that does is replaced, for this process only, by a tmpfs with all its entries
bound into it, in which mount points can be made. Nothing is written to the machine's own tree.

Exit status 128 means that the program could not be started (the kubelet's StartError).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, Final, NoReturn

from coalmine_sandbox import kernel

#: The bootstrap: argv is the source root, then the JSON of the specification.
PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from coalmine_sandbox.node.launcher import main; main(sys.argv[2])"
)
CANNOT_START: Final = 128


def main(text: str) -> NoReturn:
    """`text` is JSON: command, directory, parent, and either `join` (a pid) or `mounts` and `root`."""
    spec = json.loads(text)
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != spec["parent"]:
            os._exit(CANNOT_START)  # it ended before the kernel was asked
        if "join" in spec:
            _join(int(spec["join"]))
        elif spec["mounts"]:
            _enter(spec["mounts"], spec["root"])
        os.chdir(spec.get("directory") or "/")
        os.execvp(spec["command"][0], spec["command"])  # noqa: S606  that is its job
    except OSError as error:
        print(f"cannot start {spec['command'][0]}: {error}", file=sys.stderr, flush=True)
        os._exit(CANNOT_START)


def _join(pid: int) -> None:
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    kernel.join_mounts(pid)
    os.fchdir(root)
    os.chroot(".")


def _enter(mounts: list[dict[str, Any]], root: str) -> None:
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # opened before anything is mounted: a volume at /tmp must not hide another one's source
    opened = [(os.open(m["source"], os.O_PATH | os.O_CLOEXEC), m) for m in mounts]
    targets = {descriptor: os.path.realpath(one["target"]) for descriptor, one in opened}
    top = "/"
    if any(_deepest("/", path) == "/" for path in targets.values()):
        # nothing can be mounted over the root itself: a new one is made, and entered at the end
        kernel.mirror("/", root)
        top = root
    mounted: list[str] = []
    # parents before what is mounted below them
    for descriptor, one in sorted(opened, key=lambda pair: targets[pair[0]].count("/")):
        source, path = f"/proc/self/fd/{descriptor}", targets[descriptor]
        _make(path, top, mounted, is_file=not os.path.isdir(source))
        kernel.mount(source, _below(top, path), flags=kernel.MS_BIND | kernel.MS_REC)
        if one.get("readOnly"):
            kernel.mount("none", _below(top, path), flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)
        mounted.append(path)
    if top != "/":
        os.chroot(top)


def _deepest(top: str, path: str) -> str:
    """The deepest directory on the way to `path` that exists; `path` itself when it does."""
    while path != "/" and not os.path.lexists(_below(top, path)):
        path = os.path.dirname(path)
    return path


def _make(path: str, top: str, mounted: list[str], *, is_file: bool) -> None:
    """Make the mount point `path` exist below `top`."""
    existing = _deepest(top, path)
    if existing == path:
        return
    # inside a volume the mount point is made in the volume, as a container runtime does
    if existing != "/" and not any(existing == m or existing.startswith(f"{m}/") for m in mounted):
        kernel.mirror(_below(top, existing), _below(top, existing))
    place = _below(top, path)
    os.makedirs(os.path.dirname(place) if is_file else place, exist_ok=True)
    if is_file:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))


def _below(top: str, path: str) -> str:
    return path if top == "/" else top + path
