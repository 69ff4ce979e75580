"""The benchmark's arithmetic is the controller's: the same evidence, look by look."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from bench.detectors import ours, scenes
from bench.detectors.traffic import EDGES, Traffic, bursts

from coalmine_controller.analysis.sequential import difference, plans
from coalmine_controller.analysis.sequential.bets import log_evidence
from coalmine_controller.analysis.sequential.compare import look
from coalmine_controller.analysis.sequential.counters import Arms, Counters, Observation
from coalmine_controller.analysis.sequential.settings import Metric, Settings
from coalmine_controller.analysis.sequential.state import State

SECONDS = 200


def counters(traffic: Traffic, side: str, run: int, at: int) -> Counters:
    """What one arm has counted in all seconds until `at`."""
    requests = int(getattr(traffic, side)[run, :at].sum())
    errors = int(getattr(traffic, f"{side}_errors")[run, :at].sum())
    slow = [int(s) for s in getattr(traffic, f"{side}_slow")[:, run, :at].sum(axis=1)]
    above = [requests - errors, *slow, 0]
    return Counters(requests, errors, tuple(above[i] - above[i + 1] for i in range(EDGES + 1)))


DRAWN = {scene.name: scene.draw for scene in scenes.SCENES}
WANTED = (
    "0.5 % fail",
    "clusters of 5",
    "0.5 to 5 %, 20 requests/s",
    "twice as slow",
    "1 % get 2 s more",
    "stepped weights",
)


@pytest.mark.parametrize("metrics", [tuple(Metric), (Metric.ERRORS,), (Metric.LATENCY,)])
@pytest.mark.parametrize("name", WANTED)
def test_the_evidence_is_the_same(name: str, metrics: tuple[Metric, ...]) -> None:
    traffic = DRAWN[name](np.random.default_rng(7), 1, SECONDS)
    held_to = Settings(metrics=metrics, warm_up=0)
    wanted = ours.evidence(traffic, held_to)[0]
    state = State()
    for at in range(SECONDS + 1):
        arms = Arms(counters(traffic, "canary", 0, at), counters(traffic, "control", 0, at))
        state, found = look(held_to, state, Observation(float(at), {"": arms}))
        if at and found.evidence < 1e50:
            assert math.log(found.evidence) == pytest.approx(math.log(wanted[at - 1]), abs=1e-3), at


def test_the_proofs_are_the_same() -> None:
    traffic = DRAWN["2 % fail"](np.random.default_rng(8), 1, SECONDS)
    held_to = Settings(warm_up=0, ratio=3, difference=0.02)
    differences, ratios = ours.within_difference(traffic, 0.02)[0], ours.within_ratio(traffic, 3)[0]
    state = State()
    for at in range(SECONDS + 1):
        arms = Arms(counters(traffic, "canary", 0, at), counters(traffic, "control", 0, at))
        state, _ = look(held_to, state, Observation(float(at), {"": arms}))
        if at:
            assert difference.log_evidence(state.difference) == pytest.approx(math.log(differences[at - 1]), abs=1e-3)
            assert log_evidence(plans.RATIO, state.ratio) == pytest.approx(math.log(ratios[at - 1]), abs=1e-3)


def test_seconds_that_are_left_out_are_left_out() -> None:
    """A warm-up of the comparison is the same as seconds that the benchmark leaves out."""
    traffic = DRAWN["0.5 to 2 %"](np.random.default_rng(9), 1, SECONDS)
    unseen = np.broadcast_to(np.arange(SECONDS) < 31, (1, SECONDS))
    wanted = ours.evidence(replace(traffic, unseen=unseen), Settings())[0]
    state = State()
    for at in range(SECONDS + 1):
        arms = Arms(counters(traffic, "canary", 0, at), counters(traffic, "control", 0, at))
        state, found = look(Settings(), state, Observation(float(at), {"": arms}))
        if at:
            assert math.log(found.evidence) == pytest.approx(math.log(wanted[at - 1]), abs=1e-3), at


def test_bursts_are_whole() -> None:
    drawn = bursts(np.random.default_rng(1), 50, 400, 1.0, 5)
    assert drawn.min() >= 0
    assert drawn.sum() / (50 * 400) == pytest.approx(1.0, abs=0.05)
