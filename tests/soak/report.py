"""The figures of a soak, in words."""

from __future__ import annotations

from typing import Final

from tests.soak.disturbances import KEPT, Disturbances
from tests.soak.measures import growth
from tests.soak.shares import bound
from tests.soak.soak import Soak

#: Violations that are printed.
_SHOWN: Final = 60
_MB: Final = 1 << 20
#: Two of the allocator's arenas: less is luck with fragments.
_GROWTH: Final = 2 * _MB


class Report:
    """Everything that a soak has found out. `wrong` is what must not be."""

    def __init__(self, soak: Soak, disturbances: Disturbances, seconds: float, left: list[str]) -> None:
        self._soak = soak
        self._disturbances = disturbances
        self._seconds = seconds
        kept = [soak.slots[i].pod.uid for i in KEPT]
        self._growth = {uid: growth(soak.series, uid) for uid in kept}
        grown = [f"{uid} has grown by {it / _MB:.1f} MB" for uid, it in self._growth.items() if it > _GROWTH]
        self.wrong = [*soak.judge.violations, *disturbances.wrong, *soak.shares.verdict(), *left, *grown]

    def __str__(self) -> str:
        soak, judge, shares = self._soak, self._soak.judge, self._soak.shares
        asked = sum(judge.outcomes.values())
        lines = [
            f"{self._seconds:.0f} s of load, {asked} requests, {asked / self._seconds:.0f} a second",
            f"documents: {soak.controller.pushed} taken, the slowest in {soak.controller.slowest * 1000:.0f} ms",
            f"accidents: {self._disturbances.counts}",
            f"outcomes: {dict(judge.outcomes)}; sent twice where that is allowed: {judge.twice}",
            "failures that the rules allow:",
            *(f"  {count:6} {reason}" for reason, count in judge.allowed.most_common()),
            f"shares in calm time: {shares.windows} windows, {shares.calm_requests} requests, "
            f"the widest miss {shares.widest:.2f} requests",
            "shares over everything (requests, canary, expected, bound):",
            *(
                f"  {uid:12} {count.requests:8} {count.canary:8} {count.expected:10.1f} {bound(count):6.1f}"
                for uid, count in sorted(shares.sidecars.items())
            ),
            "memory in MB and descriptors of each sidecar:",
            *(
                f"  {seconds:6.0f} s  "
                + "  ".join(f"{uid} {it.memory / _MB:.1f}/{it.descriptors}" for uid, it in sorted(found.items()))
                for seconds, found in soak.series
            ),
            "growth from the second third to the last: "
            + ", ".join(f"{uid} {it / _MB:+.2f} MB" for uid, it in self._growth.items()),
            f"{len(self.wrong)} wrong",
            *(f"  {text}" for text in self.wrong[:_SHOWN]),
        ]
        return "\n".join(lines)
