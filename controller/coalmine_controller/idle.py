"""A Deployment that holds nothing: healthy, or updated by the native controller.

Pure. Rules: sidecars serve locally, and once all have acknowledged that, none is called again
(`routed`). What a canary left behind is swept. A Deployment that became complete
is touched once, so that the webhook records its template as stable.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Phase, Status
from coalmine.model.strategy import Strategy
from coalmine.model.weights import Weight
from coalmine_controller import analysing
from coalmine_controller.actions import Action, DeleteRollout, Emit, Touch
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed
from coalmine_controller.routing import everybody, local, unready, unsynced
from coalmine_controller.sweep import sweep
from coalmine_controller.versions import Versions


def watch(observed: Observed, versions: Versions, now: float) -> Decision:
    """One look at an annotated Deployment that holds nothing."""
    d, before = observed.deployment, observed.status
    steps = len(d.strategy.steps) if isinstance(d.strategy, Strategy) else 0
    status = replace(
        _healthy_or_not(observed),
        canary=None,
        step=steps,
        steps=steps,
        step_started_at=None,
        weight=Weight.FULL,
        actual_weight=Weight.FULL,
        control=(),
        routes=(),
        full_at=None,
        full_promotion=False,
        aborted_at=None,
        abort_reason="",
        abort_message="",
        progressed_at=None,
        best_available=0,
        handover_at=None,
        analysis_runs=0,
        strategy="",
        waiting=False,
        bare_at=None,
        conditions=(),
    )
    actions = _farewell(observed)
    if d.complete and d.stamped and not d.off and d.stable != d.fingerprint:
        actions.append(Touch())
    return _clean(observed, versions, replace(status, routed=before.routed or before.canary is not None), actions, now)


def let_go(observed: Observed, versions: Versions, now: float) -> Decision:
    """A Deployment without our annotation: clean up what it has of ours, then forget it."""
    if not observed.rollout_exists and not versions.leftovers:
        return Decision(observed.status)
    decision = _clean(observed, versions, replace(observed.status, canary=None, routes=()), [], now)
    if decision.status.routed or versions.leftovers:
        return decision
    return Decision(decision.status, (DeleteRollout(),) if observed.rollout_exists else ())


def _clean(observed: Observed, versions: Versions, status: Status, actions: list[Action], now: float) -> Decision:
    """Local-only routing until all have it, and the sweep."""
    actions = [*actions, *analysing.stop(observed)]
    routes = local(observed, versions)
    if not status.routed and not versions.leftovers:
        told = unready(routes, observed.pods)
        return Decision(replace(status, analysis_run="", withdrawn_at=None), tuple(actions), told)
    synced = unsynced(observed, routes) is None
    swept = sweep(observed, versions, status, synced=synced, now=now)
    done = everybody(observed, routes) and not versions.leftovers
    status = replace(swept.status, routed=not done)
    if done:
        status = replace(status, withdrawn_at=None)
    return Decision(status, (*actions, *swept.actions), routes, swept.requeue_after)


def _farewell(observed: Observed) -> list[Action]:
    """The event that ends a release: it was promoted, or a person went back."""
    d, before = observed.deployment, observed.status
    if before.canary is None:
        return []
    if before.canary.fingerprint == d.fingerprint and not d.off:
        images = ", ".join(d.images)
        return [Emit(Reason.COMPLETED, say(Reason.COMPLETED, images=images, replicas=d.replicas))]
    return [] if d.off else [Emit(Reason.WENT_BACK, say(Reason.WENT_BACK))]


def _healthy_or_not(observed: Observed) -> Status:
    d, status = observed.deployment, observed.status
    if d.complete:
        message = say(Reason.HEALTHY, replicas=d.replicas)
        return replace(status, phase=Phase.HEALTHY, reason=Reason.HEALTHY, message=message)
    if d.progressing_reason == "ProgressDeadlineExceeded":
        message = "the native rolling update made no progress in time"
        return replace(status, phase=Phase.DEGRADED, reason=Reason.NATIVE_UPDATE, message=message)
    if d.paused:
        message = say(Reason.USER_PAUSED)
        return replace(status, phase=Phase.PAUSED, reason=Reason.USER_PAUSED, message=message)
    message = say(Reason.INCOMPLETE, available=min(d.updated, d.available), replicas=d.replicas)
    return replace(status, phase=Phase.PROGRESSING, reason=Reason.INCOMPLETE, message=message)
