"""The screens that a session showed, a few a second.

A screen is a tuple of rows, a row a tuple of runs: text of one style from a column on. Screens that
follow each other and are the same are one, shown longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import pyte
from cast import Cast


class Run(NamedTuple):
    """`text` in one style, from the column `at`; colours are pyte's names."""

    at: int
    text: str
    colour: str
    background: str
    bold: bool


Row = tuple[Run, ...]
Screen = tuple[Row, ...]


class Shot(NamedTuple):
    """A screen, and when it began to be seen."""

    at: float
    screen: Screen


def film(cast: Cast, rate: float) -> list[Shot]:
    """The screens of `cast`, at most `rate` a second."""
    terminal = pyte.Screen(cast.columns, cast.rows)
    stream = pyte.Stream(terminal)
    shots: list[Shot] = []
    for number, events in groupby(cast.events, key=lambda event: int(event[0] * rate)):
        for _, text in events:
            stream.feed(text)
        screen = tuple(tuple(_runs(terminal, row)) for row in range(cast.rows))
        if not shots or shots[-1].screen != screen:
            shots.append(Shot(number / rate, screen))
    return shots


def _runs(terminal: pyte.Screen, row: int) -> Iterator[Run]:
    """A blank on the usual background has the style of what stands before it, so that words stay together."""
    cells = [terminal.buffer[row][column] for column in range(terminal.columns)]
    styles: list[tuple[str, str, bool]] = []
    for cell in cells:
        colours = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
        blank = cell.data == " " and colours[1] == "default"
        same = blank and styles and styles[-1][1] == "default"
        styles.append(styles[-1] if same else (*colours, cell.bold))
    at = 0
    for style, run in groupby(styles):
        text = "".join(cell.data for cell in cells[at : at + len(list(run))])
        if text.strip() or style[1] != "default":
            yield Run(at, text, *style)
        at += len(text)
