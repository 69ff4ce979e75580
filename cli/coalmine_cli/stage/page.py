"""The page: what was told, in order, as paragraphs that fit any width.

Pure. An entry is kept as it was meant and laid out when it is written, so that it can be written again
in another width after a terminal was resized.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from coalmine_cli.fit import columns, cut
from coalmine_cli.stage.ink import Ink
from coalmine_cli.terminal import Line, Span, clean
from coalmine_sandbox.story.application import COLOURS

if TYPE_CHECKING:
    from coalmine_cli.stage.tally import Stay

#: A line of prose is not made longer than this, however wide the window is.
_MEASURE: Final = 100
#: Answers in an excerpt: enough to see one in five, few enough for one line.
_EXCERPT: Final = 60
#: Below this many answers there is nothing to see.
_WORTH_SHOWING: Final = 10


class Entry(Protocol):
    """Something on the page."""

    def lines(self, width: int, ink: Ink) -> list[Line]:
        """Its lines, none of them wider than `width` columns."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text behind a mark or a time; further lines hang below the first."""

    lead: Span
    text: str
    style: str = ""

    def lines(self, width: int, ink: Ink) -> list[Line]:
        hang = columns(self.lead.text)
        parts = wrapped(self.text, min(width, _MEASURE) - hang) or [""]
        first = [self.lead, Span(" " * hang)]
        return [cut((first[min(n, 1)], Span(part, self.style)), width) for n, part in enumerate(parts)]


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are cut rather than wrapped: a tree, a table."""

    content: tuple[Line, ...]

    def lines(self, width: int, ink: Ink) -> list[Line]:
        return [cut(line, width) for line in self.content]

    def indented(self, by: int) -> Block:
        """The same, `by` columns further right."""
        return Block(tuple((Span(" " * by), *line) for line in self.content))


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first answers at a weight, one after the other, as the article shows them."""

    stay: Stay

    @property
    def worth_showing(self) -> bool:
        return self.stay.requests >= _WORTH_SHOWING

    def lines(self, width: int, ink: Ink) -> list[Line]:
        stay = self.stay
        came = stay.counts.get(COLOURS.get(stay.release, stay.release), 0)
        label = f"  {f'{stay.weight} %':>5}  "
        figures = f"  {came:,} of {stay.requests:,} from {stay.release}"
        room = min(min(width, _MEASURE) - len(label) - len(figures), _EXCERPT)
        return [cut((Span(label, "strong"), *cells(stay.first[: max(room, 0)], ink), Span(figures, "idle")), width)]


BLANK: Final = Block(((),))


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns."""
    text = clean(text)
    # a wide character may be anywhere: half the room is enough then
    return textwrap.wrap(text, max(width if columns(text) == len(text) else width // 2, 1))


def cells(answers: Sequence[str], ink: Ink) -> list[Span]:
    """Answers, a cell each; neighbours of one colour are one span."""
    spans: list[Span] = []
    start = 0
    for at in range(1, len(answers) + 1):
        if at == len(answers) or answers[at] != answers[start]:
            spans.append(ink.answer(answers[start], at - start))
            start = at
    return spans


def minutes(seconds: float) -> str:
    """``1:05``."""
    whole = max(int(seconds), 0)
    return f"{whole // 60}:{whole % 60:02}"
