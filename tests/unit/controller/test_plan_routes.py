"""Header routes, mirror routes, affinity and the like: what sidecars are told at which step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulation import World

from coalmine.model import wire
from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import DEFAULTS, parse_settings
from coalmine.model.reasons import Reason
from coalmine.model.rollout import Condition, Phase
from coalmine.model.strategy import parse_strategy
from coalmine.model.weights import Weight
from coalmine_controller.observed import Run
from coalmine_controller.plan import plan

HEADER = """
trafficRouting: {managedRoutes: [{name: insiders}, {name: reads}]}
steps:
- setHeaderRoute: {name: insiders, match: [{headerName: X-Group, headerValue: {exact: insiders}}]}
- pause: {duration: 30s}
- setWeight: 20
- setMirrorRoute: {name: reads, percentage: 50, match: [{method: {exact: GET}}]}
- pause: {duration: 30s}
- setMirrorRoute: {name: reads}
- pause: {duration: 30s}
scaleDownDelaySeconds: 5
abortScaleDownDelaySeconds: 5
"""
INSIDERS = wire.HeaderRoute("insiders", (("x-group", wire.Match(wire.EXACT, "insiders")),))
READS = wire.MirrorRoute("reads", Weight(5000), wire.Match(wire.EXACT, "GET"))


def canary(world: World) -> list[str]:
    return [
        p.uid
        for p in world.pods.values()
        if world.sets[p.replica_set].hidden and not p.terminating and world.sets[p.replica_set].template == "v2"
    ]


def routings(world: World) -> set[tuple[tuple[wire.HeaderRoute, ...], tuple[wire.MirrorRoute, ...]]]:
    """What the sidecars that are left hold."""
    held = [p.routing for p in world.pods.values() if not p.terminating and p.routing is not None]
    return {(routing.routes, routing.mirrors) for routing in held}


def to_step(world: World, step: int) -> None:
    for _ in range(400):
        world.settle(1)
        if world.status.step == step:
            return
    raise AssertionError(f"never reached step {step}: {world.status}")


def started(**fields: object) -> World:
    world = World.started(strategy=parse_strategy(HEADER), **fields)
    assert world.set_template("v2")
    return world


def test_a_header_route_at_weight_0_brings_one_pod_and_no_weight() -> None:
    world = started()
    world.look()
    world.look()
    assert [len(canary(world)), world.status.weight] == [1, Weight.ZERO]
    assert routings(world) <= {((), ())}, "no route leads to a pod that is not there"
    assert world.status.reason == Reason.WAITING_FOR_CANARY
    assert "0 of 1 available" in world.status.message
    to_step(world, 1)
    assert routings(world) == {((INSIDERS,), ())}
    assert world.status.routes == ("insiders",)
    assert (world.status.weight, world.status.actual_weight) == (Weight.ZERO, Weight.ZERO)
    shares = [{arm.name: arm.share for arm in p.routing.arms} for p in world.pods.values() if p.routing is not None]
    assert all(s["stable"] == Weight.FULL for s in shares)


def test_routes_come_and_go_with_the_steps_and_all_end_with_the_promotion() -> None:
    world = started()
    told = []
    for step in (1, 4, 6):
        to_step(world, step)
        told.append((routings(world), world.status.routes, len(canary(world))))
    assert told == [
        ({((INSIDERS,), ())}, ("insiders",), 1),
        # half of the requests are copied: as many pods as half of them need
        ({((INSIDERS,), (READS,))}, ("insiders", "reads"), 3),
        ({((INSIDERS,), ())}, ("insiders",), 1),
    ]
    world.settle(200)
    assert world.status.phase is Phase.HEALTHY
    assert world.stable == "v2"
    assert (world.status.routes, routings(world) <= {((), ())}) == ((), True)


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("end", ["abort", "full", "back", "analysis", "v3"])
def test_whatever_ends_the_canary_takes_its_routes_away(step: int, end: str) -> None:
    text = HEADER + "analysis: {templates: [{templateName: t}]}" if end == "analysis" else HEADER
    world = World.started(strategy=parse_strategy(text))
    world.set_template("v2")
    to_step(world, step)
    if end in ("abort", "full"):
        world.wish(**{end: True})
    elif end == "analysis":
        assert world.run is not None
        world.run = Run(world.run.name, "Failed", "it is bad", False)
    else:
        world.set_template({"back": "v1", "v3": "v3"}[end])
    world.look()
    assert routings(world) == {((), ())}, "at once"
    assert world.status.routes == ()


def test_pods_of_a_route_stay_until_every_sidecar_has_let_go_of_it() -> None:
    world = started()
    to_step(world, 4)
    assert len(canary(world)) == 3
    stubborn = next(p for p in world.pods.values() if p.uid in world.stable_pods())
    stubborn.unreachable = True
    world.settle(100)
    assert stubborn.routing is not None
    assert stubborn.routing.mirrors == (READS,)
    assert (world.status.step, len(canary(world))) == (5, 3)
    stubborn.unreachable = False
    world.settle(5)
    assert (world.status.step, len(canary(world))) == (6, 1)


def test_copies_are_not_sent_to_fewer_pods_than_they_need() -> None:
    world = started()
    to_step(world, 4)
    # a fifth and half of the rest are three of five; two pods carry them, at 1.5 equal parts each, one does not
    for uid, told in zip(canary(world)[:2], ((READS,), ()), strict=True):
        world.pods[uid].healthy = False
        world.look()
        assert routings(world) == {((INSIDERS,), told)}
    assert world.status.routes == ("insiders",)
    world.heal()
    world.look()
    assert routings(world) == {((INSIDERS,), (READS,))}


COPIES = """
trafficRouting: {managedRoutes: [{name: reads}]}
steps:
- setMirrorRoute: {name: reads, percentage: PERCENT, match: [{}]}
- pause: {}
analysis: {templates: [{templateName: t}]}
"""


def copying(replicas: int, percent: int) -> World:
    world = World.started(replicas=replicas, strategy=parse_strategy(COPIES.replace("PERCENT", str(percent))))
    world.set_template("v2")
    return world


def test_a_route_that_nobody_is_told_is_not_reached() -> None:
    world = copying(4, 50)
    for _ in range(3):
        world.look()
    assert len(canary(world)) == 2
    world.pods[canary(world)[0]].healthy = True  # half of the requests are too much for one pod of four
    for _ in range(3):
        world.look()
    assert routings(world) == {((), ())}
    assert (world.status.routes, world.status.step, world.status.analysis_run) == ((), 0, "")
    assert world.status.reason == Reason.WAITING_FOR_CANARY
    world.settle(5)
    assert {len(mirrors) for _, mirrors in routings(world)} == {1}
    assert (world.status.routes, world.status.step) == (("reads",), 1)
    assert world.status.analysis_run


@pytest.mark.parametrize(("lost", "routes"), [(1, ("reads",)), (6, ("reads",)), (7, ())])
def test_a_small_loss_of_canary_pods_does_not_end_the_copies(lost: int, routes: tuple[str, ...]) -> None:
    world = copying(20, 100)
    world.settle(20)
    assert len(canary(world)) == 20
    for uid in canary(world)[:lost]:
        world.pods[uid].healthy = False
    world.look()
    assert world.status.routes == routes
    assert {len(mirrors) for _, mirrors in routings(world)} == {len(routes)}


LAST = """
trafficRouting: {managedRoutes: [{name: insiders}]}
steps:
- setWeight: 10
- setHeaderRoute: {name: insiders, match: [{headerName: X-Group, headerValue: {exact: insiders}}]}
"""


def test_routes_stay_from_the_last_step_until_100_percent() -> None:
    world = World.started(strategy=parse_strategy(LAST))
    world.set_template("v2")
    while world.status.step < 2 or world.status.canary is None:
        world.heal()
        world.look()
    world.broken.add("v2")  # the others come up, but not yet
    world.settle(60)
    assert (world.status.step, world.status.actual_weight, len(canary(world))) == (2, Weight(1000), 5)
    assert routings(world) == {((INSIDERS,), ())}
    assert world.status.routes == ("insiders",)
    world.broken.clear()
    for _ in range(50):
        world.settle(1)
        told = {
            (p.routing.routes, p.routing.arms[-1].share) for p in world.pods.values() if p.routing and p.routing.arms
        }
        assert told <= {((INSIDERS,), Weight(1000)), ((), Weight.FULL)}, "routes end with the grant of 100 %"
    assert (world.stable, world.status.routes) == ("v2", ())


def test_a_strategy_that_became_invalid_has_no_routes_in_its_status() -> None:
    world = started()
    to_step(world, 1)
    observed = world.observe(live=True)
    bad = replace(observed.deployment, strategy=SpecError("steps", "are bad", "write better ones"))
    decision = plan(replace(observed, deployment=bad), world.now)
    assert decision.status.routes == ()
    assert not any(r.routes or r.mirrors for r in decision.routes.values())


def test_a_hash_that_is_no_version_is_left_out_of_the_arms() -> None:
    world = started()
    to_step(world, 4)
    observed = world.observe(live=True)
    sets = tuple(replace(r, hash="v1.2") if r.hidden else r for r in observed.replica_sets)
    decision = plan(replace(observed, replica_sets=sets), world.now)
    versions = {arm.name: arm.version for r in decision.routes.values() for arm in r.arms}
    assert versions == {"stable": "hv1", "control": "hv1", "canary": ""}


def test_it_is_derived_from_the_step_whoever_looks() -> None:
    world = started()
    to_step(world, 4)
    before = routings(world)
    world.restart_controller()
    for pod in world.pods.values():
        pod.routing = None
    world.settle(5)
    assert routings(world) == before
    assert world.status.step == 4


def condition(world: World) -> Condition:
    return next(c for c in world.status.conditions if c.type == "TrafficSynced")


def test_a_sidecar_that_is_too_old_is_named_and_nothing_waits_for_it() -> None:
    world = started(schema=1)
    to_step(world, 1)
    told = condition(world)
    assert (told.status, told.reason) == (False, Reason.SIDECAR_OUTDATED)
    pod = min(p.name for p in world.pods.values() if p.uid in world.stable_pods())
    assert f"the sidecar of {pod} is older than the controller and does not know header routes" in told.message
    assert "delete the pod" in told.message
    warnings = [e for e in world.events if e.reason is Reason.SIDECAR_OUTDATED]
    assert [e.warning for e in warnings] == [True]
    assert warnings[0].message == told.message
    world.settle(300)
    assert (world.status.phase, world.stable) == (Phase.HEALTHY, "v2")


def test_an_old_sidecar_is_no_trouble_where_nothing_new_is_asked_of_it() -> None:
    world = World.started(schema=1, settings=parse_settings("balance: leastRequest"))
    world.set_template("v2")
    to_step(world, 1)
    assert condition(world).status
    assert not [e for e in world.events if e.warning]


def test_settings_that_are_pushed_hold_at_once() -> None:
    world = started(settings=parse_settings("{affinity: {cookie: who, maxAge: 1h}, pin: false, ejection: off}"))
    to_step(world, 1)
    held = {p.routing for p in world.pods.values()}
    assert {(r.affinity, r.pin, r.ejection, r.balance) for r in held if r} == {
        (wire.Affinity("who", 3600), False, None, wire.RANDOM)
    }
    assert {arm.name: arm.version for r in held if r for arm in r.arms} == {
        "stable": "hv1",
        "control": "hv1",
        "canary": "hv2",
    }
    world.settings = replace(DEFAULTS, balance=wire.LEAST_REQUEST)
    world.look()
    held = {p.routing for p in world.pods.values()}
    assert {(r.affinity, r.pin, r.ejection, r.balance) for r in held if r} == {
        (None, True, wire.Ejection(), wire.LEAST_REQUEST)
    }
