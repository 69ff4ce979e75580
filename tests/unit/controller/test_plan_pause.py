"""A pause by a person: nothing moves, nothing runs out, and everything else that a person may ask works on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulation import World

from coalmine.model.reasons import Reason
from coalmine.model.rollout import Phase, Promotion, Wish
from coalmine.model.weights import Weight
from coalmine_controller.observed import Run


def rollout_to(world: World, template: str, weight: float) -> None:
    """Bring `template` up until all sidecars have acknowledged `weight`, its pause not over."""
    world.set_template(template)
    for _ in range(200):
        world.settle(1)
        if world.status.actual_weight == Weight(int(weight * 100)):
            return
    raise AssertionError(f"{weight} % was never reached")


def paused_at(weight: float) -> World:
    world = World.started()
    rollout_to(world, "v2", weight)
    world.wish(paused=True)
    world.settle(5)
    return world


def promote(world: World) -> None:
    """What `coalmine promote` writes: it goes on, and takes the pause back."""
    canary = world.status.canary
    assert canary is not None
    wish = Wish(canary.fingerprint, world.status.attempt)
    world.wishes = replace(world.wishes, paused=None, promote=Promotion(wish, world.status.step, False))


@pytest.mark.parametrize("weight", [20, 50])
def test_it_stands_for_longer_than_the_step_and_the_deadline(weight: float) -> None:
    world = paused_at(weight)
    step = world.status.step
    world.settle(2000)  # the step pauses for seconds, the progress deadline is 600
    assert world.status.phase is Phase.PAUSED
    assert world.status.reason == Reason.PAUSED
    assert world.status.message.endswith("by a person")
    assert (world.status.step, world.status.weight) == (step, Weight(int(weight * 100)))
    assert (world.stable, world.failed) == ("v1", None)


@pytest.mark.parametrize("weight", [20, 50])
def test_promote_goes_on(weight: float) -> None:
    world = paused_at(weight)
    world.settle(100)
    before = world.status.step
    promote(world)
    world.settle(1)
    assert world.status.step > before
    world.settle(300)
    assert world.stable == "v2"


def test_at_full_weight_it_keeps_the_handover_from_beginning() -> None:
    world = paused_at(100)
    world.settle(500)
    assert world.status.phase is Phase.PAUSED
    assert (world.handover, world.hold, world.status.weight) == (None, "v2", Weight.FULL)
    promote(world)
    world.settle(200)
    assert world.stable == "v2"


def test_before_any_weight_it_keeps_the_canary_at_none() -> None:
    world = World.started()
    world.set_template("v2")
    world.look()
    world.wish(paused=True)
    world.settle(300)
    assert (world.status.phase, world.status.actual_weight) == (Phase.PAUSED, Weight.ZERO)


def test_pods_that_are_missing_run_into_no_deadline() -> None:
    world = World.started()
    world.broken.add("v2")
    world.set_template("v2")
    world.settle(10)
    world.wish(paused=True)
    world.settle(2000)
    assert world.status.phase is Phase.PAUSED
    assert world.failed is None


def test_abort_takes_it_back() -> None:
    world = paused_at(20)
    world.wish(abort=True)
    world.settle(100)
    assert (world.status.phase, world.failed, world.stable) == (Phase.DEGRADED, "v2", "v1")


def test_a_failed_analysis_takes_it_back() -> None:
    world = paused_at(20)
    canary = world.status.canary
    assert canary is not None
    world.rollout = replace(world.status, analysis_run="run")
    world.run = Run("run", "Failed", "metric x failed", terminated=False)
    world.settle(100)
    assert (world.status.phase, world.failed) == (Phase.DEGRADED, "v2")


def test_another_template_is_not_paused() -> None:
    world = paused_at(20)
    world.set_template("v3")
    world.settle(400)
    assert world.stable == "v3"


def test_going_back_to_stable_is_not_kept_waiting() -> None:
    world = paused_at(50)
    world.set_template("v1")
    world.settle(100)
    assert (world.status.phase, world.hold, world.stable) == (Phase.HEALTHY, None, "v1")


def test_a_full_promotion_needs_the_pause_taken_back() -> None:
    """`promote --full` writes both; the wish alone does not overrule whoever paused."""
    world = paused_at(20)
    world.wish(full=True)
    world.settle(200)
    assert (world.status.phase, world.stable) == (Phase.PAUSED, "v1")
    world.wishes = replace(world.wishes, paused=None)
    world.settle(200)
    assert world.stable == "v2"
