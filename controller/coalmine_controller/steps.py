"""The steps of a strategy, from the first canary pod to the eve of the handover.

Pure. Rules:
- A weight is granted only when the canary has the pods for it, available, and when every sidecar
  that counts has acknowledged the weight before. It stands until the next one is granted.
- The canary is scaled up before its weight rises, and down after it has fallen.
- A ``setWeight`` is done when all have acknowledged it; a ``pause`` when its time is over or a
  person promotes. Behind the last step the weight is 100 %.
- Progress is a step done, a weight granted, or more canary pods available than ever before in
  this attempt: a pod that crashes and comes back is none.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Condition, Phase, Status, Wish
from coalmine.model.strategy import Pause, SetWeight, Strategy
from coalmine.model.weights import Weight
from coalmine_controller import abort, handover
from coalmine_controller.actions import (
    Action,
    CreateCanary,
    DeletePod,
    Emit,
    EvictPod,
    Hide,
    Reference,
    ScaleCanary,
    StartAnalysis,
)
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.routing import Routes, control_uids, split, unsynced
from coalmine_controller.sweep import sweep
from coalmine_controller.versions import Versions

#: A stable pod without a sidecar is evicted when it is this old, one at a time: its
#: replacement shows whether injection works again before the next one goes.
_EVICT_AFTER = 30.0


def go_on(observed: Observed, versions: Versions, now: float) -> Decision:
    """One look at a held template that was not aborted."""
    strategy = observed.deployment.strategy
    assert isinstance(strategy, Strategy)
    since = observed.status.withdrawn_at if versions.leftovers else None
    status = replace(observed.status, steps=len(strategy.steps), withdrawn_at=since)
    status = _wishes(status, observed, strategy, now)

    reason = abort.reason_to(observed, status, strategy, now)
    if reason is not None:
        return abort.begin(replace(observed, status=status), versions, now, *reason)

    status = _note_progress(status, versions, now)
    routes, status = _routes(observed, versions, status, strategy)
    lagging = unsynced(observed, routes)
    waiting = _blockers(observed, versions, status)
    events: list[Action] = []

    paused = _is_paused(observed, status)
    for _ in range(len(strategy.steps) + 2):  # each turn completes a step or ends the loop
        target = strategy.weight_at(status.step)
        if (
            status.weight != target
            and not waiting
            and not paused
            and lagging is None
            and _ready_for(target, status, observed, versions)
        ):
            status = replace(status, weight=target, progressed_at=now, routed=True)
            routes, status = _routes(observed, versions, status, strategy)
            lagging = unsynced(observed, routes)
        if status.weight != target or lagging is not None or paused or waiting:
            break
        if status.actual_weight != target:
            status = replace(status, actual_weight=target, progressed_at=now)
            count = len(routes)
            events.append(Emit(Reason.WEIGHT_SET, say(Reason.WEIGHT_SET, weight=target, count=count)))
        if status.step >= len(strategy.steps) or not _step_done(status, strategy, now):
            break
        if isinstance(strategy.steps[status.step], SetWeight) and not _pods_for(target, observed, versions):
            break
        status = replace(status, step=status.step + 1, step_started_at=now, progressed_at=now)
        done = say(Reason.STEP_COMPLETED, step=status.step, steps=status.steps)
        events.append(Emit(Reason.STEP_COMPLETED, done))

    status, analysis = _analysis(observed, status, strategy)
    at_full = status.step >= len(strategy.steps) and status.actual_weight == Weight.FULL and lagging is None
    if at_full and status.full_at is None:
        status = replace(status, full_at=now)
        routes, status = _routes(observed, versions, status, strategy)
    elif status.full_at is not None and status.weight != Weight.FULL:
        status = replace(status, full_at=None)

    status, requeue = _explain(observed, versions, status, strategy, lagging, waiting, now)
    actions: list[Action] = [
        *events,
        *_canary(observed, versions, status, strategy),
        *_sidecarless(versions, now),
        *analysis,
    ]
    swept = sweep(observed, versions, status, synced=lagging is None, now=now)
    decision = Decision(
        swept.status,
        (*actions, *swept.actions),
        routes,
        _soonest(requeue, swept.requeue_after),
        # whether an older revision has this template must not be read from a cache that lags
        needs_live=not observed.live and any(isinstance(a, CreateCanary | Hide) for a in actions),
    )
    if status.full_at is None or paused or waiting or lagging is not None:
        return decision
    left = status.full_at + strategy.scale_down_delay - now
    if left > 0:
        return replace(decision, requeue_after=_soonest(decision.requeue_after, left))
    return handover.begin(observed, versions, decision, now)


def blocked(observed: Observed, versions: Versions, reason: Reason, message: str, phase: Phase) -> Decision:
    """Nothing moves: the weight stands as it is until a person mends what is wrong."""
    status = replace(observed.status, phase=phase, reason=reason, message=message)
    return Decision(status, (), split(observed, versions, status.weight, status.control))


def _wishes(status: Status, observed: Observed, strategy: Strategy, now: float) -> Status:
    """Take a promotion into account: it ends the current step, or all of them."""
    promote = observed.wishes.promote
    if promote is None or promote.wish != _wish(status):
        return status
    if promote.full and not status.full_promotion:
        return replace(status, full_promotion=True, step=len(strategy.steps), step_started_at=now, progressed_at=now)
    if not promote.full and promote.step == status.step < len(strategy.steps):
        return replace(status, step=status.step + 1, step_started_at=now, progressed_at=now, inconclusive_passed=True)
    return status


def _wish(status: Status) -> Wish:
    return Wish(status.canary.fingerprint if status.canary else "", status.attempt)


def _is_paused(observed: Observed, status: Status) -> bool:
    """Whether a person, or an analysis that could not tell, stops the steps."""
    return observed.wishes.paused == _wish(status) or _inconclusive(observed, status)


def _inconclusive(observed: Observed, status: Status) -> bool:
    run = observed.run
    return (
        run is not None and run.phase == "Inconclusive" and not status.inconclusive_passed and not status.full_promotion
    )


def _note_progress(status: Status, versions: Versions, now: float) -> Status:
    available = versions.canary.available if versions.canary else 0
    if available > status.best_available:
        return replace(status, best_available=available, progressed_at=now)
    return status


def _routes(observed: Observed, versions: Versions, status: Status, strategy: Strategy) -> tuple[Routes, Status]:
    control = control_uids(versions, status.weight, status.control)
    leaving = status.full_at is not None and status.weight == Weight.FULL
    return split(observed, versions, status.weight, control, leaving=leaving), replace(status, control=control)


def _wanted(target: Weight, observed: Observed) -> int:
    """Canary pods for a weight: ceil(replicas * weight / 100)."""
    return target.of(observed.deployment.replicas)


def _pods_for(target: Weight, observed: Observed, versions: Versions) -> bool:
    """Whether the canary has its pods for `target`, available, its ReplicaSet's status up to date."""
    wanted = _wanted(target, observed)
    canary = versions.canary
    if wanted == 0:
        return target == Weight.ZERO
    return canary is not None and canary.available >= wanted and canary.replicas >= wanted


