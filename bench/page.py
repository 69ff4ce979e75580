"""The figures as they stand in ``docs/proxy.md``: made of the results, so that the page says nothing else. PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bench import targets
from bench.figures import Figure, cpu_us, median, p99_us, per_gb, ratio
from bench.peers import COALMINE, HAPROXY, NGINX, PURE
from bench.results import Results

#: What stands between these two lines of the page is made here.
BEGIN: Final = "<!-- made by `python -m bench`: do not edit -->"
END: Final = "<!-- end of what is made -->"

_Row = tuple[str, str, Figure, Callable[[float], str]]

_HEAD: Final = (
    "| workload | HAProxy | nginx | the sidecar, compiled | x HAProxy | as plain Python |",
    "|---|---|---|---|---|---|",
)


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _hundredths(value: float) -> str:
    return f"{value:,.2f}"


_ROWS: Final[Sequence[_Row]] = (
    ("small GET, 80/20, 64 connections: CPU us a request", "small-64", cpu_us, _tenths),
    ("the same, 512 connections", "small-512", cpu_us, _tenths),
    ("no rollout, 64 connections", "idle-64", cpu_us, _tenths),
    ("no rollout, 512 connections", "idle-512", cpu_us, _tenths),
    ("a connection per request, 64 at a time", "close-64", cpu_us, _tenths),
    ("p99, 80/20, 64 connections, us", "small-64", p99_us, _whole),
    ("p99, no rollout, 64 connections, us", "idle-64", p99_us, _whole),
    ("p99, 80/20, 512 connections, us", "small-512", p99_us, _whole),
    ("p99, no rollout, 512 connections, us", "idle-512", p99_us, _whole),
    ("answers of 100 KB: CPU seconds per GB", "body-100k", per_gb, _hundredths),
    ("answers of 10 MB", "body-10m", per_gb, _hundredths),
    ("uploads of 10 MB", "upload-10m", per_gb, _hundredths),
)


def block(results: Results) -> str:
    """The lines between the marks, with them."""
    facts = results.machine
    lines = [
        BEGIN,
        f"Medians of {facts['rounds']}, on {facts['cores']} noisy cores, {facts['date'].split()[0]}, Python "
        f"{facts['python']}, nginx {facts['nginx']}, HAProxy {facts['haproxy']}; the ratios are medians of ratios "
        "within rounds:",
        "",
        *_HEAD,
        *(_row(results, *row) for row in _ROWS),
        _memory(results),
        "",
        "What was to be reached, and what it came to:",
        "",
        *(f"- {verdict}" for verdict in targets.verdicts(results)),
        *(f"- {line}" for line in targets.additions(results)),
        END,
    ]
    return "\n".join(lines)


def replaced(page: str, results: Results) -> str:
    """`page` with the block made anew. Raises ValueError when it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the lines {BEGIN!r} and {END!r}")
    return before + block(results) + after


def _row(results: Results, title: str, workload: str, figure: Figure, form: Callable[[float], str]) -> str:
    cells = []
    for peer in (HAPROXY, NGINX, COALMINE):
        rounds = results.rounds(workload, peer)
        cells.append(form(median(rounds, figure)) if rounds else "")
    cells.append(_ratio(results, workload, COALMINE, figure))
    pure = results.rounds(workload, PURE)
    cells.append(f"{form(median(pure, figure))} ({_ratio(results, workload, PURE, figure)} x)" if pure else "")
    return f"| {title} | {' | '.join(cells)} |"


def _ratio(results: Results, workload: str, peer: str, figure: Figure) -> str:
    ours, theirs = results.rounds(workload, peer), results.rounds(workload, HAPROXY)
    return f"{ratio(ours, theirs, figure):.2f}" if ours and theirs else ""


def _memory(results: Results) -> str:
    def cell(peer: str) -> str:
        held = results.memory.get(peer)
        return f"{held.start.resident / 1e6:.1f}; {held.idle.resident / 1e6:.1f}" if held else ""

    cells = (cell(HAPROXY), cell(NGINX), cell(COALMINE), "", cell(PURE))
    return f"| resident MB at start; with 1,000 idle clients | {' | '.join(cells)} |"
