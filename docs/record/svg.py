"""A film as one animated SVG that needs nothing else: no script, no font, no link.

Rules:
- The screens stand below each other, and one animation moves them past the window, a screen at a time
  (``step-end``): every browser and GitHub's image proxy play that, and it loops. Who asked for less motion
  gets the still picture.
- A row is defined once, however many screens show it; and as the columns of a screen change by themselves,
  rows are parted where that makes the picture smallest.
- Text is laid out by us: each run is given its width, so that any monospaced font keeps the columns.
  Lines, blocks, dots and marks are drawn, as fonts disagree about their size and some have none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

from film import Row, Run, Screen, Shot

#: Size of a cell and of the letters in it, in pixels.
_W: Final = 8
_H: Final = 17
_FONT: Final = 13.3
_PAD: Final = 16
_BAR: Final = 34
_COLOURS: Final = {
    "default": "#d0d7de",
    "black": "#1b1f24",
    "red": "#ff6e67",
    "green": "#3fb950",
    "brown": "#d8a228",
    "blue": "#4c8dff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
    "white": "#e6edf3",
    "brightblack": "#7d8590",
    "brightblue": "#58a6ff",
    "brightwhite": "#ffffff",
}
#: One letter each: they are written thousands of times.
_CLASSES: Final = dict(zip([name for name in _COLOURS if name != "default"], "krgyumcwBUW", strict=True))
#: Rows are parted at no more columns than this: each one takes a second to find.
_MOST_CUTS: Final = 3
_BACKGROUND: Final = "#0d1117"

#: What is drawn in a cell of 8 x 17, relative to its left upper corner: strokes of box drawing,
#: from the middle of its upper edge,
_LINES: Final = {"─": "", "│": "v17", "├": "v17m0-8.5h4", "└": "v8.5h4"}
#: filled shapes,
_SHAPES: Final = {
    "◆": "m4 4.5l4 4-4 4-4-4z",
    "▲": "m4 4.5l3.6 7h-7.2z",
    "▶": "m1 4.5l7 4-7 4z",
    "•": "m2 8.5a2 2 0 1 0 4 0a2 2 0 1 0-4 0z",
    "·": "m3 8.5a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
}
#: and what a pen draws.
_STROKES: Final = {
    "✔": "m.8 9l2.4 3l4-7",
    "✖": "m1 5.5l6 6m0-6l-6 6",
    "◌": "m1 8.5a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "॥": "m2.4 4.5v8m3.2-8v8",
    "⟳": "m6.9 7a3.2 3.2 0 1 0 .2 2.2m.2-4.9v2.9h-2.9",
    "⧉": "m.8 4.5h4.4v5h-4.4zm2 5v2.5h4.4v-5h-1.9",
    "□": "m1 5.5h6v6h-6z",
}
#: A row of these is one dashed line.
_DASHES: Final = {"●": "d", "■": "q"}
_EIGHTHS: Final = "▁▂▃▄▅▆▇█"


def animated(shots: Sequence[Shot], seconds: float, still: int, title: str) -> str:
    """The film, `seconds` long, in a window with a title; the screen `still` is for who wants no motion."""
    rows = _Rows([shot.screen for shot in shots])
    height = len(shots[0].screen) * _H
    steps = []
    for number, shot in enumerate(shots):
        steps.append(f"{100 * shot.at / seconds:.2f}%{{transform:translateY(-{number * height}px)}}")
    style = (
        f".f{{animation:f {seconds:.2f}s step-end infinite}}@keyframes f{{{''.join(steps)}}}"
        f"@media(prefers-reduced-motion:reduce){{.f{{animation:none;transform:translateY(-{still * height}px)}}}}"
    )
    screens = "".join(rows.placed(shot.screen, number * height) for number, shot in enumerate(shots))
    return _window(shots[0].screen, rows, f'<g class="f">{screens}</g>', style, title)


def still(screen: Screen, title: str) -> str:
    """One screen."""
    rows = _Rows([screen])
    return _window(screen, rows, rows.placed(screen, 0), "", title)


class _Rows:
    """The parts of all rows, each drawn once."""

    def __init__(self, screens: Sequence[Screen]) -> None:
        seen = Counter(row for screen in screens for row in screen if row)
        self.columns = max((run.at + len(run.text) for row in seen for run in row), default=80) + 1
        self._cuts = _cuts(seen, self.columns)
        parts = dict.fromkeys(part for row in seen for part in _parted(row, self._cuts))
        self._names = {part: f"{number:x}" for number, part in enumerate(parts)}

    def placed(self, screen: Screen, top: int) -> str:
        """A screen of references, `top` pixels down."""
        return "".join(
            f'<use href="#i{self._names[part]}" y="{top + number * _H}"/>'
            for number, row in enumerate(screen)
            for part in _parted(row, self._cuts)
        )

    def definitions(self) -> str:
        return "".join(f'<g id="i{name}">{"".join(map(_run, part))}</g>' for part, name in self._names.items())

    def colours(self) -> set[str]:
        return {run.colour for part in self._names for run in part}


def _cuts(seen: Counter[Row], columns: int) -> tuple[int, ...]:
    """The columns at which to part all rows; each one more is taken only while it makes the whole smaller."""
    cuts: tuple[int, ...] = ()
    cost = _cost(seen, cuts)
    while len(cuts) < _MOST_CUTS:
        tried = {column: _cost(seen, tuple(sorted((*cuts, column)))) for column in range(2, columns, 2)}
        best = min(tried, key=lambda column: tried[column])
        if tried[best] >= cost:
            break
        cuts, cost = tuple(sorted((*cuts, best))), tried[best]
    return cuts


def _cost(seen: Counter[Row], cuts: tuple[int, ...]) -> int:
    """About how many bytes that makes: letters and elements of each part once, and every reference."""
    parts: set[Row] = set()
    references = 0
    for row, times in seen.items():
        parted = _parted(row, cuts)
        parts.update(parted)
        references += times * len(parted)
    return sum(20 + sum(len(run.text) + 50 for run in part) for part in parts) + 28 * references


def _parted(row: Row, cuts: tuple[int, ...]) -> list[Row]:
    """What of a row is between the columns `cuts`, where there is something."""
    parts = []
    for start, end in zip((0, *cuts), (*cuts, 1 << 16), strict=True):
        part = []
        for run in row:
            text = run.text[max(start - run.at, 0) : max(end - run.at, 0)]
            if text.strip() or (text and run.background != "default"):
                part.append(run._replace(at=max(run.at, start), text=text))
        if part:
            parts.append(tuple(part))
    return parts


def _window(screen: Screen, rows: _Rows, content: str, style: str, title: str) -> str:
    inner_width, inner_height = rows.columns * _W, len(screen) * _H
    width, height = inner_width + 2 * _PAD, inner_height + _BAR + 2 * _PAD
    names = sorted(rows.colours())
    colours = "".join(f".{_CLASSES[n]}{{color:{_COLOURS[n]}}}" for n in names if n in _CLASSES)
    dots = "".join(
        f'<circle cx="{20 + 20 * n}" cy="{_BAR / 2:g}" r="6" fill="{c}"/>'
        for n, c in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{escape(title)}</title>"
        # plain selectors only: what is used elsewhere is styled without its ancestors
        f"<style>svg{{color:{_COLOURS['default']}}}text,path,rect{{fill:currentColor}}.b{{font-weight:700}}"
        "text{transform:translateY(13px)}"
        ".l,.p,.o,.d,.q{fill:none;stroke:currentColor;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}"
        ".l{stroke-width:1;stroke-linecap:butt;opacity:.7}.o{stroke-linecap:butt;stroke-dasharray:1.9 1.24}"
        ".d{stroke-width:6.4;stroke-dasharray:0 8;stroke-dashoffset:-4}"
        ".q{stroke-width:6;stroke-linecap:butt;stroke-dasharray:6 2;stroke-dashoffset:-1}"
        f"{colours}{style}</style>"
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10" stroke="#3d444d" '
        f'style="fill:{_BACKGROUND}"/>'
        f'<path d="M.5 {_BAR}V10.5a10 10 0 0 1 10-10h{width - 21}a10 10 0 0 1 10 10V{_BAR}z" style="fill:#1f242c"/>'
        f"{dots}"
        f'<text x="{width / 2:g}" y="9" style="fill:#9198a1" font-size="13" text-anchor="middle" '
        f'font-family="system-ui,sans-serif">{escape(title)}</text>'
        f"<defs>{rows.definitions()}</defs>"
        f'<svg x="{_PAD}" y="{_BAR + _PAD}" width="{inner_width}" height="{inner_height}" font-size="{_FONT}" '
        'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,Liberation Mono,monospace">'
        f"{content}</svg></svg>\n"
    )


def _run(run: Run) -> str:
    colour = _CLASSES.get(run.colour, "")
    drawn = []
    if run.background != "default":
        back = _class(_CLASSES.get(run.background, ""))
        drawn.append(f'<rect{back} x="{run.at * _W}" width="{len(run.text) * _W}" height="{_H}"/>')
    lines, at = "", run.at
    for kind, part in groupby(run.text, key=_kind):
        text = "".join(part)
        if kind == "line":
            lines += _strokes(text, at)
        elif kind == "text":
            drawn += _words(text, at, colour, bold=run.bold)
        else:
            drawn += _symbols(kind, text, at, colour)
        at += len(text)
    if lines:
        drawn.append(f'<path{_class("l", colour)} d="{lines}"/>')
    return "".join(drawn)


def _class(*names: str) -> str:
    given = " ".join(name for name in names if name)
    return f' class="{given}"' if given else ""


def _kind(character: str) -> str:
    tables = (("dash", _DASHES), ("line", _LINES), ("shape", _SHAPES), ("stroke", _STROKES), ("block", _EIGHTHS))
    for name, table in tables:
        if character in table:
            return name
    return "text"


def _strokes(text: str, at: int) -> str:
    """Box drawing, as the path of one pen."""
    path = ""
    for character, same in groupby(text):
        cells = len(list(same))
        if character == "─":
            path += f"M{at * _W} 8.5h{cells * _W}"
        else:
            path += "".join(f"M{(at + cell) * _W + 4} 0{_LINES[character]}" for cell in range(cells))
        at += cells
    return path


def _words(text: str, at: int, colour: str, *, bold: bool) -> Iterator[str]:
    """Words that stand together; a wider gap is none of a font's business."""
    for words in re.finditer(r"\S+( \S+)*", text):
        inner = words[0]
        length = "" if len(inner) == 1 else f' textLength="{len(inner) * _W}"'
        x = (at + words.start()) * _W
        yield f'<text{_class(colour, "b" if bold else "")} x="{x}"{length}>{escape(inner, quote=False)}</text>'


def _symbols(kind: str, text: str, at: int, colour: str) -> Iterator[str]:
    for character, same in groupby(text):
        cells = len(list(same))
        yield _drawn(kind, character, at, cells, colour)
        at += cells


def _drawn(kind: str, character: str, at: int, cells: int, colour: str) -> str:
    """`cells` times the same character."""
    if kind == "block":
        tall = (_EIGHTHS.index(character) + 1) * _H / 8
        # a hair wider than its cells: neighbours must not show a seam
        size = f'width="{cells * _W + 0.3:g}" height="{tall:.4g}"'
        return f'<rect{_class(colour)} x="{at * _W}" y="{_H - tall:.4g}" {size}/>'
    if kind == "dash":  # each dash is in the middle of its cell; the line ends before the next one begins
        return f'<path{_class(_DASHES[character], colour)} d="M{at * _W} 8.5h{cells * _W}"/>'
    table, style = {"shape": (_SHAPES, ""), "stroke": (_STROKES, "o" if character == "◌" else "p")}[kind]
    path = "".join(f"M{(at + cell) * _W} 0{table[character]}" for cell in range(cells))
    return f'<path{_class(style, colour)} d="{path}"/>'
