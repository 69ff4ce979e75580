"""The lock of a state directory: held by its keeper for as long as it lives, whatever ends it.

A lock file that nobody holds marks a directory whose keeper was killed: it is stale, and says what
is to become of it. A keeper that ended in order has taken its lock file away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

NAME: Final = "lock"
#: Somebody who looks whether a lock is stale holds it for a moment.
_PATIENCE: Final = 2.0
_PAUSE: Final = 0.02


class HeldError(Exception):
    """Another keeper holds the lock."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the lock file says: process ids, and whether the directory goes away at the end."""

    keeper: int
    program: int
    remove: bool


class Lock:
    """A lock that we hold."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def write(self, content: Content) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(asdict(content)).encode(), 0)

    def read(self) -> Content | None:
        """What was written last; None for a file that is not a keeper's."""
        return _parse(os.pread(self._descriptor, 4096, 0))

    def release(self, *, unlink: bool) -> None:
        if unlink:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def take(state: Path) -> Lock:
    """Make the directory if need be, and take its lock. Raises HeldError."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # swept away in this very moment
            if lock := _try(state / NAME, os.O_CREAT):
                return lock
        if time.monotonic() > deadline:
            raise HeldError(f"{state} is in use by another sandbox")
        time.sleep(_PAUSE)


def stale(state: Path) -> Lock | None:
    """The lock of a directory whose keeper was killed, now ours; None when it is held, or no keeper's."""
    try:
        lock = _try(state / NAME, 0)
    except OSError:
        return None
    if lock is not None and lock.read() is None:
        lock.release(unlink=False)
        return None
    return lock


def remove(state: Path) -> None:
    """Remove the directory, its lock last: whoever is killed in the middle of that leaves a stale one."""
    with contextlib.suppress(OSError):
        for entry in list(state.iterdir()):
            if entry.name == NAME:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
    shutil.rmtree(state, ignore_errors=True)


def holder(state: Path) -> Content | None:
    """Who keeps this directory now; None when nobody does."""
    path = state / NAME
    try:
        lock = _try(path, 0)
        if lock is None:
            return _parse(path.read_bytes())
    except OSError:
        return None
    lock.release(unlink=False)
    return None


def _try(path: Path, flags: int) -> Lock | None:
    """Raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # a file that was removed before we had it locks nothing
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return Lock(path, descriptor)
    except BlockingIOError:
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _parse(raw: bytes) -> Content | None:
    try:
        found = json.loads(raw)
        return Content(int(found["keeper"]), int(found["program"]), bool(found["remove"]))
    except (ValueError, KeyError, TypeError):
        return None
