"""What a stream can show: colours or none, symbols or ASCII; and how each answer looks in it.

Rules: a colour never carries a meaning alone. An answer has a shape of its own for each release, and where
there are no colours, or no symbols, it is the first letter of the colour's name. Styles are names;
the sixteen colours that they stand for are the terminal's own, so that a person's theme holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from coalmine_cli.terminal import Span


class Look(NamedTuple):
    """How an answer of one colour is drawn."""

    shape: str
    letter: str
    style: str


#: By the word that the application answers; "" is a request that failed.
LOOKS: Final[Mapping[str, Look]] = {
    "red": Look("●", "R", "red"),
    "blue": Look("■", "B", "blue"),
    "black": Look("◆", "K", "black"),
    "green": Look("▲", "G", "green"),
    "": Look("✖", "!", "failed"),
}
_STRANGER: Final = Look("?", "?", "unknown")

#: The parameters of SGR, "set graphic rendition", by the name of a style.
SGR: Final[Mapping[str, str]] = {
    "label": "1",
    "title": "1;36",
    "strong": "1",
    "good": "32",
    "bad": "31",
    "waiting": "36",
    "paused": "33",
    "idle": "90",
    "faint": "90",
    "warning": "33",
    "unknown": "33",
    "stable": "32",
    "canary": "33",
    "red": "31",
    "blue": "94",
    "black": "30;47",  # black on white: it must be seen on a dark terminal too
    "green": "32",
    "failed": "1;97;41",
}
#: The numbers of the colours of a chart's areas.
_FILLS: Final[Mapping[str, int]] = {"red": 31, "blue": 94, "black": 90, "green": 32, "failed": 97, "unknown": 33}
#: From a colour's number in the foreground to that in the background.
_BACKGROUND: Final = 10
#: What stands for a symbol where only ASCII can be shown: one character for one, so that columns stay.
_ASCII: Final = str.maketrans(
    {
        "✔": "+", "✖": "x", "◌": "o", "॥": "=", "•": "-", "⚠": "!", "⟳": "@", "⧉": "%", "□": ".", "α": "a",
        "├": "|", "└": "`", "─": "-", "│": "|", "━": "=", "…": "~", "·": "-", "▶": ">", "–": "-",
        "●": "o", "■": "#", "◆": "*", "▲": "^", **dict.fromkeys("▁▂▃▄▅▆▇█", "#"),
    }
)  # fmt: skip
#: What the symbols are tried with.
_SYMBOLS: Final = "".join(map(chr, _ASCII))


@dataclass(frozen=True, slots=True)
class Ink:
    """What the stream can show."""

    colour: bool
    symbols: bool

    @classmethod
    def of(cls, encoding: str | None, *, colour: bool) -> Ink:
        """For a stream with this encoding."""
        try:
            _SYMBOLS.encode(encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(colour, symbols=False)
        return cls(colour, symbols=True)

    def answer(self, colour: str, times: int = 1) -> Span:
        """`times` answers of a colour, a cell each."""
        look = LOOKS.get(colour, _STRANGER)
        return Span((look.shape if self.colour and self.symbols else look.letter) * times, look.style)

    def text(self, text: str) -> str:
        """`text` as the stream can show it."""
        return text if self.symbols else text.translate(_ASCII).encode("ascii", "replace").decode()

    def line(self, spans: tuple[Span, ...]) -> str:
        """A line with its colours, without spaces at the end."""
        parts: list[str] = []
        spans = _trimmed(spans)
        style, run = "", ""
        for span in (*spans, Span("", "end")):
            if span.style != style:
                parts.append(self._styled(run, style))
                style, run = span.style, ""
            run += span.text
        return "".join(parts)

    def _styled(self, text: str, style: str) -> str:
        code = _code(style) if self.colour else ""
        shown = self.text(text)
        return f"\x1b[{code}m{shown}\x1b[m" if code and shown else shown


def _code(style: str) -> str:
    """The parameters of a style; ``fill blue|fill red`` is an area of blue below one of red."""
    if not style.startswith("fill "):
        return SGR.get(style, "")
    below, _, above = style.partition("|")
    code = str(_FILLS[below.removeprefix("fill ")])
    return f"{code};{_FILLS[above.removeprefix('fill ')] + _BACKGROUND}" if above else code


def _trimmed(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    left = list(spans)
    while left:
        text = left[-1].text.rstrip(" ")
        if text:
            left[-1] = Span(text, left[-1].style)
            break
        left.pop()
    return tuple(left)
