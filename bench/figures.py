"""Figures of rounds: medians, spreads, and ratios of what was measured in the same round. PURE."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Round:
    """One peer under one load for some seconds."""

    #: Microseconds of the proxy's CPU per request; 0 where there is no proxy.
    user_us: float
    system_us: float
    requests_per_second: float
    p50_us: float
    p99_us: float
    worst_us: float
    #: CPU seconds of the proxy per 10^9 bytes of bodies.
    cpu_per_gb: float
    resident: int
    proportional: int
    errors: int
    #: Microseconds of CPU per request of the origins and of wrk.
    origin_us: float
    load_us: float
    #: How busy the proxy kept its core, and how busy the load's core was (0 to 1).
    proxy_busy: float
    load_core_busy: float
    #: Time that others took on the two cores (0 to 1): the noise.
    foreign: float

    @property
    def cpu_us(self) -> float:
        return self.user_us + self.system_us

    @property
    def per_core(self) -> float:
        """Requests per second that a whole core would serve."""
        return 1e6 / self.cpu_us if self.cpu_us else 0.0


#: From here on the load's core, not the proxy, may have been the limit.
FULL = 0.95

Figure = Callable[[Round], float]


def cpu_us(r: Round) -> float:
    return r.cpu_us


def p50_us(r: Round) -> float:
    return r.p50_us


def p99_us(r: Round) -> float:
    return r.p99_us


def per_gb(r: Round) -> float:
    return r.cpu_per_gb


def median(rounds: Sequence[Round], figure: Figure) -> float:
    """The median of a figure over the rounds."""
    return statistics.median(figure(r) for r in rounds)


def spread(rounds: Sequence[Round], figure: Figure) -> tuple[float, float]:
    """The least and the greatest."""
    values = [figure(r) for r in rounds]
    return min(values), max(values)


def ratio(ours: Sequence[Round], theirs: Sequence[Round], figure: Figure) -> float:
    """The median of the ratios within a round: what disturbs the machine in a round disturbs both."""
    return statistics.median(
        figure(a) / figure(b) if figure(b) else float("inf") for a, b in zip(ours, theirs, strict=True)
    )


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile (0 to 1) by nearest rank: a value that was really measured. `values` not empty."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-q * len(ordered) // 1)) - 1)]


def rotated(peers: Sequence[str], number: int) -> list[str]:
    """The order of peers in round `number`: each is first, and after each other, equally often."""
    shift = number % len(peers)
    return [*peers[shift:], *peers[:shift]]
