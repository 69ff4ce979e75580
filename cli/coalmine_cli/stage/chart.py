"""The shares over time, as a picture: a column for a moment, its height parted among the releases.

Pure. The newest release stands at the bottom, so that a canary is seen to grow from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from coalmine_cli.stage.ink import LOOKS, Ink
from coalmine_cli.terminal import Line, Span
from coalmine_sandbox.story.application import COLOURS

#: The newest release first; what failed last of all, and so at the top.
_ORDER: Final = ("", *reversed(COLOURS.values()))
#: Eighths of a cell, from below.
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


def chart(history: Sequence[Mapping[str, int]], width: int, rows: int, ink: Ink) -> list[Line]:
    """A heading and `rows` - 1 lines; the whole history in at most `width` columns."""
    heading = (Span("Shares since the beginning", "label"),)
    columns = _columns(history, width)
    if not columns:
        return [heading]
    cells = [_column(counts, rows - 1, fine=ink.colour and ink.symbols) for counts in columns]
    lines: list[Line] = [heading]
    for row in range(rows - 2, -1, -1):
        spans = []
        for (below, above, eighths), run in groupby(column[row] for column in cells):
            spans.append(_cell(below, above, eighths, len(list(run)), ink))
        lines.append(tuple(spans))
    return lines


def _columns(history: Sequence[Mapping[str, int]], width: int) -> list[Counter[str]]:
    """The history in at most `width` columns; one in which nothing was answered shows the one before."""
    each = -(-len(history) // max(width, 1)) or 1
    columns: list[Counter[str]] = []
    for start in range(0, len(history), each):
        counts: Counter[str] = Counter()
        for bucket in history[start : start + each]:
            counts.update(bucket)
        columns.append(counts if counts or not columns else columns[-1])
    return columns


def _column(counts: Mapping[str, int], rows: int, *, fine: bool) -> list[tuple[str, str, int]]:
    """From below, for each row: the colour below, the one above, and the eighths that the lower has."""
    total = sum(counts.values())
    bounds, sofar = [], 0
    for colour in (c for c in (*_ORDER, *sorted(set(counts) - set(_ORDER))) if counts.get(c)):
        sofar += counts[colour]
        bounds.append((sofar / total * rows, colour))
    cells = []
    for row in range(rows):
        inside = [(top, colour) for top, colour in bounds if top > row + 1 / 16]
        if not inside:
            inside = bounds[-1:]
        top, below = inside[0]
        eighths = min(round((top - row) * 8), 8)
        above = inside[1][1] if len(inside) > 1 and eighths < 8 else below
        if above == below:
            eighths = 8
        if not fine:  # the one that has more of the cell
            below, above, eighths = (below if eighths >= 4 else above), below, 8
            above = below
        cells.append((below, above, eighths))
    return cells


def _cell(below: str, above: str, eighths: int, times: int, ink: Ink) -> Span:
    if not (ink.colour and ink.symbols):
        return ink.answer(below, times)
    lower, upper = (f"fill {LOOKS[c].style if c in LOOKS else 'unknown'}" for c in (below, above))
    style = lower if eighths == 8 else f"{lower}|{upper}"
    return Span(_EIGHTHS[eighths] * times, style)
