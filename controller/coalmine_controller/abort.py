"""An abort: when it comes, what it does, and how a retry undoes it.

Pure. Rules: no request goes to the canary, told to everybody at once and waited for by nobody;
`failed` on the Deployment keeps the template held, whoever writes it again; the
Deployment's own condition tells the world. The pods go after the abort delay, when stable is
whole. An abort never retries by itself: a retry names this attempt, and takes off `failed` first,
then the condition, then starts the next attempt, so that it can be cut off anywhere.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Phase, Status, Wish
from coalmine.model.strategy import Strategy
from coalmine.model.weights import Weight
from coalmine_controller import analysing, explain, sizing
from coalmine_controller.actions import (
    Action,
    ClearFailed,
    ClearFailure,
    Emit,
    Hide,
    MarkFailed,
    ReportFailure,
    ScaleCanary,
)
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed
from coalmine_controller.routing import everybody, local, unready, unsynced
from coalmine_controller.sweep import drained, sweep
from coalmine_controller.versions import Versions

#: Until the next look in a retry, should no event bring it about.
_AGAIN = 1.0


def demanded(observed: Observed, status: Status) -> tuple[Reason, str] | None:
    """Whether a person or the analysis demands an abort now: why, and in which words."""
    if status.canary is not None and observed.wishes.abort == Wish(status.canary.fingerprint, status.attempt):
        return Reason.ABORTED_BY_USER, say(Reason.ABORTED_BY_USER)
    run = analysing.failed(observed, status)
    if run is not None:
        detail = run.message or f"analysis {run.name} ended {run.phase}"
        return Reason.ANALYSIS_FAILED, say(Reason.ANALYSIS_FAILED, detail=detail)
    return None


def overdue(observed: Observed, status: Status, now: float) -> tuple[Reason, str] | None:
    """Whether the rollout has waited without progress for longer than its deadline."""
    left = deadline_left(observed, status, now)
    if left is None or left > 0:
        return None
    seconds = f"{observed.deployment.progress_deadline:g}"
    return Reason.DEADLINE_EXCEEDED, say(Reason.DEADLINE_EXCEEDED, seconds=seconds, detail=status.message)


def deadline_left(observed: Observed, status: Status, now: float) -> float | None:
    """Seconds until the progress deadline; None while its clock does not run."""
    if not status.waiting or status.progressed_at is None:
        return None
    return status.progressed_at + observed.deployment.progress_deadline - now


def stands(observed: Observed) -> bool:
    """Whether the held template was aborted and not retried."""
    d = observed.deployment
    return observed.status.aborted_at is not None or d.failed == d.fingerprint


def begin(observed: Observed, versions: Versions, now: float, reason: Reason, message: str) -> Decision:
    """The first moment of an abort."""
    status = replace(
        observed.status,
        aborted_at=now,
        withdrawn_at=now,
        abort_reason=reason,
        abort_message=message,
    )
    decision = stay(replace(observed, status=status), versions, now)
    event = Emit(Reason.ABORTED, say(Reason.ABORTED, why=message), warning=True)
    return replace(decision, actions=(*decision.actions, event), urgent=True)


def stay(observed: Observed, versions: Versions, now: float) -> Decision:
    """One look at an aborted template that is still held."""
    d, strategy = observed.deployment, observed.deployment.strategy
    assert isinstance(strategy, Strategy)
    assert observed.status.canary is not None
    status = replace(
        observed.status,
        phase=Phase.DEGRADED,
        reason=Reason.ABORTED,
        message=say(Reason.ABORTED, why=observed.status.abort_message or "the canary was aborted"),
        step=0,
        steps=len(strategy.steps),
        weight=Weight.ZERO,
        control=(),
        routes=(),
        full_at=None,
        handover_at=None,
        waiting=False,
        aborted_at=now if observed.status.aborted_at is None else observed.status.aborted_at,
        withdrawn_at=now if observed.status.withdrawn_at is None else observed.status.withdrawn_at,
    )
    routes = local(observed, versions)
    lagging = unsynced(observed, routes)
    synced = lagging is None
    status = replace(status, conditions=explain.merged(status.conditions, explain.synced_condition(lagging, now)))
    if synced:
        status = replace(status, actual_weight=Weight.ZERO)

    if observed.wishes.retry == Wish(observed.status.canary.fingerprint, status.attempt):
        return _retry(observed, replace(status, routed=True), now)

    actions: list[Action] = []
    if d.failed != d.fingerprint:
        actions.append(MarkFailed())
    elif d.reported_failure != d.fingerprint:
        actions.append(ReportFailure(status.abort_message))
    actions += analysing.stop(observed)
    actions += sizing.hide_from_scaling(observed, versions)
    needs_live = not observed.live and any(isinstance(a, Hide) for a in actions)
    requeue = None
    canary, delay = versions.canary, strategy.abort_scale_down_delay
    if canary is not None and canary.replicas and (delay is not None or sizing.bare(versions.canary_pods)):
        left = status.aborted_at + (delay or 0.0) - now if status.aborted_at is not None else 0.0
        whole = d.available >= d.replicas
        ready = left <= 0 and whole and drained(versions.canary_pods, status, synced=synced, now=now)
        if ready or sizing.bare(versions.canary_pods):  # one without a sidecar takes requests unweighed
            actions.append(ScaleCanary(canary.name, 0, canary.min_ready))
        elif whole:
            requeue = max(left, 1.0)
    swept = sweep(observed, versions, status, synced=synced, now=now)
    gone = not versions.leftovers and (canary is None or not canary.current)
    # also a sidecar that could not be reached must learn it: `routed` stands until then
    status = replace(swept.status, routed=not (gone and everybody(observed, routes)))
    if not status.routed:
        routes = unready(routes, observed.pods)
    times = [t for t in (requeue, swept.requeue_after) if t is not None]
    return Decision(status, (*actions, *swept.actions), routes, min(times, default=None), needs_live)


def _retry(observed: Observed, status: Status, now: float) -> Decision:
    d = observed.deployment
    # A write that changes something brings about the next look; one that the webhook undoes (the
    # controller runs under another name than the installed one) must not be repeated at once.
    if d.failed is not None:
        return Decision(status, (ClearFailed(),), requeue_after=_AGAIN)
    if d.reported_failure is not None:
        return Decision(status, (ClearFailure(),), requeue_after=_AGAIN)
    event = Emit(Reason.RETRIED, say(Reason.RETRIED, images=", ".join(d.images)))
    return Decision(status.next_attempt(now), (*analysing.stop(observed), event), requeue_after=_AGAIN)
