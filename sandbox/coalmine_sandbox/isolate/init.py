"""Process 1 of the namespaces: mounts, the loopback device, then one child, and reaping.

Runs as ``python -m coalmine_sandbox.isolate.init FD -- COMMAND...``; `FD` is the reading
end of a pipe that the process outside holds open, so that its death before the parent-death
signal was asked for is noticed. When this process ends, the kernel ends all others in here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from coalmine_sandbox import kernel
from coalmine_sandbox.isolate import FORWARDED, SCRATCH


def main(arguments: Sequence[str]) -> int:
    """Set the namespaces up, run the command; its exit status."""
    kernel.die_with_parent(signal.SIGKILL)
    descriptor, _, *command = arguments
    if select.select([int(descriptor)], [], [], 0)[0]:
        return 1  # the writing end is closed: who started us is gone
    os.close(int(descriptor))
    _mounts()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return _supervise(command)


def _mounts() -> None:
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mirror("/run", "/run")
    SCRATCH.mkdir(exist_ok=True)
    kernel.mount("tmpfs", str(SCRATCH), "tmpfs", kernel.MS_NOSUID, "mode=0755")
    # Service names are resolved through this file, which is rewritten in place
    hosts = SCRATCH / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    kernel.mount(str(hosts), "/etc/hosts", flags=kernel.MS_BIND)


def _heed() -> None:
    """A shell starts what it puts in the background with SIGINT ignored, which would be inherited."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _supervise(command: Sequence[str]) -> int:
    try:
        child = subprocess.Popen(command, start_new_session=True, preexec_fn=_heed)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    while True:
        pid, status = os.wait()  # orphans come to us too
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
