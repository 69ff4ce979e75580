"""Whatever happens in whatever order: traffic only goes to pods that can take it, an aborted template is
never released, two owned ReplicaSets never fight, and the world comes to rest when events stop."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import STEPS, World

from coalmine.model.rollout import Phase
from coalmine.model.strategy import parse_strategy
from coalmine_controller import actions as do
from coalmine_controller.observed import Run

EVENTS = st.one_of(
    st.tuples(st.just("template"), st.sampled_from(["v1", "v2", "v3"])),
    st.tuples(st.just("scale"), st.sampled_from([0, 1, 2, 3, 5, 8])),
    st.tuples(st.just("wish"), st.sampled_from(["abort", "retry", "promote", "full"])),
    st.tuples(st.just("break"), st.integers(0, 20)),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(st.just("heal"), st.none()),
    st.tuples(st.just("tick"), st.sampled_from([0.5, 5.0, 40.0])),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(
        st.just("die"), st.sampled_from([do.CreateCanary, do.BeginHandover, do.Relabel, do.Release, do.MarkFailed])
    ),
    st.tuples(st.just("analysis"), st.sampled_from(["Failed", "Error", "Inconclusive", "Successful"])),
    st.tuples(st.just("settle"), st.sampled_from([0.0, 10.0, 60.0])),
)


def happen(world: World, name: str, value: object) -> None:
    match name:
        case "template":
            world.set_template(str(value))
        case "scale":
            world.scale(int(str(value)))
        case "wish":
            world.wish(**{str(value): True})
        case "break":
            world.break_pod(int(str(value)))
        case "delete":
            world.delete_pod(int(str(value)))
        case "heal":
            world.heal()
        case "tick":
            world.now += float(str(value))
        case "look":
            world.look(deaf=bool(value))
        case "restart":
            world.restart_controller()
        case "die":
            world.dies_after = value  # type: ignore[assignment]
        case "analysis":
            if world.run is not None:
                world.run = Run(world.run.name, str(value), "it said so", False)
        case "settle":
            world.settle(float(str(value)))


ROUTED = """
trafficRouting: {managedRoutes: [{name: a}, {name: b}]}
steps:
- setHeaderRoute: {name: a, match: [{headerName: x, headerValue: {exact: y}}]}
- pause: {duration: 10s}
- setMirrorRoute: {name: b, percentage: 60, match: [{}]}
- setWeight: 20
- pause: {duration: 10s}
- setHeaderRoute: {name: a}
- setMirrorRoute: {name: b}
scaleDownDelaySeconds: 5
abortScaleDownDelaySeconds: 5
"""
STRATEGIES = st.sampled_from([STEPS, STEPS + "analysis: {templates: [{templateName: t}]}", "steps: []", ROUTED])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, max_size=25), STRATEGIES)
def test_any_story_ends_well(story: list[tuple[str, object]], strategy: str) -> None:
    tell(story, strategy)


def tell(story: list[tuple[str, object]], strategy: str) -> None:
    world = World.started(strategy=parse_strategy(strategy))
    for name, value in story:
        happen(world, name, value)
    world.dies_after = None
    if world.replicas == 0:
        world.scale(2)
    world.settle(2000)
    decision = world.look()
    assert not [a for a in decision.actions if not isinstance(a, do.Emit)], "it rests"
    status = world.status
    world.now += 7
    world.look()
    assert world.status == status, "nor does time alone make it write"
    assert len(world.stable_pods()) == world.replicas
    match status.phase:
        case Phase.HEALTHY:
            assert world.hold is None
            assert {s.template for s in world.sets.values() if s.replicas} == {world.template}
        case Phase.DEGRADED:
            assert world.failed == world.hold == world.template
            assert {s.template for s in world.sets.values() if s.replicas} == {world.stable}
        case Phase.PAUSED:
            assert world.hold == world.template
        case Phase.PROGRESSING:
            raise AssertionError(f"still progressing: {status}")
