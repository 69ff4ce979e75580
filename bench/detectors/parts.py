"""The parts that our comparison was made of, each alone: what they find, and what they rest on.

The ratio test over counts (1), and over "slower than an edge" (4), assumes that requests fail, or are slow,
independently of each other. The soft-rank test over pods (5) assumes that pods are exchangeable within a second.
"""

from __future__ import annotations

import numpy as np

from bench.detectors.ours import first
from bench.detectors.traffic import EDGES, Counts, Traffic

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_MOST = 50.0


def ratio(traffic: Traffic, alpha: float = 0.05) -> Counts:
    """(1): seconds to its alarm."""
    share = traffic.canary / np.maximum(traffic.canary + traffic.control, 1)
    together = traffic.canary_errors + traffic.control_errors
    return first(_grown(traffic.canary_errors, together, share) >= 1 / alpha)


def ratio_of_edges(traffic: Traffic, alpha: float = 0.05) -> Counts:
    """(4): seconds to its alarm."""
    canary, control = traffic.canary - traffic.canary_errors, traffic.control - traffic.control_errors
    share = canary / np.maximum(canary + control, 1)
    found = np.zeros(canary.shape)
    for edge in range(EDGES):
        slow = traffic.canary_slow[edge] + traffic.control_slow[edge]
        if slow.any() and (slow < canary + control).any():
            found += _grown(traffic.canary_slow[edge], slow, share) / EDGES
        else:
            found += 1 / EDGES
    return first(found >= 1 / alpha)


def soft_rank(traffic: Traffic, alpha: float = 0.05) -> Counts | None:
    """(5): seconds to its alarm; None where control's pods are not told apart."""
    if traffic.pods is None:
        return None
    found = np.zeros(traffic.canary.shape)
    pods = len(traffic.pods) + 1
    for r in RATIOS:
        step = np.log(r)
        whole = np.exp(step * traffic.canary_errors)
        for pod in traffic.pods:
            whole = whole + np.exp(step * pod)
        grown = np.cumsum(step * traffic.canary_errors - np.log(whole / pods), axis=1)
        found += np.exp(np.minimum(grown, _MOST)) / len(RATIOS)
    return first(found >= 1 / alpha)


def _grown(canary: Counts, together: Counts, share: np.ndarray) -> np.ndarray:
    found = np.zeros(canary.shape)
    for r in RATIOS:
        grown = np.cumsum(canary * np.log(r) - together * np.log1p(share * (r - 1)), axis=1)
        found += np.exp(np.minimum(grown, _MOST)) / len(RATIOS)
    return found
