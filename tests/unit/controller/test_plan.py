"""What the controller decides, told as stories on the model of the world."""

from __future__ import annotations

import pytest
from simulation import World

from coalmine.model.reasons import Reason
from coalmine.model.rollout import Phase
from coalmine.model.strategy import parse_strategy
from coalmine.model.weights import Weight
from coalmine_controller import actions as do
from coalmine_controller.observed import Run


def rollout_to(world: World, template: str, weight: int) -> None:
    assert world.set_template(template)
    for _ in range(400):
        world.settle(1)
        if world.status.actual_weight == Weight(weight * 100) and world.status.canary is not None:
            return
    raise AssertionError(f"never reached {weight} %: {world.status}")


def test_first_revision_is_recorded_as_stable() -> None:
    world = World.started()
    assert world.stable == "v1"
    assert world.status.phase is Phase.HEALTHY
    assert all(pod.routing is None for pod in world.pods.values()), "an idle rollout costs no calls"


def test_a_good_release_is_promoted_and_stable_never_shrinks() -> None:
    world = World.started()
    before = world.stable_pods()
    rollout_to(world, "v2", 20)
    assert world.status.phase is Phase.PAUSED
    assert world.status.step_text == "1/4"
    assert world.stable_pods() == before
    rollout_to(world, "v2", 50)
    canary = {p.uid for p in world.pods.values() if world.sets[p.replica_set].hidden}
    assert len(canary) == 3
    world.settle(200)
    assert world.status.phase is Phase.HEALTHY
    assert world.stable == "v2"
    assert (world.hold, world.handover, world.paused) == (None, None, False)
    assert canary <= world.stable_pods(), "the canary's pods are the Deployment's own now"
    assert len(world.stable_pods()) == 5
    assert [e.reason for e in world.events if e.reason is Reason.COMPLETED]
    assert not world.status.routed


@pytest.mark.parametrize("weight", [20, 50])
def test_an_abort_takes_everything_back(weight: int) -> None:
    world = World.started()
    before = world.stable_pods()
    rollout_to(world, "v2", weight)
    world.wish(abort=True)
    world.look()
    assert world.failed == "v2"
    assert world.status.phase is Phase.DEGRADED
    assert not any(
        arm.name == "canary" and arm.share.hundredths
        for pod in world.pods.values()
        for arm in (pod.routing.arms if pod.routing else ())
    )
    world.settle(100)
    assert world.reported == "v2"
    assert world.stable_pods() == before
    assert all(world.sets[p.replica_set].owned for p in world.pods.values()), "the canary's pods are gone"
    assert world.status.phase is Phase.DEGRADED


def test_a_failed_analysis_aborts_with_its_message() -> None:
    world = World.started(
        strategy=parse_strategy(
            "steps: [setWeight: 20, pause: {duration: 60}]\nanalysis: {templates: [{templateName: t}]}"
        )
    )
    rollout_to(world, "v2", 20)
    world.settle(2)
    assert world.run is not None
    world.run = Run(world.run.name, "Failed", "metric webcheck failed", False)
    world.settle(2)
    assert world.status.phase is Phase.DEGRADED
    assert "metric webcheck failed" in world.status.message
    assert world.failed == "v2"


def test_an_inconclusive_analysis_waits_for_a_person() -> None:
    world = World.started(
        strategy=parse_strategy(
            "steps: [setWeight: 20, pause: {duration: 5}]\nanalysis: {templates: [{templateName: t}]}"
        )
    )
    rollout_to(world, "v2", 20)
    world.settle(1)
    assert world.run is not None
    world.run = Run(world.run.name, "Inconclusive", "", False)
    world.settle(60)
    assert world.status.phase is Phase.PAUSED
    assert world.status.reason == Reason.ANALYSIS_INCONCLUSIVE
    world.wish(promote=True)
    world.settle(100)
    assert world.stable == "v2"


def test_retry_starts_again_at_the_first_step_and_only_once() -> None:
    world = World.started()
    rollout_to(world, "v2", 20)
    world.wish(abort=True)
    world.settle(100)
    world.wish(retry=True)
    attempt = world.status.attempt
    world.settle(2)
    assert world.failed is None
    assert world.reported is None
    assert world.status.attempt == attempt + 1
    rollout_to(world, "v2", 20)
    world.wish(abort=True)
    world.settle(200)
    assert world.status.phase is Phase.DEGRADED, "the old wish for a retry is stale"
    assert world.status.attempt == attempt + 1


def test_deleting_the_rollout_object_is_no_retry() -> None:
    world = World.started()
    rollout_to(world, "v2", 20)
    world.wish(abort=True)
    world.settle(100)
    world.rollout = None
    world.settle(100)
    assert world.status.phase is Phase.DEGRADED
    assert world.failed == "v2"
    assert world.hold == "v2"


def test_going_back_mid_rollout_touches_no_stable_pod() -> None:
    world = World.started()
    before = world.stable_pods()
    rollout_to(world, "v2", 50)
    world.set_template("v1")
    world.settle(100)
    assert world.stable_pods() == before
    assert world.status.phase is Phase.HEALTHY
    assert next(iter(world.sets.values())).replicas == 5
    assert len(world.pods) == 5


