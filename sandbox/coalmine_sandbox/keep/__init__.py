"""Everything that a sandbox starts, kept together without namespaces and without root.

The counterpart of `isolate`: `run` starts a program under a keeper (`keep.keeper`) and waits for it;
`current` tells a program whether it has one. Whatever ends the program, the keeper, or us, no
process of the sandbox is left, and no directory that was to be removed.

    killed           who ends the rest
    the program      the keeper
    the starter      the keeper, which sees the pipe close
    the keeper       the kernel (the program and what is `tied` to it), and the starter by the mark
                     in their environment; when that was killed as well: the next start
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from coalmine_sandbox.keep import family, keeper, lock
from coalmine_sandbox.keep.tied import tied

#: The program makes this file in the state directory once it is up (for `detach`).
READY: Final = "ready"
#: What a detached program prints goes here, in the state directory.
OUTPUT: Final = "output"
_SOURCES: Final = str(Path(__file__).parents[2])
_PAUSE: Final = 0.05
#: How much of what a program printed is shown when it did not become ready.
_TAIL_BYTES: Final = 16 * 1024


class KeepError(Exception):
    """The sandbox cannot be kept; the text says why."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a program under a keeper may use: a directory."""

    state: Path


def home() -> Path:
    """This user's directory for state directories, made if need be. Raises KeepError.

    Its name is short: a pod may make Unix sockets below it, whose paths have at most 107 bytes.
    """
    path = Path(tempfile.gettempdir()) / f"coalmine-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if found.st_uid != os.getuid() or path.is_symlink() or not path.is_dir():
        raise KeepError(f"{path} is somebody else's: remove it, or set TMPDIR to a directory of your own")
    path.chmod(0o700)
    return path


def fresh() -> Path:
    """The name of a new state directory in `home`. Its keeper makes it: nobody else would remove it for sure."""
    return home() / secrets.token_hex(4)


def current() -> Keeping | None:
    """The keeping that this process is under, or None."""
    pid = os.getppid()
    while pid > 1:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        if keeper.PROGRAM.encode() in arguments:
            state = Path(json.loads(arguments[arguments.index(keeper.PROGRAM.encode()) + 2])["state"])
            return Keeping(state)
        pid = int(stat.rpartition(")")[2].split()[1])
    return None


def run(command: Sequence[str], state: Path, *, remove: bool = True) -> int:
    """Run `command` under a keeper until it ends; its exit status (128 + n when signal n ended it).

    `state` is made if need be, and removed at the end if `remove`. SIGINT, SIGTERM, SIGHUP and
    SIGQUIT are passed on, once each. To be called in the main thread.
    """
    sweep(state.parent)
    started: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if not started:
            early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            started[0].send_signal(number)

    before = {number: signal.signal(number, forward) for number in keeper.FORWARDED}
    try:
        with _starter() as (alive, _):
            started.append(_start(command, state, alive, remove=remove))
            for number in early:
                started[0].send_signal(number)
            status = started[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status < 0:
        _after_killed(state, remove=remove)
    return status if status >= 0 else 128 - status


def detach(command: Sequence[str], state: Path, *, remove: bool = False) -> int:
    """Start `command` under a keeper that lives on after us; returns once the program has made the
    file `ready` in `state` (0), or ended (its status, or 1, and the end of what it printed on stderr).

    Raises KeepError when another sandbox has this directory. Cancelled (Ctrl-C) before the
    program is ready, it ends all again.
    """
    sweep(state.parent)
    if lock.holder(state) is not None:
        raise KeepError(f"{state} is in use by another sandbox")
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    (state / READY).unlink(missing_ok=True)
    with _starter() as (alive, kept), (state / OUTPUT).open("wb") as output:
        process = _start(command, state, alive, remove=remove, output=output.fileno())
        try:
            while not (state / READY).exists() and process.poll() is None:
                time.sleep(_PAUSE)
        except BaseException:
            os.dup2(alive, kept)  # closes the writing end: the keeper sees us gone
            process.wait()
            raise
        if process.poll() is None:
            os.write(kept, b"d")
            process.returncode = 0  # it lives on, and nobody here will ask
            return 0
    if process.returncode < 0:
        _after_killed(state, remove=remove)
    with contextlib.suppress(OSError):
        tail = (state / OUTPUT).read_bytes()[-_TAIL_BYTES:]
        print(tail.decode(errors="replace"), end="", file=sys.stderr, flush=True)
    return process.returncode if process.returncode > 0 else 1


def end(state: Path, patience: float = 20.0) -> bool:
    """End the sandbox in this directory: SIGTERM, after `patience` seconds SIGKILL for its program.

    Returns once its keeper is gone; False when there was none.
    """
    found = lock.holder(state)
    if found is None:
        return sweep_one(state)
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.keeper, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while (now := lock.holder(state)) is not None and now.keeper == found.keeper:
        if time.monotonic() > deadline:
            family.kill([now.program or now.keeper])
        time.sleep(_PAUSE)
    return True


def holder(state: Path) -> int | None:
    """The process id of the keeper that has this directory now."""
    found = lock.holder(state)
    return found.keeper if found else None


def sweep(parent: Path) -> None:
    """Clear what killed keepers of this user left in the state directories below `parent`."""
    with contextlib.suppress(FileNotFoundError):
        for state in sorted(parent.iterdir()):
            with contextlib.suppress(OSError):
                if state.lstat().st_uid == os.getuid() and not state.is_symlink() and state.is_dir():
                    sweep_one(state)


def sweep_one(state: Path) -> bool:
    """Clear this state directory if its keeper was killed; whether that was so."""
    stale = lock.stale(state)
    if stale is None:
        return False
    content = stale.read()
    family.end_marked(state)
    if content is not None and content.remove:
        _remove(state)
    stale.release(unlink=True)
    return True


def _after_killed(state: Path, *, remove: bool) -> None:
    # one that was killed before it had its lock has left the directory only
    if not sweep_one(state) and remove and lock.holder(state) is None:
        _remove(state)


def _remove(state: Path) -> None:
    while state.exists():  # what the kernel is still ending may write once more
        lock.remove(state)


@contextlib.contextmanager
def _starter() -> Iterator[tuple[int, int]]:
    """The pipe by which a keeper knows that we live: its reading end, and ours."""
    alive, kept = os.pipe()
    try:
        yield alive, kept
    finally:
        os.close(alive)
        os.close(kept)


def _start(
    command: Sequence[str], state: Path, alive: int, *, remove: bool, output: int | None = None
) -> subprocess.Popen[bytes]:
    spec = {"command": list(command), "state": str(state.absolute()), "remove": remove, "starter": alive}
    # blocked, and so inherited: what comes before the keeper has its handlers waits for them
    signal.pthread_sigmask(signal.SIG_BLOCK, keeper.FORWARDED)
    try:
        # a session of its own: a Ctrl-C on the terminal reaches the program through us, and so once
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", keeper.PROGRAM, _SOURCES, json.dumps(spec)],
            pass_fds=(alive,),
            start_new_session=True,
            stdin=None if output is None else subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, keeper.FORWARDED)


__all__ = [
    "KeepError",
    "Keeping",
    "current",
    "detach",
    "end",
    "fresh",
    "holder",
    "home",
    "run",
    "sweep",
    "sweep_one",
    "tied",
]
