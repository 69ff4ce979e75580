"""A program that does not outlive the process that started it, not even when that gets SIGKILL.

The kernel sends SIGKILL when the thread that started the program ends: start it from a thread
that lives as long as the process. What the program starts is not tied, unless by itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from coalmine_sandbox import kernel

_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from coalmine_sandbox.keep.tied import main; main(sys.argv[2:])"
)
_SOURCES: Final = str(Path(__file__).parents[2])
_CANNOT_START: Final = 127


def tied(command: Sequence[str]) -> list[str]:
    """The command line that runs `command`, in the same process, tied to this one.

    Costs 10 ms; a program that is not there ends with status 127 and a sentence on stderr.
    """
    return [sys.executable, "-I", "-S", "-c", _PROGRAM, _SOURCES, str(os.getpid()), *command]


def main(arguments: Sequence[str]) -> NoReturn:
    """`arguments`: the process that it is tied to, and the command."""
    parent, *command = arguments
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(_CANNOT_START)  # it ended before the kernel was asked
    try:
        os.execvp(command[0], command)  # noqa: S606  that is its job
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(_CANNOT_START)