def test_a_newer_template_mid_rollout_starts_again() -> None:
    world = World.started()
    rollout_to(world, "v2", 50)
    world.set_template("v3")
    world.look()
    assert world.status.weight == Weight.ZERO
    assert world.status.step == 0
    world.settle(300)
    assert world.stable == "v3"
    assert {s.template for s in world.sets.values() if s.replicas} == {"v3"}


def test_back_to_an_old_revision_uses_its_replica_set() -> None:
    world = World.started()
    world.set_template("v2")
    world.settle(300)
    first = next(s.name for s in world.sets.values() if s.template == "v1")
    world.set_template("v1")
    world.settle(300)
    assert world.stable == "v1"
    again = [s for s in world.sets.values() if s.template == "v1"]
    assert [s.name for s in again] == [first]
    assert again[0].revision == 3
    assert len(world.stable_pods()) == 5


def test_an_aborted_old_revision_is_given_back_when_it_is_swept() -> None:
    world = World.started()
    world.set_template("v2")
    world.settle(300)
    rollout_to(world, "v1", 20)
    world.wish(abort=True)
    world.settle(60)
    world.set_template("v2")
    world.settle(60)
    old = next(s for s in world.sets.values() if s.template == "v1")
    assert not old.hidden
    assert old.owned
    assert world.status.phase is Phase.HEALTHY


def test_a_canary_that_never_becomes_ready_is_aborted_by_the_deadline() -> None:
    world = World.started(broken={"v2"}, deadline=60.0)
    world.set_template("v2")
    world.settle(30)
    assert world.status.reason == Reason.WAITING_FOR_CANARY
    assert world.status.weight == Weight.ZERO
    world.settle(60)
    assert world.status.phase is Phase.DEGRADED
    assert world.status.abort_reason == Reason.DEADLINE_EXCEEDED


def test_a_crash_loop_does_not_reset_the_deadline() -> None:
    world = World.started(deadline=60.0)
    world.broken = {"v2"}
    world.set_template("v2")
    for _ in range(20):  # ready for a moment, again and again
        for pod in world.pods.values():
            if world.sets[pod.replica_set].hidden:
                pod.healthy = True
        world.look(deaf=True)
        for pod in world.pods.values():
            if world.sets[pod.replica_set].hidden:
                pod.healthy = False
        world.now += 5
        world.look(deaf=True)
    assert world.status.phase is Phase.DEGRADED


def test_weight_waits_for_every_sidecar() -> None:
    world = World.started()
    world.set_template("v2")
    world.settle(5)
    assert world.status.weight == Weight(2000)
    world.restart_controller()
    world.now += 100
    world.look(deaf=True)
    world.look(deaf=True)
    assert world.status.weight == Weight(2000), "nobody has acknowledged to this controller"
    assert not next(c for c in world.status.conditions if c.type == "TrafficSynced").status
    world.look()
    world.look()
    assert world.status.step > 1


def test_paused_by_a_person_stands_still() -> None:
    world = World.started()
    rollout_to(world, "v2", 20)
    world.wish(paused=True)
    world.settle(500)
    assert world.status.phase is Phase.PAUSED
    assert world.status.weight == Weight(2000)


def test_full_promotion_skips_the_steps() -> None:
    world = World.started()
    rollout_to(world, "v2", 20)
    world.wish(full=True)
    world.settle(20)
    assert world.stable == "v2"


@pytest.mark.parametrize("replicas", [1, 2, 3, 7, 10, 0])
@pytest.mark.parametrize("at", [0, 20, 50, 100])
def test_replicas_may_change_at_any_weight(replicas: int, at: int) -> None:
    world = World.started()
    if at == 0:
        world.set_template("v2")
        world.look()
    else:
        rollout_to(world, "v2", at)
    world.scale(replicas)
    world.settle(300)
    if replicas == 0:
        assert world.hold == "v2"
        assert world.status.reason == Reason.SCALED_TO_ZERO
        world.scale(3)
        world.settle(400)
    assert world.stable == "v2"
    assert len(world.stable_pods()) == (replicas or 3)


GUARDED = [do.CreateCanary, do.BeginHandover, do.Relabel, do.Release, do.ScaleCanary, do.MarkFailed, do.ReportFailure]


@pytest.mark.parametrize("action", GUARDED)
def test_a_controller_that_dies_is_followed_by_one_that_goes_on(action: type) -> None:
    world = World.started()
    world.dies_after = action
    aborting = action in (do.MarkFailed, do.ReportFailure)
    rollout_to(world, "v2", 20)
    if aborting:
        world.wish(abort=True)
    world.settle(300)
    assert world.dies_after is None, "it died on the way"
    assert world.stable == ("v1" if aborting else "v2")
    assert (world.failed == "v2") is aborting
    assert len(world.stable_pods()) == 5


def test_replicas_that_change_during_the_handover_are_healed_natively() -> None:
    world = World.started()
    world.dies_after = do.Relabel
    world.set_template("v2")
    while world.dies_after is not None:
        world.heal()
        world.now += 1
        world.look()
    assert world.handover == "v2"
    world.replicas = 7  # through the scale subresource, which no webhook sees
    world.generation += 1
    world.look()
    assert world.hold is None, "released at once"
    assert world.handover == "v2", "no template change comes in between"
    assert not world.set_template("v3")
    world.settle(100)
    assert world.handover is None
    assert world.stable == "v2"
    assert len(world.stable_pods()) == 7
