"""The picture of the docs: some panels as they show a recorded story, as SVG, with no library to install.

Pure: from a recording (`record`) to text. It draws what Prometheus answered and nothing else; a gap of more than
`_GAP` seconds in the answers is a gap in the line. Purple marks are steps, as on the dashboard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from monitoring.panel import Panel
from monitoring.panels import shown
from monitoring.releases import COLOURS, PHASES

Line = tuple[str, Sequence[tuple[float, float]]]

_WIDTH: Final = 1200
_COLUMNS: Final = 2
_CELL: Final = (588, 218)
_MARGIN: Final = 8
_TOP: Final = 64
#: Inside a cell: left of the axis, above and below the curves.
_LEFT, _ABOVE, _BELOW, _RIGHT = 52, 30, 46, 14
_GAP: Final = 3.0
_PALETTE: Final = ("#3f7fc1", "#d99a00", "#5b9b5b", "#b0578d", "#74869b", "#c1563f", "#4aa3a2", "#8a6fc1")
_STATES: Final = {"green": "#6cc08b", "blue": "#7fb2e5", "yellow": "#f5c542", "red": "#e0705f"}
_UNITS: Final = {"percent": " %", "percentunit": "", "s": " s", "reqps": "/s", "ops": "/s", "short": "", "bytes": " B"}
_STYLE: Final = (
    "text{font-family:system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;font-size:11px;fill:#59636e}"
    ".title{font-size:17px;font-weight:600;fill:#1f2328}.head{font-size:13px;font-weight:600;fill:#1f2328}"
)


def picture(recording: Mapping[str, Any]) -> str:
    """The whole picture."""
    chosen = shown()
    rows = math.ceil(len(chosen) / _COLUMNS)
    height = _TOP + rows * (_CELL[1] + _MARGIN) + _MARGIN
    drawn: list[str] = []
    for i, panel in enumerate(chosen):
        x = _MARGIN + (i % _COLUMNS) * (_CELL[0] + _MARGIN)
        y = _TOP + (i // _COLUMNS) * (_CELL[1] + _MARGIN)
        lines: list[Line] = [(name, points) for name, points in recording["panels"].get(panel.title, ()) if points]
        drawn += _Cell(panel, lines, x, y, float(recording["seconds"]), recording["steps"]).drawn()
    sentence = (
        "2.0 is promoted by 20 % and 50 %, 3.0 is taken back by its analysis, 2.0 comes back at once, 4.0 is promoted. "
        "Scraped every half second, so that short pauses can be seen."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
            f' height="{height}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#f3f4f6"/>',
            _text(_MARGIN + 4, 28, "The dashboard during the demonstration", "title"),
            _text(_MARGIN + 4, 48, sentence),
            *drawn,
            "</svg>\n",
        ]
    )


class _Cell:
    """One panel at its place."""

    def __init__(
        self, panel: Panel, lines: Sequence[Line], x: float, y: float, seconds: float, steps: Sequence[float]
    ) -> None:
        self._panel = panel
        self._lines = lines
        self._x, self._y = x, y
        self._seconds = seconds
        self._steps = steps
        self._left, self._right = x + _LEFT, x + _CELL[0] - _RIGHT
        self._top, self._bottom = y + _ABOVE, y + _CELL[1] - _BELOW

    def drawn(self) -> Iterator[str]:
        x, y = self._x, self._y
        yield f'<rect x="{x}" y="{y}" width="{_CELL[0]}" height="{_CELL[1]}" rx="4" fill="#ffffff" stroke="#d8dee4"/>'
        yield _text(x + 12, y + 19, self._panel.title, "head")
        states = self._panel.kind == "states"
        most = 1.0 if states else self._most()
        yield from self._axes(most, labelled=not states)
        for mark in self._steps:
            at = self._across(mark)
            yield (
                f'<path d="M{at:.1f} {self._top}V{self._bottom}" stroke="#8a6fc1" stroke-opacity=".55"'
                ' stroke-dasharray="3 3"/>'
            )
        if states:
            yield from self._bands()
            yield from self._legend((name, _STATES[colour]) for name, colour in PHASES.values())
            return
        below: dict[float, float] = {}
        for (_, points), colour in zip(self._lines, self._colours(), strict=True):
            stacked = [(t, v + below.get(t, 0.0)) for t, v in points] if self._panel.stacked else points
            if self._panel.stacked:
                yield self._area(points, below, colour)
                below |= dict(stacked)
            yield f'<path d="{self._path(stacked, most)}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        yield from self._legend(zip((name for name, _ in self._lines), self._colours(), strict=True))

    def _most(self) -> float:
        if self._panel.most is not None:
            return self._panel.most
        sums: dict[float, float] = {}
        for _, points in self._lines:
            for t, v in points:
                sums[t] = sums.get(t, 0.0) + v if self._panel.stacked else max(sums.get(t, 0.0), v)
        self._highest = _rounded(max(sums.values(), default=1.0))
        return self._highest

    def _axes(self, most: float, *, labelled: bool) -> Iterator[str]:
        for part in (0.0, 0.5, 1.0):
            y = self._bottom - part * (self._bottom - self._top)
            yield f'<path d="M{self._left} {y:.1f}H{self._right}" stroke="#eaeef2"/>'
            if labelled:
                label = f"{part * most:g}{_UNITS[self._panel.unit]}"
                yield _text(self._left - 6, y + 4, label, anchor="end")
        every = next(s for s in (10, 20, 30, 60, 120, 300) if self._seconds / s <= 9)
        for t in range(0, int(self._seconds) + 1, every):
            yield _text(self._across(t), self._bottom + 14, f"{t} s", anchor="middle")

    def _bands(self) -> Iterator[str]:
        high = (self._bottom - self._top) * 0.5
        y = self._top + high / 2
        for name, points in self._lines:
            begun = 0
            for i in range(1, len(points) + 1):
                if i < len(points) and points[i][1] == points[begun][1]:
                    continue
                since, phase = points[begun]
                until = points[i][0] if i < len(points) else points[-1][0]
                colour = _STATES[PHASES[int(phase)][1]]
                left, right = self._across(since), self._across(until)
                yield (
                    f'<rect x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{high:.1f}" fill="{colour}"/>'
                )
                begun = i
            yield _text(self._left, y - 6, name)

    def _path(self, points: Sequence[tuple[float, float]], most: float) -> str:
        found: list[str] = []
        before: float | None = None
        for t, v in points:
            x, y = self._across(t), self._up(v, most)
            if before is None or t - before > _GAP:
                found.append(f"M{x:.1f} {y:.1f}")
            elif self._panel.steps:
                found.append(f"H{x:.1f}V{y:.1f}")
            else:
                found.append(f"L{x:.1f} {y:.1f}")
            before = t
        return "".join(found)

    def _area(self, points: Sequence[tuple[float, float]], below: Mapping[float, float], colour: str) -> str:
        most = self._panel.most or self._highest
        upper = [f"{self._across(t):.1f} {self._up(v + below.get(t, 0.0), most):.1f}" for t, v in points]
        lower = [f"{self._across(t):.1f} {self._up(below.get(t, 0.0), most):.1f}" for t, _ in reversed(points)]
        return f'<path d="M{"L".join([*upper, *lower])}Z" fill="{colour}" fill-opacity=".22"/>'

    def _colours(self) -> Iterator[str]:
        spare = iter(_PALETTE * (1 + len(self._lines) // len(_PALETTE)))
        seen: set[str] = set()
        for name, _ in self._lines:
            arm = name.split(" ")[0]
            # the second line of an arm is another quantile of it
            if arm in COLOURS and arm not in seen:
                yield COLOURS[arm]
            elif arm in COLOURS:
                yield {"canary": "#a87800", "control": "#1d4f87", "stable": "#3f7fc1"}.get(arm, "#59636e")
            else:
                yield next(spare)
            seen.add(arm)

    def _legend(self, entries: Iterator[tuple[str, str]]) -> Iterator[str]:
        x, y = self._left, self._y + _CELL[1] - 12
        told = list(entries)
        shown = 0
        for name, colour in told:
            more = 0 if shown + 1 == len(told) else 80  # room to say how many more there are
            if x + 14 + 6.1 * len(name) + more > self._right:
                break
            shown += 1
            yield f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="10" height="10" rx="2" fill="{colour}"/>'
            yield _text(x + 14, y + 1, name)
            x += 26 + 6.1 * len(name)
        if len(told) > shown:
            yield _text(x, y + 1, f"and {len(told) - shown} more")

    def _across(self, t: float) -> float:
        return self._left + (self._right - self._left) * t / self._seconds

    def _up(self, v: float, most: float) -> float:
        return self._bottom - (self._bottom - self._top) * min(v, most) / most


def _rounded(value: float) -> float:
    """The next number that an axis may end at: 1, 2 or 5 and noughts."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value)


def _text(x: float, y: float, text: str, style: str = "", *, anchor: str = "") -> str:
    named = f' class="{style}"' if style else ""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}{placed}>{escape(text)}</text>'