def _ready_for(target: Weight, status: Status, observed: Observed, versions: Versions) -> bool:
    if target < status.weight:
        return True
    ready = [p for p in versions.canary_pods if p.ready and p.injection is not None]
    return _pods_for(target, observed, versions) and len(ready) >= _wanted(target, observed)


def _blockers(observed: Observed, versions: Versions, status: Status) -> tuple[Reason, str] | None:
    """What must be mended before any step is taken."""
    if observed.analysis_problem and not status.full_promotion:
        return Reason.INVALID, observed.analysis_problem
    if observed.deployment.replicas == 0:
        return Reason.SCALED_TO_ZERO, say(Reason.SCALED_TO_ZERO)
    if versions.stable_set is None:
        return Reason.WAITING_FOR_STABLE, say(Reason.WAITING_FOR_STABLE, detail="there is no stable ReplicaSet")
    if versions.older is not None and (versions.older.replicas or versions.older.current):
        detail = f"{versions.older.name} with the same template is not at 0"
        return Reason.WAITING_FOR_STABLE, say(Reason.WAITING_FOR_STABLE, detail=detail)
    for pod in versions.stable_pods:
        if pod.injection is None and not pod.skipped:
            detail = f"pod {pod.name} has no sidecar"
            return Reason.WAITING_FOR_STABLE, say(Reason.WAITING_FOR_STABLE, detail=detail)
    return None


def _step_done(status: Status, strategy: Strategy, now: float) -> bool:
    step = strategy.steps[status.step]
    if isinstance(step, Pause):
        if step.duration is None or status.step_started_at is None:
            return False
        return now >= status.step_started_at + step.duration
    return True


def _canary(observed: Observed, versions: Versions, status: Status, strategy: Strategy) -> list[Action]:
    """The canary ReplicaSet, and its size: that of the target, or of the granted weight while it is larger."""
    min_ready = observed.deployment.min_ready
    wanted = max(_wanted(strategy.weight_at(status.step), observed), _wanted(status.weight, observed))
    if versions.canary is None:
        if versions.older is not None:
            idle = not versions.older.replicas and not versions.older.current
            return [Hide(versions.older.name)] if idle else []
        return [CreateCanary(wanted)]
    if versions.canary.owned:
        return []  # just hidden: its Deployment has yet to release it
    actions: list[Action] = []
    if not versions.canary.referenced:
        actions.append(Reference(versions.canary.name))
    if versions.canary.replicas != wanted or versions.canary.min_ready != min_ready:
        actions.append(ScaleCanary(versions.canary.name, wanted, min_ready))
    actions += [DeletePod(p.name) for p in versions.canary_pods if p.injection is None and not p.skipped]
    return actions


