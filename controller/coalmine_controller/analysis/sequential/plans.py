"""How the money of each comparison is laid out. Ratios and shares were tuned in simulation, once; any are valid."""

from __future__ import annotations

from typing import Final

from coalmine_controller.analysis.sequential.bets import Plan

#: One edge only. Most is on 3, 5 and 10: the bet on 3 finds a ratio of 2 nearly as fast as that on 2 itself.
#: Blocks of two looks, as a burst that is shorter than the time between two looks falls into two at most.
ERRORS: Final = Plan(
    ratios=(1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0),
    shares=(0.01, 0.06, 0.29, 0.22, 0.36, 0.04, 0.02),
    start=0.9,
    reserve=0.0,
    late=0.1,
    block=2,
)

#: A tail that only the canary has shows at an edge that nothing was slower than before: the reserve is for those.
#: No blocks: they cost more than half of the time again, and pods that pause for a second did not need them.
LATENCY: Final = Plan(
    ratios=(1.2, 2.0, 6.0, 30.0),
    shares=(0.2, 0.2, 0.3, 0.3),
    start=0.5,
    reserve=0.4,
    late=0.1,
    block=1,
)

#: Against "as bad as the tolerated ratio": control's errors take the place of the canary's. Nothing is kept for a
#: late onset, as a proof is about the whole time.
RATIO: Final = Plan(
    ratios=(1.2, 1.5, 2.5, 6.0),
    shares=(0.25, 0.25, 0.25, 0.25),
    start=1.0,
    reserve=0.0,
    late=0.0,
    block=2,
)
