"""What is to be reached, from the issue's table, and whether it was. PURE."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.disturbances import DISTURBANCES, QUIET
from bench.figures import Figure, cpu_us, p50_us, p99_us, per_gb, ratio
from bench.memory import IDLE
from bench.peers import COALMINE, HAPROXY, NGINX
from bench.results import Results

_KEPT: Final = ("small-64", "small-512", "idle-64", "idle-512")
_BODIES: Final = ("body-100k", "body-10m", "upload-10m")
#: Slow requests in a thousand, nobody disturbing: with more of them the machine is too noisy to say "reached".
_NOISY: Final = 0.001
_NOT_MEASURED: Final = "not measured"
MOST_AT_START: Final = 40e6
MOST_WITH_IDLE: Final = 50e6


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target. `reached` is None when it was not measured, or cannot be told from the noise."""

    target: str
    figure: str
    reached: bool | None

    @property
    def measured(self) -> bool:
        return self.figure != _NOT_MEASURED

    def __str__(self) -> str:
        mark = {True: "reached", False: "NOT reached", None: "open"}[self.reached]
        return f"{mark}: {self.target}: {self.figure}"


def verdicts(results: Results) -> list[Verdict]:
    """Every target."""
    return [*_ratios(results), *_memory(results), *_disturbances(results)]


def _ratios(results: Results) -> Iterator[Verdict]:
    for name in _KEPT:
        yield _ratio(results, name, "CPU per request", cpu_us, HAPROXY, 1.15)
        yield _ratio(results, name, "CPU per request", cpu_us, NGINX, 1.0)
        yield _ratio(results, name, "p99", p99_us, HAPROXY, 1.2)
    yield _ratio(results, "close-64", "CPU per request", cpu_us, HAPROXY, 1.3)
    for name in _BODIES:
        yield _ratio(results, name, "CPU per GB", per_gb, HAPROXY, 1.5)


def _ratio(results: Results, workload: str, what: str, figure: Figure, than: str, most: float) -> Verdict:
    target = f"{workload}, {what} at most {most:g} x {than}'s"
    ours, theirs = results.rounds(workload, COALMINE), results.rounds(workload, than)
    if not ours or not theirs:
        return Verdict(target, _NOT_MEASURED, None)
    found = ratio(ours, theirs, figure)
    places = ",.2f" if figure is per_gb else ",.1f"
    mine, other = (statistics.median(figure(r) for r in rounds) for rounds in (ours, theirs))
    return Verdict(target, f"{found:.2f} x ({mine:{places}} to {other:{places}})", found <= most)


def _memory(results: Results) -> Iterator[Verdict]:
    held = results.memory.get(COALMINE)
    for when, most, figure in (
        ("at start", MOST_AT_START, held.start.resident if held else 0),
        (f"with {IDLE:,} idle connections", MOST_WITH_IDLE, held.idle.resident if held else 0),
    ):
        target = f"resident memory {when} at most {most / 1e6:.0f} MB"
        yield Verdict(target, f"{figure / 1e6:.1f} MB" if held else _NOT_MEASURED, figure <= most if held else None)


def _disturbances(results: Results) -> Iterator[Verdict]:
    """Medians of the windows: whatever else runs on the machine slows a request in some windows of either kind."""
    for which in DISTURBANCES:
        target = f"no request slower than 5 ms by {which.title}"
        windows = results.disturbances.get(which.name)
        if not windows:
            yield Verdict(target, _NOT_MEASURED, None)
            continue
        quiet, disturbed = windows[QUIET], windows[which.name]
        slow, before = (statistics.median(w.blamed for w in some) for some in (disturbed, quiet))
        worst, calm = (statistics.median(w.worst_us for w in some) / 1e3 for some in (disturbed, quiet))
        figure = (
            f"{slow:g} of {disturbed[0].requests:,} in the median window ({before:g} without), "
            f"slowest {worst:.1f} ms ({calm:.1f} without)"
        )
        if before <= disturbed[0].requests * _NOISY:
            yield Verdict(target, figure, slow <= before)
        else:
            yield Verdict(target, f"{figure}, a noisy machine", False if slow > 2 * before else None)


def additions(results: Results) -> list[str]:
    """What each proxy adds to a direct connection in the idle state: every user pays it all year."""
    found = []
    for name in ("idle-1", "idle-64", "idle-512"):
        direct = results.rounds(name, "direct")
        for peer in (NGINX, HAPROXY, COALMINE):
            rounds = results.rounds(name, peer)
            if not rounds or not direct:
                continue
            p50, p99, cpu = (statistics.median(f(r) for r in rounds) for f in (p50_us, p99_us, cpu_us))
            base50, base99 = (statistics.median(f(r) for r in direct) for f in (p50_us, p99_us))
            found.append(
                f"{name}: {peer} adds {cpu:.0f} us of CPU to a request, "
                f"{p50 - base50:+,.0f} us to p50 ({base50:,.0f}), {p99 - base99:+,.0f} us to p99 ({base99:,.0f})"
            )
    return found
