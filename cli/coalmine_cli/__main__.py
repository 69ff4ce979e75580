"""The entry point: a component's process, or a verb for a person.

Rules: the first argument is looked at before anything else is imported, as the sidecar runs in
every pod and pays for each import with memory. Only this module reads argv, the
environment and the standard streams.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

#: Each has `main(argv, environ) -> int`; argv is what follows the component's name.
COMPONENTS: Final[Mapping[str, str]] = {
    "proxy": "coalmine_proxy.__main__",
    "webhook": "coalmine_webhook.__main__",
    "controller": "coalmine_controller.__main__",
    "demo": "coalmine_cli.demo",
    "sandbox": "coalmine_cli.sandbox",
}


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the program; returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    environ = os.environ if environ is None else environ
    if argv and argv[0] in COMPONENTS:
        return _component(argv[0], argv[1:], environ)
    try:
        return _verb(argv, environ)
    except KeyboardInterrupt:  # also while a verb is still being imported
        return 130


def _component(name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    module = COMPONENTS[name]
    if _is_missing(module):
        print(f"coalmine: this installation has no {name}: install the whole distribution", file=sys.stderr)
        return 1
    try:
        return int(importlib.import_module(module).main(list(argv), environ) or 0)
    except KeyboardInterrupt:  # while it is still being imported
        return 130


def _is_missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:  # the package around it
        return True


def _verb(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    import asyncio
    import shutil
    import time

    from coalmine_cli import program
    from coalmine_cli.terminal import OutputError, Terminal

    out, err = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (out, err):  # a terminal without these symbols is no reason to fail
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if sys.stdin is not None:  # as files are read, whatever the locale
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")  # type: ignore[union-attr]
    tty = out.isatty()
    terminal = Terminal(
        out=out,
        err=err,
        tty=tty,
        colour=tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
        columns=lambda: shutil.get_terminal_size().columns,
        rows=lambda: shutil.get_terminal_size().lines,
        stdin=sys.stdin,
    )
    as_plugin = os.path.basename(sys.argv[0]).startswith("kubectl-")
    prog = "kubectl coalmine" if as_plugin else "coalmine"
    try:
        return program.run(argv, terminal, prog=prog, clock=time.time, pause=asyncio.sleep)
    except (BrokenPipeError, OutputError) as error:  # the reader went away, as `| head` does, or the disk is full
        if isinstance(error, OutputError):
            terminal.warn(str(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # nothing may be flushed to it at exit
        return 1


def _nowhere() -> TextIO:
    """For a stream that was closed before we began."""
    return open(os.devnull, "w")


if __name__ == "__main__":
    sys.exit(main())
