"""A terminal session as it was written: bytes with times, as asciicast v2 has them.

`run` records a program in a pseudo-terminal; `shortened` takes out waits, so that nobody watches a
program start; `to_json` gives the asciicast for players that know it.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cast:
    """`events` are seconds since the start and what was written then."""

    columns: int
    rows: int
    events: tuple[tuple[float, str], ...]

    @property
    def seconds(self) -> float:
        return self.events[-1][0] if self.events else 0.0


def run(command: Sequence[str], columns: int, rows: int) -> tuple[Cast, int]:
    """Run `command` in a terminal of this size; what it wrote, and its exit status."""
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.environ.update(TERM="xterm-256color", COLUMNS=str(columns), LINES=str(rows))
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvp(command[0], list(command))  # noqa: S606
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    events: list[tuple[float, str]] = []
    began = time.monotonic()
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        events.append((time.monotonic() - began, decode(data)))
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return Cast(columns, rows, tuple(events)), os.waitstatus_to_exitcode(status)


def shortened(cast: Cast, longest: float, speed: float) -> Cast:
    """Waits of more than `longest` seconds are cut to that; then everything goes `speed` times as fast."""
    events, last, now = [], 0.0, 0.0
    for at, text in cast.events:
        now += min(at - last, longest)
        last = at
        events.append((now / speed, text))
    return Cast(cast.columns, cast.rows, tuple(events))


def to_json(cast: Cast) -> str:
    """The asciicast v2 document: a line of JSON for the head and for each event."""
    head = {"version": 2, "width": cast.columns, "height": cast.rows}
    return "\n".join(json.dumps(line) for line in (head, *([at, "o", text] for at, text in cast.events))) + "\n"


def from_json(text: str) -> Cast:
    """Read an asciicast v2 document."""
    head, *lines = (json.loads(line) for line in text.splitlines() if line)
    return Cast(head["width"], head["height"], tuple((at, data) for at, kind, data in lines if kind == "o"))
