"""What a comparison is to hold to. Values that cannot be invalid."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Metric(StrEnum):
    """What is compared."""

    ERRORS = "errors"
    LATENCY = "latency"


#: Errors are the surer sign, and rarer: they get most of alpha.
_ERRORS_SHARE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Settings:
    """Raises ValueError with the field and what to write.

    `alpha` is the chance of a false alarm over a whole run, all metrics together; each proof of "not worse" is as
    sure as 1 - alpha. `ratio` and `difference` are what is tolerated for a promotion before the time is over: that
    many times control's error rate, or that much above it (0.01 is a point). `warm_up` is in seconds, from the first
    requests that a set of canary pods gets. Looks further apart than `longest` seconds are not compared.
    """

    alpha: float = 0.05
    metrics: tuple[Metric, ...] = (Metric.ERRORS, Metric.LATENCY)
    ratio: float = 1.5
    difference: float = 0.01
    warm_up: float = 30.0
    longest: float = 60.0

    def __post_init__(self) -> None:
        if not 1e-6 <= self.alpha < 0.5:
            raise ValueError("alpha is a probability from 0.000001 to below 0.5: write 0.05")
        if not self.metrics or len(set(self.metrics)) != len(self.metrics) or not _are_metrics(self.metrics):
            raise ValueError("metrics names errors, latency or both, each once")
        if not 1 < self.ratio <= 100:
            raise ValueError("ratio is above 1 and at most 100: write 1.5")
        if not 0 < self.difference < 1:
            raise ValueError("difference is above 0 and below 1: write 0.01 for a point")
        if not 0 <= self.warm_up <= 3600:
            raise ValueError("warmUp is 0 to 3600 seconds: write 30")
        if not 0 < self.longest <= 3600:
            raise ValueError("longest is above 0 and at most 3600 seconds: write 60")

    @property
    def needed(self) -> float:
        """The evidence that settles it: 1/alpha."""
        return 1 / self.alpha

    def share(self, metric: Metric) -> float:
        """The part of alpha that a metric has."""
        if len(self.metrics) == 1:
            return 1.0
        return _ERRORS_SHARE if metric is Metric.ERRORS else 1 - _ERRORS_SHARE


def _are_metrics(given: tuple[object, ...]) -> bool:
    return all(isinstance(metric, Metric) for metric in given)
