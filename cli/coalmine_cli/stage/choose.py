"""Which form of the stage a stream gets.

The live one needs a terminal that can be redrawn and is large enough; everything else gets the plain
one. `NO_COLOR` (no-color.org) and `TERM=dumb` are heeded, in the environment that is passed in.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Final, TextIO

from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.live import Live
from coalmine_cli.stage.plain import WIDTH, Plain

#: Below this there is room for neither the page nor the picture.
_LEAST: Final = os.terminal_size((30, 10))


def stage(out: TextIO, environ: Mapping[str, str], *, colour: bool = True) -> Live | Plain:
    """The stage for `out`; `colour` False: none, whatever the terminal can do."""
    tty = out.isatty() and environ.get("TERM", "dumb") != "dumb"
    ink = Ink.of(out.encoding, colour=colour and tty and not environ.get("NO_COLOR"))
    if tty and _roomy(size := _size(out)):
        return Live(out, ink, lambda: _size(out), time.monotonic, time.time, asyncio.sleep)
    width = min(size.columns - 1, WIDTH) if tty and size.columns > _LEAST.columns else WIDTH
    return Plain(out, ink, width, time.monotonic, time.time, asyncio.sleep)


def _size(out: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(out.fileno())
    except OSError:
        return os.terminal_size((0, 0))


def _roomy(size: os.terminal_size) -> bool:
    return size.columns >= _LEAST.columns and size.lines >= _LEAST.lines
