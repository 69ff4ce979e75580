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


def waiters_see(world: World) -> tuple[bool, bool]:
    """Whether the conditions Reconciling and Stalled hold (kstatus)."""
    on = {c.type: c.status for c in world.status.conditions}
    return on["Reconciling"], on["Stalled"]


def test_the_conditions_say_the_phase_to_whoever_knows_kstatus_only() -> None:
    world = World.started()
    assert waiters_see(world) == (False, False)
    rollout_to(world, "v2", 20)
    assert waiters_see(world) == (True, False)
    began = next(c.since for c in world.status.conditions if c.type == "Reconciling")
    world.wish(paused=True)
    world.settle(5)
    assert world.status.phase is Phase.PAUSED
    assert waiters_see(world) == (True, False)
    assert next(c.since for c in world.status.conditions if c.type == "Reconciling") == began, "it never ceased"
    world.wish(abort=True)
    world.settle(5)
    stalled, reconciling = (
        next(c for c in world.status.conditions if c.type == kind) for kind in ("Stalled", "Reconciling")
    )
    assert (reconciling.reason, reconciling.message) == ("Degraded", ""), "what is false has nothing to explain"
    assert waiters_see(world) == (False, True)
    assert (stalled.reason, stalled.message) == (world.status.reason, world.status.message)


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
    while world.status.attempt == attempt:
        decision = world.look()
    assert decision.status.workload_generation > 0, "who reads an attempt's first status need not wait"
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


# --- what a review of a first version found ------------------------------------------------------


def test_other_steps_start_again_rather_than_being_indexed_anew() -> None:
    world = World.started(strategy=parse_strategy("steps: [setWeight: 1, pause: {}, setWeight: 5, pause: {}]"))
    rollout_to(world, "v2", 1)
    world.wish(promote=True)
    world.settle(5)
    assert world.status.actual_weight == Weight(500)
    world.strategy = parse_strategy("steps: [setWeight: 1, pause: {}]")
    world.look()
    assert world.status.weight == Weight.ZERO
    world.settle(5)
    assert world.status.actual_weight == Weight(100)
    assert world.stable == "v1"


def test_an_abort_does_not_take_the_last_pods_that_serve() -> None:
    world = World.started()
    rollout_to(world, "v2", 50)
    world.broken = {"v1"}
    for pod in world.pods.values():
        if world.sets[pod.replica_set].template == "v1":
            pod.healthy = False
    world.wish(abort=True)
    world.settle(120, healing=False)
    assert any(p.ready for p in world.pods.values()), "the canary serves on while stable is away"
    world.broken = set()
    world.settle(60)
    assert {world.sets[p.replica_set].template for p in world.pods.values()} == {"v1"}


def test_an_idle_stable_pod_that_was_taken_for_a_canarys_is_configured() -> None:
    world = World.started()
    world.lookup_fails = True
    world.delete_pod(0)
    world.settle(10)
    assert world.status.phase is Phase.HEALTHY
    assert all(p.ready for p in world.pods.values())
    assert world.look().routes == {}


def test_lost_canary_pods_hand_their_share_back_to_stable() -> None:
    world = World.started(replicas=10)
    rollout_to(world, "v2", 50)
    canary = [p for p in world.pods.values() if world.sets[p.replica_set].hidden]
    for pod in canary[1:]:
        pod.healthy = False
    decision = world.look()
    shares = {arm.name: arm.share for arm in next(iter(decision.routes.values())).arms}
    assert shares["canary"] == Weight(1500), "one pod carries at most one and a half parts of ten"
    world.look()
    assert world.status.weight == Weight(5000)
    assert world.status.reason == Reason.REDUCED
    world.heal()
    world.settle(2)
    assert world.status.actual_weight == Weight(5000)


LONG_DELAY = "steps: [setWeight: 20, pause: {duration: 1}]\nscaleDownDelaySeconds: 120"


def test_the_deadline_does_not_run_while_nothing_is_waited_for() -> None:
    world = World.started(deadline=60.0, strategy=parse_strategy(LONG_DELAY))
    rollout_to(world, "v2", 100)
    world.settle(200)
    assert world.stable == "v2", "the delay before the handover is no lack of progress"


def test_the_deadline_starts_anew_after_a_night_at_zero() -> None:
    world = World.started(deadline=60.0)
    rollout_to(world, "v2", 20)
    world.scale(0)
    world.settle(5)
    world.now += 40_000
    world.scale(5)
    world.settle(300)
    assert world.stable == "v2"


def test_time_in_which_no_controller_looked_does_not_count() -> None:
    world = World.started(deadline=60.0)
    world.set_template("v2")
    world.look()
    world.now += 700
    world.restart_controller()
    world.look()
    assert world.status.phase is not Phase.DEGRADED
    world.settle(300)
    assert world.stable == "v2"


def test_without_the_abort_an_overdue_rollout_is_degraded_and_goes_on() -> None:
    world = World.started(
        deadline=60.0, broken={"v2"}, strategy=parse_strategy("steps: [setWeight: 20]\nprogressDeadlineAbort: false")
    )
    world.set_template("v2")
    world.settle(100)
    assert world.status.phase is Phase.DEGRADED
    assert world.failed is None
    world.broken = set()
    world.settle(100)
    assert world.stable == "v2"


