"""Proof that the canary's error rate is less than d above control's, at any time: evidence against "d above, or more".

For a look at n1 and n0 requests with x1 and x0 errors, a step s > 0, A = n1 (1 - e^-s) and u = ln(1 + A/n0):

    f = exp(A d - s x1 + u x0)

Chernoff's bounds, E e^(-s x1) <= e^(-n1 p1 (1 - e^-s)) and E e^(u x0) <= e^(n0 p0 (e^u - 1)), give it a mean of
at most exp(A (d - (p1 - p0))), which is at most 1 while p1 - p0 >= d, whatever the rates are and however they move.
So the product over looks is a supermartingale, which reaches 1/alpha with probability alpha at most (Howard, Ramdas,
McAuliffe and Sekhon, Probability Surveys 2020, arXiv 1808.03204). With no errors it grows with the canary's requests.

Requests that fail together would make a quiet minute look like a proof. The power 1/k of f has a mean of at most 1 for
errors that come in clusters of up to k, as the requests can be dealt out to k sets of which each holds one of a cluster
(Hoelder). It is paid for by k times the requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from coalmine_controller.analysis.sequential.bets import log_sum
from coalmine_controller.analysis.sequential.counters import Pair

#: From "many errors, and a difference to be told from noise" to "no errors".
STEPS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
#: The largest cluster that the benchmark has. Five times the requests are 80 seconds at 20/s with no errors.
CLUSTER: Final = 5
_ROUND: Final = 1e6


def opened() -> tuple[float, ...]:
    """The logarithm of the evidence for each step before the first look."""
    return (0.0,) * len(STEPS)


def looked(logs: tuple[float, ...], pairs: Iterable[Pair], d: float) -> tuple[float, ...]:
    """The logarithms after one more look. `d` is a difference between rates, 0.01 for a point."""
    grown = list(logs)
    for pair in pairs:
        for i, s in enumerate(STEPS):
            a = -math.expm1(-s) * pair.canary.requests
            u = math.log1p(a / pair.control.requests)
            grown[i] += (a * d - s * pair.canary.errors + u * pair.control.errors) / CLUSTER
    return tuple(math.floor(log * _ROUND) / _ROUND for log in grown)


def log_evidence(logs: tuple[float, ...]) -> float:
    """The logarithm of the mean over the steps."""
    return log_sum(logs) - math.log(len(logs))
