"""What a look has found, as a value, and as a sentence for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from coalmine.model.wire import LATENCY_EDGES_MS
from coalmine_controller.analysis.sequential.counters import Counters
from coalmine_controller.analysis.sequential.settings import Metric


class Standing(StrEnum):
    """How the canary stands."""

    WORSE = "Worse"
    NOT_WORSE = "NotWorse"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why: what was shown, or why nothing is yet."""

    MORE_ERRORS = "MoreErrors"
    SLOWER = "Slower"
    WITHIN_RATIO = "WithinRatio"
    WITHIN_DIFFERENCE = "WithinDifference"
    NO_TRAFFIC = "NoTraffic"
    WARM_UP = "WarmUp"
    UNDECIDED = "Undecided"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one metric. `evidence` is its part of the whole; rates are 0 to 1; `edge` in milliseconds, for latency."""

    metric: Metric
    evidence: float
    canary: float
    control: float
    edge: float | None = None

    def __str__(self) -> str:
        rates = f"{percent(self.canary)} against {percent(self.control)}"
        if self.metric is Metric.ERRORS:
            return f"canary errors {rates}"
        return f"canary answers slower than {self.edge:g} ms {rates}" if self.edge is not None else "canary latency"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`evidence` that the canary is worse, over all metrics, settles it at `needed`; 1 is none, either way.

    `metrics` has each metric's part, the loudest first. `message` says it all in a sentence.
    """

    standing: Standing
    reason: Reason
    evidence: float
    needed: float
    metrics: tuple[Evidence, ...]
    message: str


def rates(metric: Metric, edge: int | None, canary: Counters, control: Counters) -> tuple[float, float]:
    """Both arms' rates of errors, or of answers slower than an edge; 0 where there was nothing."""
    if metric is Metric.ERRORS:
        return _part(canary.errors, canary.requests), _part(control.errors, control.requests)
    if edge is None:
        return 0.0, 0.0
    one, other = (_part(c.slower()[edge], sum(c.latency)) if c.latency else 0.0 for c in (canary, control))
    return one, other


def edge_of(edge: int | None) -> float | None:
    """An edge in milliseconds."""
    return None if edge is None else float(LATENCY_EDGES_MS[edge])


def shown(evidence: float, needed: float) -> str:
    """ "evidence 14 of 20": rounded down, so that it never seems enough before it is."""
    return f"evidence {_rounded(evidence)} of {math.ceil(needed - 1e-9):,}"


def percent(rate: float) -> str:
    """A rate in percent with two digits that count: 1.9 %, 0.05 %, 0 %."""
    value = 100 * rate
    if value <= 0:
        return "0 %"
    places = max(0, 1 - math.floor(math.log10(value)))
    return f"{value:.{min(places, 4)}f} %"


def _rounded(evidence: float) -> str:
    if evidence >= 1000:
        return "over 1,000"
    return f"{math.floor(evidence)}" if evidence >= 10 else f"{math.floor(evidence * 10) / 10:.1f}"


def _part(count: int, whole: int) -> float:
    return count / whole if whole else 0.0
