"""The keeper: a small process under which everything of one sandbox runs.

Rules: whatever ends the program, or who started us, every descendant is ended after it and, if so
told, the state directory is removed; then we end with the program's status. Orphans come to us (a
subreaper), so that no descendant can be lost. SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on
to the program, once each. Who started us holds the writing end of a pipe: that it closes means that
they are gone, a byte in it that we are to live on without them.

Killed with SIGKILL it can do nothing any more: the program then gets SIGKILL from the kernel, and so
does what the program `tied` to itself; the lock that nobody holds tells the next start the rest.

Runs without site-packages (15 MB); imports the standard library and modules that do the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from coalmine_sandbox import kernel
from coalmine_sandbox.keep import family, lock

#: The bootstrap: argv is the source root, then the JSON of the specification.
PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from coalmine_sandbox.keep.keeper import main; main(sys.argv[2])"
)
FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
NOT_STARTED: Final = 127


def main(text: str) -> NoReturn:
    """`text` is JSON: command, state, remove, starter (a descriptor)."""
    spec = json.loads(text)
    try:
        status = keep(spec["command"], Path(spec["state"]), int(spec["starter"]), remove=bool(spec["remove"]))
    except (lock.HeldError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
        status = 1
    sys.exit(status)


def keep(command: Sequence[str], state: Path, starter: int, *, remove: bool) -> int:
    """Run the program and end what is left of it; its exit status, 1 when the starter was lost first."""
    kernel.adopt_orphans()
    told = _signals()
    held = lock.take(state)
    try:
        held.write(lock.Content(os.getpid(), 0, remove))
        family.end_marked(state)  # of a sandbox that lost its keeper, if it was in this directory
        try:
            program = _start(command, state)
            if program is None:
                return NOT_STARTED
            held.write(lock.Content(os.getpid(), program.pid, remove))
            return _watch(program.pid, starter, told)
        finally:
            family.end_all()
    finally:
        if remove:
            lock.remove(state)
        held.release(unlink=not remove)


def _signals() -> int:
    """From now on signals are bytes in a pipe; its reading end."""
    told, write = os.pipe()
    for descriptor in (told, write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (*FORWARDED, signal.SIGCHLD):
        signal.signal(number, _written)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)  # who started us has blocked them until now
    return told


def _written(*_: Any) -> None:
    """The wake-up descriptor has the signal's number: that is all."""


def _start(command: Sequence[str], state: Path) -> subprocess.Popen[bytes] | None:
    keeper = os.getpid()

    def prepare() -> None:
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(NOT_STARTED)
        for number in FORWARDED:  # what was ignored where we were started (a shell's background) is heeded
            signal.signal(number, signal.SIG_DFL)

    try:
        return subprocess.Popen(
            command, start_new_session=True, preexec_fn=prepare, env={**os.environ, family.MARK: str(state)}
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        return None


def _watch(program: int, starter: int, told: int) -> int:
    poll = select.poll()
    for descriptor in (starter, told):
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == starter:
                poll.unregister(starter)
                if not os.read(starter, 1):
                    return 1  # they are gone
                continue
            for number in os.read(told, 256):
                if number in FORWARDED:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(program, number)
        status = _reap(program)
        if status is not None:
            return status if status >= 0 else 128 - status


def _reap(program: int) -> int | None:
    """Reap whoever ended; the program's exit status if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == program:
                found = os.waitstatus_to_exitcode(status)
            if not pid:
                break
    return found
