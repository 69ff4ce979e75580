"""Simulated traffic of many runs at once: what the sidecars' counters would have shown in each second.

Requests come as a Poisson process; each fails, or is answered after a time that falls into one of the sidecars'
buckets. So the counts of all of these are independent Poisson numbers, and that is how they are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coalmine.model.wire import LATENCY_EDGES_MS

Numbers = NDArray[np.floating]
Counts = NDArray[np.integer]

EDGES = len(LATENCY_EDGES_MS)
#: Of the requests of a usual service, in milliseconds: the median, and the spread of the logarithm. Its p99 is 255 ms.
MEDIAN, SPREAD = 50.0, 0.7


@dataclass(frozen=True, slots=True)
class Traffic:
    """Arrays of runs x seconds. `slow` has a row for each edge first: answers that took longer.

    `bad` are the canary's requests that were worse for the canary's fault. `pods` are the errors of
    each of control's pods, where they matter. `unseen` marks the seconds that a comparison leaves out: a warm-up,
    counters that fell. `matched` is the same with control on the canary's node only.
    """

    canary: Counts
    control: Counts
    canary_errors: Counts
    control_errors: Counts
    canary_slow: Counts
    control_slow: Counts
    bad: Numbers
    pods: Counts | None = None
    unseen: NDArray[np.bool_] | None = None
    matched: Traffic | None = None

    @property
    def runs(self) -> int:
        return int(self.canary.shape[0])

    @property
    def seconds(self) -> int:
        return int(self.canary.shape[1])


def looked(traffic: Traffic, every: int) -> Traffic:
    """The same with a look every so many seconds."""

    def sums(counts: Counts) -> Counts:
        found: Counts = counts.reshape(*counts.shape[:-1], -1, every).sum(axis=-1)
        return found

    return Traffic(
        sums(traffic.canary),
        sums(traffic.control),
        sums(traffic.canary_errors),
        sums(traffic.control_errors),
        sums(traffic.canary_slow),
        sums(traffic.control_slow),
        np.add.reduceat(traffic.bad, np.arange(0, traffic.seconds, every), axis=1),
    )


@dataclass(frozen=True, slots=True)
class Arm:
    """Counts of one arm: requests and errors (runs x seconds), answers slower than each edge (first)."""

    requests: Counts
    errors: Counts
    slow: Counts


def buckets(
    scale: Numbers | float = 1.0, *, late: float = 0.0, median: float = MEDIAN, spread: float = SPREAD
) -> Numbers:
    """The probability of each bucket (last) for a log-normal time, times `scale`, plus `late` milliseconds."""
    scales = np.asarray(scale, dtype=float)[..., None]
    edges = np.array(LATENCY_EDGES_MS, dtype=float) - late
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(edges > 0, np.log(np.maximum(edges, 1e-300) / (median * scales)) / spread, -np.inf)
    below = np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)))(z)
    whole = np.concatenate([np.zeros((*below.shape[:-1], 1)), below, np.ones((*below.shape[:-1], 1))], axis=-1)
    return np.diff(whole, axis=-1)


def arm(rng: np.random.Generator, runs: int, seconds: int, rate: object, failing: object, times: Numbers) -> Arm:
    """Draw one arm: requests per second, the part that fails, the probabilities of the buckets of the others.

    Each may be different for every second, or for every run and second.
    """
    rates = np.broadcast_to(np.asarray(rate, dtype=float), (runs, seconds))
    parts = np.broadcast_to(np.asarray(failing, dtype=float), (runs, seconds))
    return with_errors(rng, rng.poisson(rates * parts), rates * (1 - parts), times)


def with_errors(rng: np.random.Generator, errors: Counts, answered: Numbers, times: Numbers) -> Arm:
    """An arm whose errors are known: draw the answers, so many a second."""
    runs, seconds = errors.shape
    chances = np.broadcast_to(times, (runs, seconds, EDGES + 1))
    slow = np.zeros((EDGES, runs, seconds), dtype=np.int32)
    above = np.zeros((runs, seconds), dtype=np.int32)
    for bucket in range(EDGES, -1, -1):
        if float(chances[..., bucket].max()) > 1e-12:
            above = above + rng.poisson(answered * chances[..., bucket]).astype(np.int32)
        if bucket:
            slow[bucket - 1] = above
    return Arm(above + errors, errors.astype(np.int32), slow)


def both(canary: Arm, control: Arm, bad: object = 0.0) -> Traffic:
    """Traffic of two arms; `bad` is the part of the canary's requests that is bad, or counts."""
    part = np.asarray(bad, dtype=float)
    counts = part if part.shape == canary.requests.shape else canary.requests * part
    return Traffic(canary.requests, control.requests, canary.errors, control.errors, canary.slow, control.slow, counts)


def bursts(rng: np.random.Generator, runs: int, seconds: int, rate: float, size: int, lasting: float = 0.3) -> Counts:
    """Errors that come `size` at once, `rate` a second. A burst takes `lasting` s, below 1: so many of them fall into
    two seconds, three in ten of 0.3 s."""
    events = rng.poisson(rate / size, (runs, seconds))
    split = rng.binomial(events, lasting)
    later = rng.binomial(split * size, 0.5)
    now = events * size - later
    now[:, 1:] += later[:, :-1]
    return now


def told_apart(traffic: Traffic, pods: Counts) -> Traffic:
    """The traffic with the errors of control's pods beside it."""
    return replace(traffic, pods=pods)
