"""The picture of the results: small bars in rows of workloads, as SVG, with no library to install.

Every cell has its own scale, which begins at 0: proxies are compared within a cell, not workloads with
each other. A bar is a median, its darker part user time; the thin line is the spread of the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from bench.figures import Figure, Round, median, spread
from bench.memory import IDLE
from bench.peers import COALMINE, HAPROXY, NGINX
from bench.results import Results
from bench.workloads import WORKLOADS

_COLOURS: Final = {NGINX: ("#a3b1c2", "#74869b"), HAPROXY: ("#7fb2e5", "#3f7fc1"), COALMINE: ("#f5c542", "#d99a00")}
_PEERS: Final = tuple(_COLOURS)
_WIDTH: Final = 980
_LEFT: Final = 210
_COLUMN: Final = 256
_BAR: Final = 13
_STEP: Final = 16
_ROW: Final = _STEP * len(_PEERS) + 18
#: Of a column; the rest is for the number behind the bar.
_LONGEST: Final = 168
_TOP: Final = 84


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its spread; `part` is what of it is drawn darker."""

    peer: str
    value: float
    part: float
    least: float
    most: float


def draw(results: Results) -> str:
    """The whole picture."""
    rows = [
        (w.name, w.title, [_cells(results, w.name, figure, part) for figure, part in _COLUMNS])
        for w in WORKLOADS
        if not w.body and w.name in results.workloads
    ]
    bodies = [
        (w.title.partition(",")[0], _cells(results, w.name, lambda r: r.cpu_per_gb, _user_per_gb))
        for w in WORKLOADS
        if w.body and w.name in results.workloads
    ]
    held = [
        ("at start", [_flat(p, h.start.resident / 1e6) for p, h in results.memory.items() if p in _COLOURS]),
        (
            f"{IDLE:,} idle clients",
            [_flat(p, h.idle.resident / 1e6) for p, h in results.memory.items() if p in _COLOURS],
        ),
    ]
    drawn: list[str] = []
    y = _TOP + 26
    drawn += [_text(_LEFT + i * _COLUMN, y - 12, title, "head") for i, title in enumerate(_TITLES)]
    for name, title, cells in rows:
        drawn += _labels(name, title, y)
        for i, (bars, number) in enumerate(zip(cells, _NUMBERS, strict=True)):
            drawn += _bars(_LEFT + i * _COLUMN, y, bars, number)
        y += _ROW
    y += 34
    for heading, group in (("CPU seconds per GB", bodies), ("Resident memory, MB", held if results.memory else [])):
        if not group:
            continue
        drawn += [_text(24, y + 13, heading, "head")]
        for i, (title, bars) in enumerate(group):
            x = _LEFT + i * _COLUMN
            drawn += [_text(x, y - 8, title, "small")]
            drawn += _bars(x, y, bars, lambda v: f"{v:.2f}" if v < 10 else f"{v:.1f}")
        y += _ROW + 24
    height = y
    machine = results.machine
    note = (
        f"{machine.get('date', '')}, {machine.get('processor', '')}, one core, Linux {machine.get('kernel', '')}, "
        f"nginx {machine.get('nginx', '')}, HAProxy {machine.get('haproxy', '')}; rounds: {machine.get('rounds', '')}"
    )
    legend = list(_legend())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            f' width="{_WIDTH}" height="{height}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            _text(24, 34, "The sidecar beside nginx and HAProxy: one core, shorter is better", "title"),
            _text(24, 56, note, "small"),
            *legend,
            *drawn,
            "</svg>\n",
        ]
    )


_STYLE: Final = (
    "text{font-family:system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;font-size:12px;fill:#1f2328}"
    ".title{font-size:17px;font-weight:600}.head{font-weight:600}.small{font-size:11px;fill:#59636e}"
)
_TITLES: Final = ("CPU per request, us (dark: user)", "p50, us", "p99, us")


def _whole(value: float) -> str:
    return f"{value:,.0f}"


_NUMBERS: Final[Sequence[Callable[[float], str]]] = (lambda v: f"{v:.1f}", _whole, _whole)
_COLUMNS: Final[Sequence[tuple[Figure, Figure | None]]] = (
    (lambda r: r.cpu_us, lambda r: r.user_us),
    (lambda r: r.p50_us, None),
    (lambda r: r.p99_us, None),
)


def _user_per_gb(r: Round) -> float:
    return r.cpu_per_gb * r.user_us / r.cpu_us if r.cpu_us else 0.0


def _cells(results: Results, workload: str, figure: Figure, part: Figure | None) -> list[Bar]:
    found = []
    for peer in _PEERS:
        rounds = results.rounds(workload, peer)
        if rounds:
            least, most = spread(rounds, figure)
            found.append(Bar(peer, median(rounds, figure), median(rounds, part) if part else 0.0, least, most))
    return found


def _flat(peer: str, value: float) -> Bar:
    return Bar(peer, value, 0.0, value, value)


def _labels(name: str, title: str, y: float) -> list[str]:
    first, _, second = title.partition(", ")
    return [_text(24, y + 11, first, "head"), _text(24, y + 27, second, "small"), _text(24, y + 43, name, "small")]


def _bars(x: float, y: float, bars: Sequence[Bar], number: Callable[[float], str]) -> Iterator[str]:
    longest = max((bar.value for bar in bars), default=0.0) or 1.0
    for i, bar in enumerate(bars):
        top = y + i * _STEP
        light, dark = _COLOURS[bar.peer]
        width = _LONGEST * bar.value / longest
        yield f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" fill="{light}"/>'
        if bar.part:
            part = _LONGEST * bar.part / longest
            yield f'<rect x="{x:.1f}" y="{top:.1f}" width="{part:.1f}" height="{_BAR}" fill="{dark}"/>'
        end = width
        if bar.most > bar.least:
            # a single wild round must not run over the next column
            left, right = (min(_LONGEST + 20, _LONGEST * v / longest) for v in (bar.least, bar.most))
            middle = top + _BAR / 2
            yield f'<path d="M{x + left:.1f} {middle:.1f}H{x + right:.1f}" stroke="#1f2328" stroke-opacity=".55"/>'
            end = max(end, right)
        yield _text(x + end + 5, top + 10.5, number(bar.value), "small")


def _legend() -> Iterator[str]:
    x = 24.0
    for peer in _PEERS:
        yield f'<rect x="{x}" y="66" width="12" height="12" fill="{_COLOURS[peer][0]}"/>'
        yield _text(x + 17, 76.5, "HAProxy" if peer == HAPROXY else peer, "")
        x += 90
    yield _text(
        x + 10, 76.5, "bar: median of the rounds; line: least to greatest; each cell has its own scale", "small"
    )


def _text(x: float, y: float, text: str, style: str) -> str:
    named = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}>{escape(text)}</text>'
