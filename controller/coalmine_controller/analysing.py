"""The background analysis of a rollout: when it starts, what its end means.

Pure. Rules: it starts once requests go to the canary, by weight or by a route that is told, from its starting step on.
(Argo starts it before any does; its first measurements then judge stable.) Failed or Error aborts; Inconclusive
waits for a person, who may go on, and then another run takes over the watch; a full promotion ends it.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.rollout import Status
from coalmine.model.strategy import Strategy
from coalmine.model.weights import Weight
from coalmine_controller.actions import Action, StartAnalysis, StopAnalysis
from coalmine_controller.observed import Observed, Run
from coalmine_controller.versions import Versions


def current(observed: Observed, status: Status) -> Run | None:
    """The run that watches this attempt now."""
    run = observed.run
    return run if run is not None and run.name == status.analysis_run and not status.full_promotion else None


def failed(observed: Observed, status: Status) -> Run | None:
    """The run when it says that the version is bad, or cannot say anything any more."""
    run = current(observed, status)
    return run if run is not None and run.phase in ("Failed", "Error") else None


def inconclusive(observed: Observed, status: Status) -> bool:
    """Whether a person must decide."""
    run = current(observed, status)
    return run is not None and run.phase == "Inconclusive"


def passed(observed: Observed, status: Status) -> Status:
    """The status after a person went on in spite of an inconclusive run: the next one starts."""
    return replace(status, analysis_run="") if inconclusive(observed, status) else status


def stop(observed: Observed) -> list[Action]:
    """End the run that is under way, if any."""
    run = observed.run
    return [StopAnalysis(run.name)] if run is not None and not run.over and not run.terminated else []


def go_on(
    observed: Observed, versions: Versions, status: Status, strategy: Strategy, *, synced: bool
) -> tuple[Status, list[Action]]:
    """Start the run when it is time, stop it when nobody needs it. `synced`: the sidecars follow the routes."""
    if strategy.analysis is None or status.full_promotion:
        return status, stop(observed)
    reached = status.actual_weight > Weight.ZERO or (synced and bool(status.routes))
    begun = status.step >= strategy.analysis.starting_step and reached
    if not begun or current(observed, status) is not None or versions.canary is None:
        return status, []
    if not status.analysis_run:
        count = status.analysis_runs + 1
        name = f"{observed.deployment.name}-{versions.canary.hash}-{status.attempt}" + (
            f"-{count}" if count > 1 else ""
        )
        status = replace(status, analysis_run=name, analysis_runs=count)
    return status, [StartAnalysis(status.analysis_run)]
