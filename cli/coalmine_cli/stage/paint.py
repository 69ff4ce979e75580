"""Writes to a terminal: a page that grows, and below it lines that are redrawn in place.

The only place that knows control codes. Rules:
- A line is overwritten and then its rest is erased, never the other way round: nothing flickers. Lines
  that did not change are not written.
- No line fills the last column, and wrapping is off while a picture is written: a symbol that a
  terminal takes for two columns wide cuts a line instead of tearing the picture.
- Between two calls the terminal is in its usual state but for the hidden cursor, which `close` brings back.
- In the namespaces there is no controlling terminal, and so no SIGWINCH: the size is asked for each time.
  After a change it is unknown what the terminal made of the lines that it had; everything that can be
  seen is then written anew, from the top.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TextIO

from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.page import Entry
from coalmine_cli.terminal import Line

#: Makes the lines to be redrawn, for so many columns in a terminal of so many rows.
Draw = Callable[[int, int], Sequence[Line]]

#: A synchronized update, so that a picture is shown whole where the terminal knows it; no wrapping.
_BEGIN: Final = "\x1b[?2026h\x1b[?7l"
_END: Final = "\x1b[?7h\x1b[?2026l"
_HIDE: Final = "\x1b[?25l"
_SHOW: Final = "\x1b[?25h"
_ERASE_LINE: Final = "\x1b[K"
_ERASE_BELOW: Final = "\x1b[J"
_HOME: Final = "\x1b[H"
#: More entries than any screen has lines are not written again after a resize.
_REMEMBERED: Final = 400


class Painter:
    """`size` is the terminal's, now."""

    def __init__(self, out: TextIO, ink: Ink, size: Callable[[], os.terminal_size]) -> None:
        self._out = out
        self._ink = ink
        self._size = size
        self._page: list[Entry] = []
        self._picture: list[str] | None = None
        self._last = os.terminal_size((0, 0))

    @property
    def width(self) -> int:
        """Columns that may be used."""
        return max(self._size().columns - 1, 1)

    def paint(self, entries: Iterable[Entry], draw: Draw) -> None:
        """Add `entries` to the page and draw the picture anew."""
        new = list(entries)
        self._page = [*self._page, *new][-_REMEMBERED:]
        size = self._size()
        width = max(size.columns - 1, 1)
        picture = [self._ink.line(line) for line in draw(width, size.lines)]
        resized = size != self._last and self._picture is not None
        if resized:
            text = self._all(picture, width, size.lines)
        elif new or self._picture is None or len(self._picture) != len(picture):
            text = self._up() + self._written([*self._lines(new, width), *picture]) + _ERASE_BELOW
        else:
            text = self._changed(self._picture, picture)
        first = _HIDE if self._picture is None else ""
        self._picture, self._last = picture, size
        if text:
            self._write(first + _BEGIN + text + _END)

    def close(self, entries: Iterable[Entry] = ()) -> None:
        """Take the picture away, add `entries` to the page, and bring the cursor back. May be called twice."""
        if self._picture is None:
            self.add(entries)
            return
        text = self._up() + _ERASE_BELOW + _SHOW
        self._picture = None
        self._write(text + self._text(entries))

    def add(self, entries: Iterable[Entry]) -> None:
        """Add to the page while there is no picture."""
        self._write(self._text(entries))

    def _text(self, entries: Iterable[Entry]) -> str:
        return "".join(f"{line}\r\n" for line in self._lines(entries, self.width))

    def _lines(self, entries: Iterable[Entry], width: int) -> list[str]:
        return [self._ink.line(line) for entry in entries for line in entry.lines(width, self._ink)]

    def _up(self) -> str:
        """To the first column of the picture's first line."""
        rows = len(self._picture or ()) - 1
        return "\r" + (f"\x1b[{rows}A" if rows > 0 else "")

    def _written(self, lines: Sequence[str]) -> str:
        return "\r\n".join(f"{line}{_ERASE_LINE}" for line in lines)

    def _changed(self, old: Sequence[str], new: Sequence[str]) -> str:
        """The lines that differ; "" when none does."""
        if old == new:
            return ""
        text, at = self._up(), 0
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            if before != after:
                text += (f"\x1b[{number - at}B" if number > at else "") + f"\r{after}{_ERASE_LINE}"
                at = number
        rest = len(new) - 1 - at
        return text + (f"\x1b[{rest}B" if rest else "")

    def _all(self, picture: Sequence[str], width: int, rows: int) -> str:
        """Everything that fits on the screen, from its top."""
        room = max(rows - len(picture), 0)
        page = self._lines(self._page[-rows:], width)
        return _HOME + self._written([*page[len(page) - min(room, len(page)) :], *picture]) + _ERASE_BELOW

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
