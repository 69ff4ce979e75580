"""Run the detectors over scenes, and count. The same seed gives the same figures, in whatever order scenes are run."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from bench.detectors import ours, parts, usual
from bench.detectors.results import Found
from bench.detectors.scenes import CONTRAST, ERRORS, LATENCY, NULL, Scene
from bench.detectors.traffic import Counts, Traffic, looked
from coalmine_controller.analysis.sequential.settings import Metric, Settings

#: Runs drawn at once: their arrays take 100 MB.
_AT_ONCE: Final = 100

Detector = Callable[[Traffic], Counts | None]


def _ours(traffic: Traffic) -> Counts:
    return ours.settled(traffic.matched or traffic, Settings())


def _pooled(traffic: Traffic) -> Counts | None:
    return ours.settled(traffic, Settings()) if traffic.matched is not None else None


def _errors_only(traffic: Traffic) -> Counts:
    return ours.settled(traffic.matched or traffic, Settings(metrics=(Metric.ERRORS,)))


def _latency_only(traffic: Traffic) -> Counts:
    return ours.settled(traffic.matched or traffic, Settings(metrics=(Metric.LATENCY,)))


#: Name, what it is asked about, what it is. `ours` shares alpha out over errors and latency; alone, each has all.
DETECTORS: Final[tuple[tuple[str, tuple[str, ...], Detector], ...]] = (
    ("ours", (NULL, ERRORS, LATENCY, CONTRAST), _ours),
    ("ours, nodes not told apart", (NULL,), _pooled),
    ("ours, errors alone", (NULL, ERRORS), _errors_only),
    ("ours, latency alone", (NULL, LATENCY), _latency_only),
    ("success rate at least 99 %", (NULL, ERRORS, LATENCY), usual.success_99),
    ("success rate at least 95 %", (NULL, ERRORS, LATENCY), usual.success_95),
    ("p99 below 500 ms", (NULL, LATENCY), usual.p99_500),
    ("Mann-Whitney, error rates", (NULL, ERRORS), usual.mann_whitney_errors),
    ("Mann-Whitney, p99", (NULL, LATENCY), usual.mann_whitney_p99),
    ("z, each second", (NULL, ERRORS), usual.z_each_second),
    ("z, each minute, Bonferroni", (NULL, ERRORS), usual.z_each_minute),
    ("(1) alone", (NULL, ERRORS), parts.ratio),
    ("(5) alone", (NULL, ERRORS), parts.soft_rank),
    ("(4) alone", (NULL, LATENCY), parts.ratio_of_edges),
)


def measure(scene: Scene, runs: int, seed: int) -> dict[str, Found]:
    """What each detector does in `runs` runs of a scene."""
    times: dict[str, list[float]] = {}
    bad: dict[str, list[float]] = {}
    asked: dict[str, list[float]] = {}
    for traffic in _drawn(scene, runs, seed):
        served, requests = np.cumsum(traffic.bad, axis=1), np.cumsum(traffic.canary, axis=1)
        for name, kinds, detector in DETECTORS:
            if scene.kind not in kinds or (scene.every > 1 and name != "ours"):
                continue
            found = detector(traffic if scene.every == 1 else looked(traffic, scene.every))
            if found is None:
                continue
            found = found * scene.every
            for run, second in enumerate(found):
                end = int(second) or traffic.seconds
                times.setdefault(name, []).append(float(second) - scene.onset if second else float("inf"))
                bad.setdefault(name, []).append(float(served[run, end - 1]) - _before(served, run, scene.onset))
                asked.setdefault(name, []).append(float(requests[run, end - 1]) - _before(requests, run, scene.onset))
    return {name: Found.of(times[name], bad[name], asked[name]) for name in times}


def _before(sums: np.ndarray, run: int, onset: int) -> float:
    return float(sums[run, onset - 1]) if onset else 0.0


def _drawn(scene: Scene, runs: int, seed: int) -> Iterator[Traffic]:
    for number, start in enumerate(range(0, runs, _AT_ONCE)):
        rng = np.random.default_rng([seed, zlib.crc32(scene.name.encode()), number])
        yield scene.draw(rng, min(_AT_ONCE, runs - start), 60 * scene.minutes)
