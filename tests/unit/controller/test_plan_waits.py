"""What `plan` waits for, and that it never asks to be asked again at once for something that has passed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulation import World

from coalmine.model.reasons import Reason
from coalmine.model.strategy import parse_strategy
from coalmine_controller import actions as do
from coalmine_controller.plan import plan

ANALYSED = "steps: [setWeight: 20, pause: {duration: 60}]\nanalysis: {templates: [{templateName: t}]}"


def at_20(strategy: str) -> World:
    world = World.started(strategy=parse_strategy(strategy))
    world.set_template("v2")
    world.settle(5)
    assert world.status.actual_weight.percent == 20
    return world


@pytest.mark.parametrize("problem", ["", "analysis.templates[0].templateName: there is no AnalysisTemplate t"])
def test_no_step_is_taken_while_the_analysis_is_missing(problem: str) -> None:
    """Its creation was refused, or somebody deleted it, or its template."""
    world = at_20(ANALYSED)
    observed = replace(world.observe(live=False), run=None, analysis_problem=problem)
    decision = plan(observed, world.now + 1000)
    assert decision.status.step == 1
    assert decision.status.weight.percent == 20
    assert decision.status.reason == Reason.ANALYSIS_MISSING
    assert problem in decision.status.message
    assert [a for a in decision.actions if isinstance(a, do.StartAnalysis)]
    assert plan(world.observe(live=False), world.now + 1000).status.step == 2, "with it, the pause is over"


def test_a_full_promotion_needs_no_analysis() -> None:
    world = at_20(ANALYSED)
    world.wish(full=True)
    observed = replace(world.observe(live=False), run=None)
    assert plan(observed, world.now).status.step == 2


@pytest.mark.parametrize("abort", ["true", "false"])
@pytest.mark.parametrize("late", [599.0, 600.0, 601.0, 100_000.0])
def test_a_moment_that_has_passed_is_not_waited_for(abort: str, late: float) -> None:
    world = World.started(
        strategy=parse_strategy(f"{{steps: [setWeight: 20], progressDeadlineAbort: {abort}}}"), broken={"v2"}
    )
    world.set_template("v2")
    for _ in range(3):
        world.look()
    decision = plan(world.observe(live=False), world.now + late)
    assert decision.requeue_after is None or decision.requeue_after > 0
