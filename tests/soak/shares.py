"""Do the versions get their shares? Counted at the clients, against the documents.

PURE. Two questions:
- In calm time (one document, nobody dies, nothing in flight at either end) the canary's count is within 2 of
  n x weight.
- Over everything: each change of weights is a new splitter with a random phase, whose count is right on average
  and within 2; so the sum differs from the sum of weights by a random walk of as many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.soak.facts import Facts
from tests.soak.judge import Judge
from tests.soak.record import Outcome, Record

from coalmine.model import wire

#: The variance of the count of one splitter over any number of requests: below that of two half blocks.
_VARIANCE: Final = 0.5
#: Standard deviations that luck may take.
_SIGMAS: Final = 5.0


@dataclass
class Count:
    """Requests that were dealt out by the shares."""

    requests: int = 0
    canary: int = 0
    expected: float = 0.0
    #: The sum of what is not known of the expectation: a request that met a change of weights.
    spread: float = 0.0
    #: Answers that nobody saw.
    unknown: int = 0
    #: Splitters that they met.
    splitters: int = 0


class Shares:
    """Counts by sidecar: of everything, and of the present calm time."""

    def __init__(self, facts: Facts, judge: Judge) -> None:
        self._facts = facts
        self._judge = judge
        self.sidecars: dict[str, Count] = {}
        self._calm: dict[str, Count] = {}
        self._weight: float | None = None
        #: The widest miss in calm time, and how many calm times and requests there were.
        self.widest = 0.0
        self.windows = 0
        self.calm_requests = 0

    def note(self, record: Record) -> None:
        """A request has ended."""
        if record.pinned or record.cookie or record.outcome is Outcome.REFUSED:
            return
        routings = self._facts.possible(record.sidecar, record.began, record.ended)
        ruled = {bool(routing.routes) for routing in routings} if record.routed else {False}
        if ruled == {True}:
            return
        calm = self._weight is not None
        if not record.version or len(ruled) > 1:
            if calm:
                self._calm.setdefault(record.sidecar, Count()).unknown += 1
            return
        canary = record.version == wire.CANARY
        if calm and self._weight is not None:
            count = self._calm.setdefault(record.sidecar, Count())
            count.requests += 1
            count.canary += canary
        arms = [arm for routing in routings for arm in routing.arms if arm.name == wire.CANARY]
        if not arms or any(self._judge.none_reachable(record, arm) for arm in arms):
            return
        weights = [arm.share.hundredths / 10_000 for arm in arms]
        count = self.sidecars.setdefault(record.sidecar, Count())
        count.requests += 1
        count.canary += canary
        # The mean, not the middle of the range: weights are drawn each time, so it is right on average.
        count.expected += sum(weights) / len(weights)
        count.spread += ((max(weights) - min(weights)) / 2) ** 2

    def changed(self, sidecar: str) -> None:
        """A document with other shares was sent."""
        self.sidecars.setdefault(sidecar, Count()).splitters += 1

    def begin_calm(self, weight: float) -> None:
        """From here on one document is in force, and nothing is in flight."""
        self._weight = weight
        self._calm.clear()

    def end_calm(self) -> list[str]:
        """Nothing is in flight again. Returns what is wrong."""
        assert self._weight is not None
        wrong = []
        for sidecar, count in self._calm.items():
            miss = abs(count.canary - count.requests * self._weight)
            self.windows += 1
            self.calm_requests += count.requests
            if not count.unknown:
                self.widest = max(self.widest, miss)
            if miss >= 2 + count.unknown:
                wrong.append(
                    f"{sidecar} sent {count.canary} of {count.requests} requests to the canary at {self._weight:.2%}, "
                    f"{miss:.2f} from its share ({count.unknown} unknown)"
                )
        self._weight = None
        self._calm.clear()
        return wrong

    def verdict(self) -> list[str]:
        """What is wrong over everything."""
        return [
            f"{sidecar} sent {count.canary} of {count.requests} requests to the canary instead of {count.expected:.1f}"
            for sidecar, count in self.sidecars.items()
            if abs(count.canary - count.expected) > bound(count)
        ]


def bound(count: Count) -> float:
    """How far the sum may be from the sum of weights."""
    return 2.0 + float(_SIGMAS * (_VARIANCE * count.splitters + count.spread) ** 0.5)
