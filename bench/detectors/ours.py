"""Our comparison, for many runs at once. A test holds it to the controller's own code, tick by tick.

It is the same arithmetic without logarithms: a stake is never so small or large that it would matter, because late
money goes in, and because a run is over at 20.
"""

from __future__ import annotations

import math

import numpy as np

from bench.detectors.traffic import EDGES, Counts, Numbers, Traffic
from coalmine_controller.analysis.sequential import difference, plans
from coalmine_controller.analysis.sequential.bets import Plan
from coalmine_controller.analysis.sequential.settings import Metric, Settings

#: Far above what settles anything.
_ENOUGH = 1e100


def evidence(traffic: Traffic, settings: Settings) -> Numbers:
    """The evidence after each second, all metrics together: runs x seconds. There is no warm-up but `unseen`."""
    found = np.zeros((traffic.runs, traffic.seconds))
    seen = (traffic.canary > 0) & (traffic.control > 0)
    if traffic.unseen is not None:
        seen &= ~traffic.unseen
    requests = traffic.canary + traffic.control
    if Metric.ERRORS in settings.metrics:
        together = (traffic.canary_errors + traffic.control_errors)[None]
        share = traffic.canary / np.maximum(requests, 1)
        telling = (together > 0) & seen
        bets = _blocks(plans.ERRORS, traffic.canary_errors[None], share * together, together, telling, seen)
        found += settings.share(Metric.ERRORS) * _money(plans.ERRORS, *bets, seen)
    if Metric.LATENCY in settings.metrics:
        canary, control = traffic.canary - traffic.canary_errors, traffic.control - traffic.control_errors
        answered = canary + control
        share = canary / np.maximum(answered, 1)
        slow = [e for e in range(EDGES) if traffic.canary_slow[e].any() or traffic.control_slow[e].any()]
        together = traffic.canary_slow[slow] + traffic.control_slow[slow]
        telling = (together > 0) & (together < answered) & seen & (canary > 0) & (control > 0)
        found += settings.share(Metric.LATENCY) * _money(
            plans.LATENCY, traffic.canary_slow[slow], share * together, telling, seen
        )
    return found


def settled(traffic: Traffic, settings: Settings) -> Counts:
    """The second (from 1) at which each run is settled as worse, 0 where it never is."""
    return first(evidence(traffic, settings) >= settings.needed)


def first(reached: np.ndarray) -> Counts:
    """The first second (from 1) at which something is so, 0 where it never is."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0)


def _blocks(
    plan: Plan, canary: Counts, expected: Numbers, together: Counts, telling: np.ndarray, seen: np.ndarray
) -> tuple[Numbers, Numbers, np.ndarray]:
    """The counts, put together in blocks, at the seconds with which blocks end."""
    ends = np.zeros(telling.shape, dtype=bool)
    sums = np.zeros((2, *telling.shape))
    still = np.zeros((2, *telling.shape[:2]))
    looks = np.zeros(telling.shape[:2], dtype=int)
    whole = np.zeros(telling.shape[:2], dtype=int)
    for at in range(telling.shape[2]):
        here = telling[:, :, at]
        still += np.where(here, np.stack([canary[:, :, at], expected[:, :, at]]), 0.0)
        looks += here
        whole += np.where(here, together[:, :, at], 0)
        end = (looks > 0) & seen[:, at] & (~here | (looks >= plan.block) | (whole >= plan.enough))
        sums[:, :, :, at] = np.where(end, still, 0.0)
        ends[:, :, at] = end
        still = np.where(end, 0.0, still)
        looks[end] = 0
        whole[end] = 0
    return sums[0], sums[1], ends


def _money(plan: Plan, canary: Counts | Numbers, expected: Numbers, telling: np.ndarray, seen: np.ndarray) -> Numbers:
    """What a pot is after each second. The arrays have the edges first."""
    edges, runs, seconds = expected.shape
    odds = np.array(plan.ratios)[None, :, None] - 1
    shares = np.array(plan.shares)[None, :, None]
    laid = np.zeros((edges, len(plan.ratios), runs))
    met = np.zeros((edges, runs), dtype=bool)
    reserve, late = np.full(runs, plan.reserve), np.full(runs, plan.late)
    kept = -math.expm1(-1 / plan.onset)
    found = np.zeros((runs, seconds))
    for at in range(seconds):
        new = telling[:, :, at] & ~met
        fresh = new.sum(axis=0)
        begun = met.any(axis=0)
        money = np.where(fresh > 0, np.where(begun, reserve / 2, plan.start), 0.0)
        reserve = reserve - np.where(begun, money, 0.0)
        met |= new
        known = met.sum(axis=0)
        moved = np.where((known > 0) & seen[:, at], late * kept, 0.0)
        late = late - moved
        added = new * (money / np.maximum(fresh, 1)) + met * (moved / np.maximum(known, 1))
        here = telling[:, :, at][:, None]
        wins = (1 + odds * (canary[:, :, at] * 1.0)[:, None]) / (1 + odds * expected[:, :, at][:, None])
        laid = np.minimum((laid + added[:, None] * shares) * np.where(here, wins, 1.0), _ENOUGH)
        found[:, at] = laid.sum(axis=(0, 1)) + reserve + late + np.where(known > 0, 0.0, plan.start)
    return found


def within_difference(traffic: Traffic, d: float) -> Numbers:
    """The evidence, after each second, that the canary's error rate is less than `d` above control's."""
    found = np.zeros((traffic.runs, traffic.seconds))
    for s in difference.STEPS:
        a = -math.expm1(-s) * traffic.canary
        u = np.log1p(a / np.maximum(traffic.control, 1))
        grown = (a * d - s * traffic.canary_errors + u * traffic.control_errors) / difference.CLUSTER
        grown = np.where((traffic.canary > 0) & (traffic.control > 0), grown, 0.0)
        found += np.exp(np.minimum(np.cumsum(grown, axis=1), 200)) / len(difference.STEPS)
    return found


def within_ratio(traffic: Traffic, ratio: float) -> Numbers:
    """The evidence, after each second, that the canary's error rate is less than `ratio` times control's."""
    found = np.zeros((traffic.runs, traffic.seconds))
    together = traffic.canary_errors + traffic.control_errors
    expected = traffic.control / np.maximum(traffic.canary * ratio + traffic.control, 1) * together
    seen = (traffic.canary > 0) & (traffic.control > 0)
    telling = ((together > 0) & seen)[None]
    control, expected, ends = _blocks(
        plans.RATIO, traffic.control_errors[None], expected[None], together[None], telling, seen
    )
    for r, share in zip(plans.RATIO.ratios, plans.RATIO.shares, strict=True):
        wins = np.log1p((r - 1) * control[0]) - np.log1p((r - 1) * expected[0])
        found += share * np.exp(np.minimum(np.cumsum(np.where(ends[0], wins, 0.0), axis=1), 200))
    return found