def _sidecarless(versions: Versions, now: float) -> list[Action]:
    """Evict the oldest stable pod without a sidecar, when all others are ready."""
    pods = versions.stable_pods
    bare = sorted((p for p in pods if p.injection is None and not p.skipped), key=lambda p: (p.created, p.name))
    if not bare or not all(p.ready for p in pods) or now < bare[0].created + _EVICT_AFTER:
        return []
    return [EvictPod(bare[0].name)]


def _analysis(observed: Observed, status: Status, strategy: Strategy) -> tuple[Status, list[Action]]:
    """Start the background run once the canary gets requests, from its starting step on.

    (Argo starts it before any request reaches the canary; its first measurements then judge
    stable.)
    """
    wanted = strategy.analysis is not None and not status.full_promotion and not observed.analysis_problem
    begun = strategy.analysis is not None and status.step >= strategy.analysis.starting_step
    if not wanted or not begun or status.actual_weight == Weight.ZERO or observed.run is not None:
        return status, []
    if not status.analysis_run:
        pod_hash = versions_hash(observed) or "canary"
        status = replace(status, analysis_run=f"{observed.deployment.name}-{pod_hash}-{status.attempt}")
    return status, [StartAnalysis(status.analysis_run)]


def versions_hash(observed: Observed) -> str:
    """The pod-template-hash of the canary ReplicaSet, or "" before there is one."""
    d = observed.deployment
    return next((r.hash for r in observed.replica_sets if r.hidden and r.fingerprint == d.fingerprint), "")


def _explain(
    observed: Observed,
    versions: Versions,
    status: Status,
    strategy: Strategy,
    lagging: Pod | None,
    waiting: tuple[Reason, str] | None,
    now: float,
) -> tuple[Status, float | None]:
    """Phase, reason, sentence and conditions, and when to look again."""
    synced = Condition(
        "TrafficSynced",
        lagging is None,
        "Acknowledged" if lagging is None else Reason.WAITING_FOR_SIDECARS,
        "every sidecar has the current weight"
        if lagging is None
        else say(Reason.WAITING_FOR_SIDECARS, pod=lagging.name)
        + (f" ({lagging.push_error})" if lagging.push_error else ""),
        now,
    )
    status = replace(status, conditions=_merged(status.conditions, synced))
    phase, requeue = Phase.PROGRESSING, None
    target = strategy.weight_at(status.step)
    if _inconclusive(observed, status):
        phase, reason = Phase.PAUSED, Reason.ANALYSIS_INCONCLUSIVE
        message = say(reason, run=status.analysis_run)
    elif observed.wishes.paused == _wish(status):
        phase, reason = Phase.PAUSED, Reason.PAUSED
        message = say(reason, step=status.step, steps=status.steps, until=", by a person")
    elif waiting is not None:
        reason, message = waiting
    elif lagging is not None:
        reason, message = Reason.WAITING_FOR_SIDECARS, synced.message
    elif not _pods_for(target, observed, versions):
        reason, message = _missing_pods(target, observed, versions)
    elif status.step < status.steps and isinstance(step := strategy.steps[status.step], Pause):
        phase, reason = Phase.PAUSED, Reason.PAUSED
        until = " until it is promoted"
        if step.duration is not None and status.step_started_at is not None:
            requeue = status.step_started_at + step.duration - now
            until = f" for {step.duration:g} s"
        message = say(reason, step=status.step, steps=status.steps, until=until)
    else:
        reason = Reason.WEIGHT_SET
        message = say(reason, weight=status.weight, count=len(versions.stable_pods) + len(versions.canary_pods))
    status = replace(status, phase=phase, reason=reason, message=message)
    left = abort.deadline_left(observed, status, strategy, now) if strategy.progress_deadline_abort else None
    # a moment that is over already is nothing to wait for: what brings this on is a change in the world
    return status, _soonest(*(t for t in (requeue, left) if t is not None and t > 0))


def _missing_pods(target: Weight, observed: Observed, versions: Versions) -> tuple[Reason, str]:
    canary = versions.canary
    if canary is not None and canary.failure:
        return Reason.QUOTA, say(Reason.QUOTA, detail=canary.failure)
    troubled = next((p for p in versions.canary_pods if p.waiting), None)
    detail = f" ({troubled.name}: {troubled.waiting})" if troubled else ""
    available = canary.available if canary else 0
    wanted = _wanted(target, observed)
    return Reason.WAITING_FOR_CANARY, say(Reason.WAITING_FOR_CANARY, available=available, wanted=wanted, detail=detail)


def _merged(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """`conditions` with `new` in place; its time stands when its status did not change."""
    old = next((c for c in conditions if c.type == new.type), None)
    if old is not None and old.status == new.status:
        new = replace(new, since=old.since)
    return (*(c for c in conditions if c.type != new.type), new)


def _soonest(*moments: float | None) -> float | None:
    return min((m for m in moments if m is not None), default=None)
