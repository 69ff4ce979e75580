"""Text on a terminal: how wide it is, and how it is cut. Pure."""

from __future__ import annotations

import unicodedata

from coalmine_cli.terminal import Line, Span


def columns(text: str) -> int:
    """Columns on a terminal: two for the wide characters of East Asian scripts."""
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text)


def text_of(line: Line) -> str:
    """The text of `line`, without spaces at the end."""
    return "".join(span.text for span in line).rstrip()


def padded(text: str, width: int) -> str:
    """`text` and spaces up to `width` columns."""
    return text + " " * max(width - columns(text), 0)


def cut(line: Line, width: int) -> Line:
    """`line` within `width` columns; what is cut shows as an ellipsis."""
    if columns(text_of(line)) <= width:
        return line
    left, kept = width - 1, list[Span]()
    for span in line:
        text = span.text
        while columns(text) > left:
            text = text[: left if len(text) > left else -1]
        kept.append(Span(text, span.style))
        left -= columns(text)
    return (*kept, Span("…"))


def shortened(name: str, length: int) -> str:
    """`name` in at most `length` characters, without its middle: the end tells one pod from the other."""
    if len(name) <= length:
        return name
    tail = length * 2 // 3
    return f"{name[: length - tail - 1]}…{name[-tail:]}"
