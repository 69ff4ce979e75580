"""Namespaces, mounts and parent-death signals: the system calls that Python 3.11 does not wrap.

Linux only. Every function raises OSError with the path it was about. Imports nothing but ctypes
and os, since the launcher of each container loads it.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, about: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)


def unshare(flags: int) -> None:
    """Move this process (for CLONE_NEWPID: its future children) into fresh namespaces."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def join_mounts(pid: int) -> None:
    """Enter the mount namespace of another process; this one must be single-threaded."""
    descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(CLONE_NEWNS)), f"/proc/{pid}/ns/mnt")
    finally:
        os.close(descriptor)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    _check(
        _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, options.encode() or None),
        target,
    )


def die_with_parent(number: int) -> None:
    """Have the kernel send signal `number` when the thread that forked this process ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own (a subreaper)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def mirror(directory: str, place: str) -> None:
    """Mount a tmpfs at `place` that shows the entries of `directory`, and takes new ones.

    For mount points that are not to be made in the machine's own tree.
    """
    original = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    names = sorted(os.listdir(directory))
    mount("tmpfs", place, "tmpfs", MS_NOSUID, "mode=0755")
    if directory != place:
        mount("none", place, flags=MS_UNBINDABLE)
    for name in names:
        source, target = f"/proc/self/fd/{original}/{name}", f"{place}/{name}"
        try:
            if os.path.islink(source):
                os.symlink(os.readlink(source), target)
                continue
            if os.path.isdir(source):
                os.mkdir(target)
            else:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
            mount(source, target, flags=MS_BIND | MS_REC)
        except FileNotFoundError:
            continue  # removed since the directory was listed
