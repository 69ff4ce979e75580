"""What the user got, against what was promised.

Pure. The promise: from the acknowledgement of a weight on, the share of the canary's answers over any
1,000 requests is within one point of the weight; no request fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model.weights import Weight
from coalmine_sandbox.story.traffic import Sample

WINDOW: Final = 1000
#: One point of a window. Over fewer requests the same number is allowed: it is made of whole
#: requests and of a few a sidecar, whatever their sum.
ALLOWED: Final = 10


@dataclass(frozen=True, slots=True)
class Period:
    """A weight, from its acknowledgement by all sidecars until the next one was intended."""

    weight: Weight
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Step:
    """What the user got in one period. `worst` is the largest distance from the weight, in
    requests, in any window of `WINDOW` requests."""

    image: str
    weight: Weight
    requests: int
    canary: int
    failed: int
    worst: float

    @property
    def share(self) -> float:
        """The canary's share in percent."""
        return 100 * self.canary / self.requests if self.requests else 0.0

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return self.failed == 0 and self.worst <= ALLOWED

    def to_json(self) -> dict[str, Any]:
        return {
            "image": self.image,
            "weight": self.weight.percent,
            "requests": self.requests,
            "canary": self.canary,
            "failed": self.failed,
        }


def account(image: str, colour: str, period: Period, samples: Iterable[Sample]) -> Step:
    """Count the requests that were sent and answered within `period`; `colour` is the canary's."""
    inside = [s for s in samples if s.sent >= period.since and s.ended <= period.until]
    inside.sort(key=lambda s: s.sent)
    hits = [s.colour == colour for s in inside if not s.failure]
    return Step(
        image,
        period.weight,
        len(inside),
        sum(hits),
        sum(1 for s in inside if s.failure),
        worst_window(hits, period.weight),
    )


def worst_window(hits: Sequence[bool], weight: Weight) -> float:
    """The largest distance between hits and expectation over any window of `WINDOW` (or over all,
    when there are fewer), in requests."""
    size = min(WINDOW, len(hits))
    if not size:
        return 0.0
    expected = size * weight.fraction
    count = sum(hits[:size])
    worst = abs(count - expected)
    for at in range(size, len(hits)):
        count += hits[at] - hits[at - size]
        worst = max(worst, abs(count - expected))
    return worst
