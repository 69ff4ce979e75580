"""Fresh network, PID and mount namespaces for everything that a lab on the real control plane starts.

Inside, addresses on the loopback device, processes and mounts are seen by nobody else, and the
kernel takes all of them away when the first process in there ends, whatever ended it: Ctrl-C,
kill -9, a crash. There is no other clean-up that could be forgotten.

``run`` starts a program inside and waits for it; ``current`` tells a program whether it is inside.
The mark is the command line of process 1, not an environment variable that could leak.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from coalmine_sandbox import kernel

INIT_MODULE: Final = "coalmine_sandbox.isolate.init"
#: Exists inside only: process 1 makes it on a tmpfs that hides /run behind its own entries.
SCRATCH: Final = Path("/run/coalmine")
FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class IsolationError(Exception):
    """The namespaces cannot be made; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a program inside may use: a directory on a tmpfs of its own."""

    scratch: Path


def current() -> Isolation | None:
    """The isolation that this process runs in, or None."""
    try:
        arguments = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return Isolation(SCRATCH) if INIT_MODULE.encode() in arguments else None


def run(command: Sequence[str]) -> int:
    """Run `command` inside fresh namespaces; its exit status (128 + n when signal n ended it).

    SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on, once each. Raises IsolationError when
    this user may not make namespaces.
    """
    try:
        # only children enter the PID namespace; that this process, too, leaves the network is no
        # loss: it does nothing but wait. Mounts are for process 1 to unshare
        kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWPID)
    except OSError as error:
        raise IsolationError(
            f"fresh namespaces cannot be made ({error.strerror}): run this as root, with CAP_SYS_ADMIN"
        ) from error
    alive, kept = os.pipe()
    argv = [sys.executable, "-m", INIT_MODULE, str(alive), "--", *command]
    # a session of its own: a Ctrl-C on the terminal reaches the program through us, and so once
    init = subprocess.Popen(argv, pass_fds=(alive,), start_new_session=True)
    os.close(alive)

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            init.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        status = init.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(kept)
    return status if status >= 0 else 128 - status
