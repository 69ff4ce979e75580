"""The results as tables in Markdown, and the pages that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.detectors.results import Found, Results

PAGE: Final = Path(__file__).parents[2] / "docs" / "sequential.md"
_END: Final = "<!-- end of the table -->"

#: What was to be reached, from an earlier simulation with all of alpha for one detector: seconds, bad requests.
REFERENCE: Final = {
    "0.5 to 1 %": "99 s; 24",
    "0.5 to 2 %": "16 s; 8",
    "0.05 to 0.5 %": "34 s; 4",
    "10 % slower": "107 s",
    "25 % slower": "20 s",
    "twice as slow": "3 s",
    "2 % get 500 ms more": "10 s",
    "1 % get 2 s more": "18 s",
}

_OURS: Final = ("ours", "ours, errors alone", "ours, latency alone")
_USUAL: Final = (
    "success rate at least 99 %",
    "success rate at least 95 %",
    "p99 below 500 ms",
    "Mann-Whitney, error rates",
    "Mann-Whitney, p99",
    "z, each second",
    "z, each minute, Bonferroni",
)
_PARTS: Final = ("(1) alone", "(5) alone", "(4) alone")


def false_alarms(results: Results) -> str:
    """Rows of null scenes: alarms in percent, with 95 % intervals."""
    columns = ("ours", *_USUAL, *_PARTS)
    rows = [
        [scene, *(_rate(found.get(name)) for name in columns)]
        for scene, found in results.scenes.items()
        if results.kinds[scene] == "null"
    ]
    runs = {found["ours"].runs for scene, found in results.scenes.items() if results.kinds[scene] == "null"}
    return _table([f"false alarms in %, of {' or '.join(f'{n:,}' for n in sorted(runs))} runs", *columns], rows)


def detection(results: Results, kind: str) -> str:
    """Rows of scenes of a worse canary: median seconds with their interval, bad requests, and what was missed."""
    alone, others = ("ours, errors alone", "(1) alone") if kind == "errors" else ("ours, latency alone", "(4) alone")
    columns = ("ours", alone, *(name for name in _USUAL if any(name in by for by in _of(results, kind))), others)
    rows = [
        [scene, REFERENCE.get(scene, ""), *(_time(results.scenes[scene].get(name)) for name in columns)]
        for scene in results.scenes
        if results.kinds[scene] == kind
    ]
    return _table(["median seconds; bad requests", "to reach", *columns], rows)


def not_stood(results: Results) -> str:
    """What our comparison does not stand: alarms in percent though nothing is wrong with the version."""
    pooled = "ours, nodes not told apart"
    rows = []
    for scene, found in results.scenes.items():
        if results.kinds[scene] == "contrast":
            rows.append([scene, _rate(found["ours"])])
        if pooled in found:
            rows.append([f"{scene}, nodes not told apart", _rate(found[pooled])])
    return _table(["", "ours: alarms in %"], rows)


def proofs(results: Results) -> str:
    """How often a proof was false, how soon one was true."""
    names = ("within the difference", "within the ratio")
    rows = []
    for case, found in results.proofs.items():
        good = len(found) > 1
        cells = [_proof(found.get(name), good) for name in names]
        rows.append([case, "good" if good else "as bad as tolerated", *cells])
    return _table(["canary against control", "it is", *names], rows)


def blocks(results: Results) -> dict[str, str]:
    """Each table, under its mark."""
    return {
        "false alarms": false_alarms(results),
        "errors": detection(results, "errors"),
        "latency": detection(results, "latency"),
        "what it does not stand": not_stood(results),
        "proofs": proofs(results),
    }


def replaced(page: str, results: Results) -> str:
    """`page` with its tables made anew. Raises ValueError when it lacks a mark."""
    for name, table in blocks(results).items():
        begin = f"<!-- table of {name}: made by `make bench-detectors` -->"
        before, found, rest = page.partition(begin)
        _, end, after = rest.partition(_END)
        if not found or not end:
            raise ValueError(f"the page lacks the lines {begin!r} and {_END!r}")
        page = f"{before}{begin}\n{table}\n{_END}{after}"
    return page


def _of(results: Results, kind: str) -> list[dict[str, Found]]:
    return [found for scene, found in results.scenes.items() if results.kinds[scene] == kind]


def _rate(found: Found | None) -> str:
    if found is None:
        return ""
    low, high = found.interval
    return f"{100 * found.rate:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _time(found: Found | None) -> str:
    if found is None:
        return ""
    if found.seconds is None:
        return "never" if not found.alarms else f"in {100 * found.alarms / found.runs:.1f} % only"
    low = f"{found.seconds_low:.0f}" if found.seconds_low is not None else ""
    high = f"{found.seconds_high:.0f}" if found.seconds_high is not None else "longer"
    missed = found.runs - found.early - found.alarms
    notes = f"; {100 * missed / found.runs:.1f} % missed" if missed else ""
    notes += f"; {100 * found.early / found.runs:.1f} % too early" if found.early else ""
    return f"{found.seconds:.0f} s ({low} to {high}); {found.bad:,.0f}{notes}"


def _proof(found: Found | None, good: bool) -> str:
    if found is None:
        return ""
    if not good:
        return f"false in {_rate(found)} %"
    if found.seconds is None:
        return f"in 10 minutes in {100 * found.rate:.0f} %"
    return f"{found.seconds:.0f} s, {found.requests:,.0f} requests of the canary"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