def test_a_sidecar_that_could_not_be_reached_learns_of_the_abort_later() -> None:
    world = World.started()
    rollout_to(world, "v2", 20)
    cut_off = next(p for p in world.pods.values() if world.sets[p.replica_set].template == "v1")
    cut_off.unreachable, cut_off.healthy = True, False
    world.wish(abort=True)
    for _ in range(20):
        world.look()
        world.now += 5
    assert world.status.actual_weight == Weight.ZERO
    assert world.status.routed, "somebody still holds the old arms"
    cut_off.unreachable = False
    world.settle(5)
    assert cut_off.routing is not None
    assert not cut_off.routing.arms
    assert not world.status.routed


def test_a_heal_that_never_ends_leaves_the_way_back_to_the_native_controller() -> None:
    world = World.started(deadline=60.0)
    world.dies_after = do.Relabel
    world.set_template("v2")
    while world.dies_after is not None:
        world.heal()
        world.now += 1
        world.look()
    world.broken = {"v2"}
    for pod in world.pods.values():
        if world.sets[pod.replica_set].template == "v2":
            pod.healthy = False
    world.settle(200, healing=False)
    assert world.handover is None
    assert world.stable is None
    assert world.set_template("v1")
    world.settle(60)
    assert world.hold is None
    assert {s.template for s in world.sets.values() if s.replicas} == {"v1"}


def test_canary_pods_without_a_sidecar_are_no_storm_and_get_no_step() -> None:
    world = World.started()
    world.webhook_down = True
    world.set_template("v2")
    made = 0
    for _ in range(40):
        decision = world.look()
        made += sum(isinstance(a, do.DeletePod) for a in decision.actions)
        world.heal()
        world.now += 0.5
    assert 1 <= made <= 3, "once in ten seconds"
    assert world.status.reason == Reason.BARE_CANARY
    assert world.status.weight == Weight.ZERO
    world.webhook_down = False
    world.settle(300)
    assert world.stable == "v2"


def test_stable_pods_are_evicted_only_when_injection_works_again() -> None:
    world = World.started()
    world.webhook_down = True
    world.delete_pod(0)
    world.settle(60)
    world.set_template("v2")
    for _ in range(40):
        assert not any(isinstance(a, do.EvictPod) for a in world.look().actions)
        world.heal()
        world.now += 1
    world.webhook_down = False
    world.settle(400)
    assert world.stable == "v2"


def test_a_superseded_analysis_is_stopped() -> None:
    strategy = "steps: [setWeight: 20, pause: {duration: 60}]\nanalysis: {templates: [{templateName: t}]}"
    world = World.started(strategy=parse_strategy(strategy))
    rollout_to(world, "v2", 20)
    world.settle(2)
    assert world.run is not None
    assert not world.run.terminated
    world.set_template("v3")
    decision = world.look()
    assert [a.run for a in decision.actions if isinstance(a, do.StopAnalysis)] == [world.run.name]


def test_a_template_that_is_deleted_while_its_run_runs_stops_nothing() -> None:
    strategy = "steps: [setWeight: 20, pause: {duration: 5}]\nanalysis: {templates: [{templateName: t}]}"
    world = World.started(strategy=parse_strategy(strategy))
    rollout_to(world, "v2", 20)
    world.settle(2)
    world.analysis_problem = "there is no AnalysisTemplate t"
    world.settle(100)
    assert world.stable == "v2"


def test_a_missing_template_is_named_before_any_request_is_sent() -> None:
    strategy = "steps: [setWeight: 20, pause: {duration: 5}]\nanalysis: {templates: [{templateName: t}]}"
    world = World.started(strategy=parse_strategy(strategy), deadline=60.0)
    world.analysis_problem = "there is no AnalysisTemplate t"
    world.set_template("v2")
    world.settle(300)
    assert world.status.message == "there is no AnalysisTemplate t"
    assert world.status.weight == Weight.ZERO
    world.analysis_problem = ""
    world.settle(100)
    assert world.stable == "v2"


def test_another_run_watches_after_a_person_passed_an_inconclusive_one() -> None:
    strategy = "steps: [setWeight: 20, pause: {}, setWeight: 50, pause: {}]\nanalysis: {templates: [{templateName: t}]}"
    world = World.started(strategy=parse_strategy(strategy))
    rollout_to(world, "v2", 20)
    world.settle(2)
    assert world.run is not None
    first = world.run = Run(world.run.name, "Inconclusive", "", False)
    world.wish(promote=True)
    world.settle(5)
    assert world.run.name != first.name
    world.run = Run(world.run.name, "Failed", "bad", False)
    world.settle(5)
    assert world.status.phase is Phase.DEGRADED


def test_scaled_from_zero_the_native_controller_takes_stable() -> None:
    """v1, v2, back to v1, v3 held, to 0 and up: the newest ReplicaSet is v2's, which was rolled back."""
    world = World.started()
    for template in ("v2", "v1"):
        world.set_template(template)
        world.settle(300)
    rollout_to(world, "v3", 20)
    world.scale(0)
    world.settle(20)
    world.scale(5)
    world.settle(400)
    assert world.stable == "v3"
    assert all(not s.hidden for s in world.sets.values()), "nothing stays hidden"


def test_a_failed_analysis_stops_a_handover_that_has_only_begun() -> None:
    strategy = "steps: [setWeight: 20]\nscaleDownDelaySeconds: 1\nanalysis: {templates: [{templateName: t}]}"
    world = World.started(strategy=parse_strategy(strategy))
    world.set_template("v2")
    world.dies_after = do.BeginHandover
    while world.dies_after is not None:
        world.heal()
        world.now += 1
        world.look()
    assert world.run is not None
    world.run = Run(world.run.name, "Failed", "bad", False)
    world.settle(60)
    assert world.status.phase is Phase.DEGRADED
    assert world.stable == "v1"
