"""What is usual: thresholds on a minute, Mann-Whitney on minutes, a z-test repeated.

- "At least 99 %": the canary's success rate of each minute; the fifth failed minute is the alarm (failureLimit: 4).
- "At least 95 %": its success rate of the last five minutes, looked at each minute.
- "p99 below 500 ms": of each minute; the fifth failed minute is the alarm.
- Mann-Whitney on the minutes' error rates, or p99s, from the fifth minute on, one-sided at 1 %.
- z: two proportions of all requests so far, one-sided: at 5 % each second, or at 5 %/30 each minute.
"""

from __future__ import annotations

import numpy as np

from bench.detectors.ours import first
from bench.detectors.traffic import EDGES, Counts, Numbers, Traffic
from coalmine.model.wire import LATENCY_EDGES_MS

_MINUTE = 60
_FAILED_MINUTES = 5
#: One-sided quantiles of the normal distribution at 5 %, 5 %/30 and 1 %.
_EACH_LOOK, _BONFERRONI, _MANN_WHITNEY = 1.6449, 2.9352, 2.3263


def success_99(traffic: Traffic) -> Counts:
    """Seconds to the fifth minute below 99 %."""
    rate = _minutes(traffic.canary_errors) / np.maximum(_minutes(traffic.canary), 1)
    return _MINUTE * first(np.cumsum(rate > 0.01, axis=1) >= _FAILED_MINUTES)


def success_95(traffic: Traffic) -> Counts:
    """Seconds to the first five minutes below 95 %."""
    errors, requests = (np.cumsum(_minutes(c), axis=1) for c in (traffic.canary_errors, traffic.canary))
    for sums in (errors, requests):
        sums[:, 5:] = sums[:, 5:] - sums[:, :-5].copy()
    failed = errors / np.maximum(requests, 1) > 0.05
    failed[:, : _FAILED_MINUTES - 1] = False
    return _MINUTE * first(failed)


def p99_500(traffic: Traffic) -> Counts:
    """Seconds to the fifth minute with a p99 of 500 ms or more."""
    failed = p99(traffic.canary - traffic.canary_errors, traffic.canary_slow) >= 500
    return _MINUTE * first(np.cumsum(failed, axis=1) >= _FAILED_MINUTES)


def mann_whitney_errors(traffic: Traffic) -> Counts:
    """Seconds until the canary's error rates of minutes rank too high."""
    return _mann_whitney(
        _minutes(traffic.canary_errors) / np.maximum(_minutes(traffic.canary), 1),
        _minutes(traffic.control_errors) / np.maximum(_minutes(traffic.control), 1),
    )


def mann_whitney_p99(traffic: Traffic) -> Counts:
    """Seconds until the canary's p99s of minutes rank too high."""
    return _mann_whitney(
        p99(traffic.canary - traffic.canary_errors, traffic.canary_slow),
        p99(traffic.control - traffic.control_errors, traffic.control_slow),
    )


def z_each_second(traffic: Traffic) -> Counts:
    """Seconds until a z-test at 5 %, repeated each second, rejects."""
    return first(_z(traffic) >= _EACH_LOOK)


def z_each_minute(traffic: Traffic) -> Counts:
    """Seconds until a z-test each minute rejects at 5 %/30."""
    return _MINUTE * first(_z(traffic)[:, _MINUTE - 1 :: _MINUTE] >= _BONFERRONI)


def p99(answered: Counts, slow: Counts) -> Numbers:
    """The p99 of each minute, as Prometheus's histogram_quantile reads it off the buckets."""
    whole = np.maximum(_minutes(answered), 1)
    above = np.stack([_minutes(slow[e]) for e in range(EDGES)])
    edges = np.array(LATENCY_EDGES_MS, dtype=float)
    rank = 0.01 * whole
    over = (above > rank).sum(axis=0)  # the bucket that it is in
    lower = np.where(over > 0, edges[np.maximum(over - 1, 0)], 0.0)
    upper = edges[np.minimum(over, EDGES - 1)]
    outside = np.concatenate([whole[None], above], axis=0)
    at_lower = np.take_along_axis(outside, over[None], axis=0)[0]
    at_upper = np.take_along_axis(outside, np.minimum(over + 1, EDGES)[None], axis=0)[0]
    part = (at_lower - rank) / np.maximum(at_lower - at_upper, 1e-9)
    found: Numbers = np.where(over >= EDGES, edges[-1], lower + np.clip(part, 0, 1) * (upper - lower))
    return found


def _minutes(counts: Counts) -> Counts:
    """Sums of whole minutes."""
    minutes = counts.shape[1] // _MINUTE
    found: Counts = counts[:, : minutes * _MINUTE].reshape(len(counts), minutes, _MINUTE).sum(axis=2)
    return found


def _z(traffic: Traffic) -> Numbers:
    n1, n0 = (np.cumsum(c, axis=1) for c in (traffic.canary, traffic.control))
    x1, x0 = (np.cumsum(c, axis=1) for c in (traffic.canary_errors, traffic.control_errors))
    pooled = (x1 + x0) / np.maximum(n1 + n0, 1)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-300) * (1 / np.maximum(n1, 1) + 1 / np.maximum(n0, 1)))
    return np.where(x1 + x0 > 0, (x1 / np.maximum(n1, 1) - x0 / np.maximum(n0, 1)) / error, 0.0)


def _mann_whitney(canary: Numbers, control: Numbers) -> Counts:
    """Normal approximation with corrections for ties and continuity, as scipy's asymptotic method."""
    runs, minutes = canary.shape
    found = np.zeros((runs, minutes), dtype=bool)
    greater = canary[:, :, None] > control[:, None, :]
    equal = canary[:, :, None] == control[:, None, :]
    for n in range(_FAILED_MINUTES, minutes + 1):
        u = greater[:, :n, :n].sum(axis=(1, 2)) + 0.5 * equal[:, :n, :n].sum(axis=(1, 2))
        values = np.sort(np.concatenate([canary[:, :n], control[:, :n]], axis=1), axis=1)
        ties = (values[:, :, None] == values[:, None, :]).sum(axis=2)
        whole = 2 * n
        variance = n * n / 12 * ((whole + 1) - (ties**2 - 1).sum(axis=1) / (whole * (whole - 1)))
        z = (u - n * n / 2 - 0.5) / np.sqrt(np.maximum(variance, 1e-9))
        found[:, n - 1] = z >= _MANN_WHITNEY
    return _MINUTE * first(found)
