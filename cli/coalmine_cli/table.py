"""A table of words, as kubectl and Argo Rollouts print lists.

Pure. Rules: a row keeps its one line. Where the terminal is too narrow, columns go in the order in which they
say the least, then names lose their middles, then line ends are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from coalmine_cli.fit import columns, cut, padded, shortened, text_of
from coalmine_cli.terminal import Line, Span, clean

_GAP: Final = 2
_SHORTEST_NAME: Final = 12


class Cell(NamedTuple):
    """A word, and its style."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading. `goes` is its place among the columns that a narrow terminal does without; 0: it stays."""

    title: str
    goes: int = 0


Row = Sequence[Cell]


def lines(
    headings: Sequence[Column], rows: Sequence[Row], width: int | None = None, least: Sequence[int] = ()
) -> list[Line]:
    """The heading and a line for each row, within `width` columns; columns are at least as wide as `least`."""
    kept = list(range(len(headings)))
    dispensable = sorted((i for i in kept if headings[i].goes), key=lambda i: headings[i].goes)
    drawn = _draw(headings, rows, kept, least)
    while width is not None and _widest(drawn) > width and dispensable:
        kept.remove(dispensable.pop(0))
        drawn = _draw(headings, rows, kept, least)
    if width is None:
        return drawn
    excess = _widest(drawn) - width
    if excess > 0:
        name = next(i for i in kept if headings[i].title == "NAME")
        room = max(max(columns(r[name].text) for r in rows) - excess, _SHORTEST_NAME) if rows else 0
        fitted = [[*r[:name], r[name]._replace(text=shortened(r[name].text, room)), *r[name + 1 :]] for r in rows]
        drawn = _draw(headings, fitted, kept, ())
    return [cut(line, width) for line in drawn]


def widths(headings: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """The width of each column."""
    return [max(columns(t) for t in (h.title, *(clean(r[i].text) for r in rows))) for i, h in enumerate(headings)]


def _draw(headings: Sequence[Column], rows: Sequence[Row], kept: Sequence[int], least: Sequence[int]) -> list[Line]:
    own = widths(headings, rows)
    wide = [max(w, least[i] if i < len(least) else 0) + _GAP for i, w in enumerate(own)]
    titles: Row = [Cell(h.title, "label") for h in headings]
    return [tuple(Span(padded(clean(row[i].text), wide[i]), row[i].style) for i in kept) for row in (titles, *rows)]


def _widest(drawn: Sequence[Line]) -> int:
    return max(columns(text_of(line)) for line in drawn)
