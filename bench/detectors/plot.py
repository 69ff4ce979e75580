"""Pictures of the results as SVG, with no library to install: false alarms, seconds to detect, bad requests served.

A row is a scene, a bar a detector; the thin line is a 95 % interval. Seconds and requests have a logarithmic scale,
as they go from 3 to 36,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from bench.detectors.results import Found, Results

FOLDER: Final = Path(__file__).parents[2] / "docs" / "img"
_COLOURS: Final = {
    "ours": "#d99a00",
    "(1) alone": "#f0d890",
    "(4) alone": "#f0d890",
    "success rate at least 99 %": "#74869b",
    "p99 below 500 ms": "#74869b",
    "Mann-Whitney, error rates": "#3f7fc1",
    "Mann-Whitney, p99": "#3f7fc1",
    "z, each minute, Bonferroni": "#a3b1c2",
    "z, each second": "#d9534f",
}
_WIDTH: Final = 980
_LEFT: Final = 322
_LONGEST: Final = 560
_BAR: Final = 8
_STEP: Final = 10
_GAP: Final = 12
_STYLE: Final = (
    "text{font-family:system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;font-size:12px;fill:#1f2328}"
    ".title{font-size:17px;font-weight:600}.head{font-weight:600}.small{font-size:11px;fill:#59636e}"
)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where a value stands, 0 to 1; which values are marked, and how they are written; what was promised."""

    place: Callable[[float], float]
    marks: tuple[float, ...]
    written: Callable[[float], str]
    promised: float | None = None


@dataclass(frozen=True, slots=True)
class _Bar:
    """A value (None: there is none, and the words say why) with its interval."""

    detector: str
    value: float | None
    low: float | None
    high: float | None
    words: str


def draw(results: Results) -> dict[str, str]:
    """Each picture by the name of its file."""
    nulls = ("ours", "success rate at least 99 %", "z, each minute, Bonferroni", "z, each second", "(1) alone")
    worse = (
        "ours",
        "success rate at least 99 %",
        "p99 below 500 ms",
        "Mann-Whitney, error rates",
        "Mann-Whitney, p99",
        "z, each minute, Bonferroni",
    )
    root = _Axis(
        lambda rate: math.sqrt(min(1.0, rate)), (0.01, 0.05, 0.2, 0.5, 1.0), lambda rate: f"{100 * rate:g} %", 0.05
    )
    seconds = _Axis(_decades(1, 1800), (1, 10, 60, 300, 1800), lambda s: f"{s:,.0f} s")
    served = _Axis(_decades(1, 36000), (1, 10, 100, 1000, 10000), lambda n: f"{n:,.0f}")
    return {
        "detectors-false-alarms.svg": _picture(
            results,
            ("null",),
            nulls,
            "Alarms though nothing is wrong, in 30 minutes (at most 5 % is what ours promises)",
            root,
            _false,
        ),
        "detectors-seconds.svg": _picture(
            results, ("errors", "latency"), worse, "Seconds until a worse canary is found (median)", seconds, _seconds
        ),
        "detectors-served.svg": _picture(
            results, ("errors", "latency"), worse, "Bad requests served until then (median)", served, _served
        ),
    }


def _picture(
    results: Results,
    kinds: Sequence[str],
    detectors: Sequence[str],
    title: str,
    axis: _Axis,
    bar: Callable[[str, Found], _Bar],
) -> str:
    y = 84
    drawn: list[str] = []
    shown: set[str] = set()
    for scene, found in results.scenes.items():
        bars = [bar(name, found[name]) for name in detectors if name in found]
        if results.kinds[scene] not in kinds or not bars:
            continue
        shown |= {one.detector for one in bars}
        drawn.append(_text(24, y + _STEP * len(bars) / 2 + 4, scene, "head"))
        for one in bars:
            drawn += _bar(y, one, axis)
            y += _STEP
        y += _GAP
    lines = []
    for mark in axis.marks:
        x = _LEFT + _LONGEST * axis.place(mark)
        colour = "#d9534f" if mark == axis.promised else "#e5e8eb"
        lines.append(f'<line x1="{x:.1f}" y1="78" x2="{x:.1f}" y2="{y}" stroke="{colour}"/>')
        lines.append(_text(x + 3, y + 12, axis.written(mark), "small"))
    height = y + 24
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            f' width="{_WIDTH}" height="{height}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            _text(24, 34, title, "title"),
            *_legend([name for name in detectors if name in shown]),
            *lines,
            *drawn,
            "</svg>\n",
        ]
    )


def _legend(names: Sequence[str]) -> list[str]:
    found, x = [], 24.0
    for name in names:
        found.append(f'<rect x="{x:.0f}" y="50" width="10" height="10" fill="{_COLOURS[name]}"/>')
        found.append(_text(x + 14, 59, name, "small"))
        x += 28 + 6.2 * len(name)
    return found


def _bar(y: float, bar: _Bar, axis: _Axis) -> list[str]:
    end, found = _LEFT, []
    if bar.value is not None:
        length = _LONGEST * axis.place(bar.value)
        end = _LEFT + round(length)
        colour = _COLOURS[bar.detector]
        found.append(f'<rect x="{_LEFT}" y="{y:.0f}" width="{max(1.0, length):.1f}" height="{_BAR}" fill="{colour}"/>')
        if bar.low is not None and bar.high is not None:
            low, high = (_LEFT + _LONGEST * axis.place(v) for v in (bar.low, bar.high))
            middle = y + _BAR / 2
            found.append(f'<line x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}" stroke="#1f2328"/>')
            end = max(end, round(high))
    found.append(_text(end + 5, y + _BAR, bar.words, "small"))
    return found


def _false(name: str, found: Found) -> _Bar:
    low, high = found.interval
    return _Bar(name, found.rate, low, high, f"{100 * found.rate:.1f} %")


def _seconds(name: str, found: Found) -> _Bar:
    if found.seconds is None:
        return _Bar(name, None, None, None, "never" if not found.alarms else "seldom")
    return _Bar(name, found.seconds, found.seconds_low, found.seconds_high, f"{found.seconds:,.0f}")


def _served(name: str, found: Found) -> _Bar:
    words = f"{found.bad:,.0f}" + ("" if found.seconds is not None else ", all")
    return _Bar(name, found.bad, None, None, words)


def _decades(low: float, high: float) -> Callable[[float], float]:
    return lambda value: math.log(min(high, max(low, value)) / low) / math.log(high / low)


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{escape(text)}</text>'
