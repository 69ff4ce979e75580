"""The proofs of "not worse": how often one is given that is false, and how soon one that is true.

A false one is for a canary that is exactly as bad as is tolerated: the hardest case of all that must not be promoted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.detectors import ours
from bench.detectors.results import Found
from bench.detectors.scenes import RATE, SHARE
from bench.detectors.traffic import EDGES, Traffic, bursts
from coalmine_controller.analysis.sequential.settings import Settings

DIFFERENCE, RATIO = "within the difference", "within the ratio"
_AT_ONCE: Final = 200
#: The longest wait of a step.
_GOOD_MINUTES: Final = 10
_FALSE_MINUTES: Final = 30


@dataclass(frozen=True, slots=True)
class Case:
    """Error rates of canary and control, in clusters of `size`, and the proofs that are false of them."""

    canary: float
    control: float
    size: int = 1
    false: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        clusters = f", clusters of {self.size}" if self.size > 1 else ""
        return f"{100 * self.canary:g} % against {100 * self.control:g} %{clusters}"


CASES: Final = (
    *(Case(0.01, 0.0, size, (DIFFERENCE,)) for size in (1, 2, 5)),
    *(Case(0.015, 0.005, size, (DIFFERENCE,)) for size in (1, 2, 5)),
    Case(0.03, 0.02, 5, (DIFFERENCE,)),
    *(Case(0.0075, 0.005, size, (RATIO,)) for size in (1, 2, 5)),
    *(Case(0.03, 0.02, size, (RATIO,)) for size in (1, 2)),
    Case(0.0, 0.0),
    Case(0.0005, 0.0005),
    Case(0.005, 0.005),
    Case(0.02, 0.02),
    Case(0.05, 0.05),
)


def measure(case: Case, runs: int, seed: int) -> dict[str, Found]:
    """What the proofs do: of a case with false ones only those."""
    held_to = Settings()
    times: dict[str, list[float]] = {}
    asked: dict[str, list[float]] = {}
    for traffic in _drawn(case, runs, seed):
        requests = np.cumsum(traffic.canary, axis=1)
        for name in case.false or (DIFFERENCE, RATIO):
            if name == DIFFERENCE:
                grown = ours.within_difference(traffic, held_to.difference)
            else:
                grown = ours.within_ratio(traffic, held_to.ratio)
            for run, second in enumerate(ours.first(grown >= held_to.needed)):
                times.setdefault(name, []).append(float(second) if second else float("inf"))
                asked.setdefault(name, []).append(float(requests[run, (int(second) or traffic.seconds) - 1]))
    return {name: Found.of(times[name], [0.0] * len(times[name]), asked[name]) for name in times}


def _drawn(case: Case, runs: int, seed: int) -> Iterator[Traffic]:
    seconds = 60 * (_FALSE_MINUTES if case.false else _GOOD_MINUTES)
    for number, start in enumerate(range(0, runs, _AT_ONCE)):
        rng = np.random.default_rng([seed, zlib.crc32(case.name.encode()), number])
        some = min(_AT_ONCE, runs - start)
        canary = rng.poisson(RATE * SHARE, (some, seconds))
        control = rng.poisson(RATE * (1 - SHARE), (some, seconds))
        bad = bursts(rng, some, seconds, RATE * SHARE * case.canary, case.size)
        other = bursts(rng, some, seconds, RATE * (1 - SHARE) * case.control, case.size)
        none = np.zeros((EDGES, some, seconds), dtype=np.int8)
        yield Traffic(np.maximum(canary, bad), np.maximum(control, other), bad, other, none, none, bad * 1.0)
