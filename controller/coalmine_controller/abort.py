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
from coalmine.model.strategy import Pause, Strategy
from coalmine.model.weights import Weight
from coalmine_controller.actions import (
    Action,
    ClearFailed,
    ClearFailure,
    Emit,
    MarkFailed,
    ReportFailure,
    ScaleCanary,
    StopAnalysis,
)
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed
from coalmine_controller.routing import local, unsynced
from coalmine_controller.sweep import drained, sweep
from coalmine_controller.versions import Versions


#: Until the next look in a retry, should no event bring it about.
_AGAIN = 1.0


def reason_to(observed: Observed, status: Status, strategy: Strategy, now: float) -> tuple[Reason, str] | None:
    """Why this attempt must be aborted now, or None."""
    if status.canary is not None and observed.wishes.abort == Wish(status.canary.fingerprint, status.attempt):
        return Reason.ABORTED_BY_USER, say(Reason.ABORTED_BY_USER)
    run = observed.run
    if run is not None and run.phase in ("Failed", "Error") and not status.full_promotion:
        detail = run.message or f"analysis {run.name} ended {run.phase}"
        return Reason.ANALYSIS_FAILED, say(Reason.ANALYSIS_FAILED, detail=detail)
    left = deadline_left(observed, status, strategy, now)
    if left is not None and left <= 0 and strategy.progress_deadline_abort:
        seconds = f"{observed.deployment.progress_deadline:g}"
        return Reason.DEADLINE_EXCEEDED, say(Reason.DEADLINE_EXCEEDED, seconds=seconds, detail=status.message)
    return None


def deadline_left(observed: Observed, status: Status, strategy: Strategy, now: float) -> float | None:
    """Seconds until the progress deadline; None where none runs: in a pause, or when a person stopped it."""
    if status.progressed_at is None or status.phase == Phase.PAUSED or observed.deployment.replicas == 0:
        return None
    in_step = status.step < len(strategy.steps)
    reached = status.actual_weight == strategy.weight_at(status.step)
    if in_step and reached and isinstance(strategy.steps[status.step], Pause):
        return None
    if status.full_at is not None and now < status.full_at + strategy.scale_down_delay:
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
    return replace(decision, actions=(event, *decision.actions), urgent=True)


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
        full_at=None,
        handover_at=None,
        aborted_at=now if observed.status.aborted_at is None else observed.status.aborted_at,
        withdrawn_at=now if observed.status.withdrawn_at is None else observed.status.withdrawn_at,
    )
    routes = local(observed, versions)
    synced = unsynced(observed, routes) is None
    if synced:
        status = replace(status, actual_weight=Weight.ZERO)

    if observed.wishes.retry == Wish(observed.status.canary.fingerprint, status.attempt):
        return _retry(observed, replace(status, routed=True), now)

    actions: list[Action] = []
    if d.failed != d.fingerprint:
        actions.append(MarkFailed())
    elif d.reported_failure != d.fingerprint:
        actions.append(ReportFailure(status.abort_message))
    if observed.run is not None and not observed.run.over and not observed.run.terminated:
        actions.append(StopAnalysis(observed.run.name))
    requeue = None
    canary, delay = versions.canary, strategy.abort_scale_down_delay
    if canary is not None and canary.replicas and delay is not None:
        assert status.aborted_at is not None
        left = status.aborted_at + delay - now
        whole = d.available >= d.replicas
        if left <= 0 and whole and drained(versions.canary_pods, status, synced=synced, now=now):
            actions.append(ScaleCanary(canary.name, 0, canary.min_ready))
        else:
            requeue = max(left, 1.0)
    swept = sweep(observed, versions, status, synced=synced, now=now)
    gone = not versions.leftovers and (canary is None or not canary.current)
    status = replace(swept.status, routed=not (synced and gone))
    if not status.routed:
        routes = {}
    times = [t for t in (requeue, swept.requeue_after) if t is not None]
    return Decision(status, (*actions, *swept.actions), routes, min(times, default=None))


def _retry(observed: Observed, status: Status, now: float) -> Decision:
    d = observed.deployment
    # A write that changes something brings about the next look; one that the webhook undoes (the
    # controller runs under another name than the installed one) must not be repeated at once.
    if d.failed is not None:
        return Decision(status, (ClearFailed(),), requeue_after=_AGAIN)
    if d.reported_failure is not None:
        return Decision(status, (ClearFailure(),), requeue_after=_AGAIN)
    fresh = Status(
        phase=Phase.PROGRESSING,
        observed_generation=status.observed_generation,
        stable=status.stable,
        canary=status.canary,
        attempt=status.attempt + 1,
        steps=status.steps,
        step_started_at=now,
        routed=True,
        progressed_at=now,
        replicas=status.replicas,
        conditions=status.conditions,
    )
    event = Emit(Reason.RETRIED, say(Reason.RETRIED, images=", ".join(d.images)))
    return Decision(fresh, (event,), requeue_after=_AGAIN)
