"""Phase, reason, sentence and conditions of a rollout that goes on, and the clock of its deadline.

Pure. What stands in the way is named in this order: a person, a fault that a person must mend, sidecars, pods.
The progress deadline runs only while the rollout waits for pods or sidecars; each time that it begins to
wait anew, it has the whole time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Condition, Phase, Status, Wish
from coalmine.model.strategy import Pause, Strategy
from coalmine.model.weights import Weight
from coalmine_controller import analysing
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.sizing import bare, has_pods_at, wanted, wanted_at
from coalmine_controller.versions import Versions, targets

Obstacle = tuple[Reason, str]

#: kstatus's conditions, each with the phases in which it is true.
_SUMMARY: Final = {"Reconciling": (Phase.PROGRESSING, Phase.PAUSED), "Stalled": (Phase.DEGRADED,)}


def wish_of(status: Status) -> Wish:
    """The wish that would be about this attempt."""
    return Wish(status.canary.fingerprint if status.canary else "", status.attempt)


def is_paused(observed: Observed, status: Status) -> bool:
    """Whether a person, or an analysis that could not tell, stops the steps."""
    return observed.wishes.paused == wish_of(status) or analysing.inconclusive(observed, status)


def obstacle(observed: Observed, versions: Versions, status: Status) -> Obstacle | None:
    """What a person, or time, must mend before any step is taken."""
    d = observed.deployment
    needs_template = not status.analysis_run and not status.full_promotion
    if observed.analysis_problem and needs_template:
        return Reason.INVALID, observed.analysis_problem
    analysed = isinstance(d.strategy, Strategy) and d.strategy.analysis is not None and not status.full_promotion
    if analysed and status.analysis_run and analysing.current(observed, status) is None:
        # not made yet, refused, or deleted: no step is taken that nobody watches
        why = observed.analysis_problem or observed.refusal
        detail = f": {why}" if why else ""
        return Reason.ANALYSIS_MISSING, say(Reason.ANALYSIS_MISSING, run=status.analysis_run, detail=detail)
    if d.replicas == 0:
        return Reason.SCALED_TO_ZERO, say(Reason.SCALED_TO_ZERO)
    active = [r for r in versions.stable if r.replicas]
    if len(active) > 1:
        both = " and ".join(r.name for r in active)
        return _stable(f"{both} both have pods; the native controller brings one of them to 0")
    if active and d.stable is not None and active[0].fingerprint != d.stable:
        return _stable(f"{active[0].name} carries stable, but has not the template that was last complete")
    if versions.older is not None and (versions.older.replicas or versions.older.current):
        return _stable(f"{versions.older.name} with the same template is not at 0")
    without = bare(versions.stable_pods)
    if without:
        return _stable(f"pod {without[0].name} has no sidecar")
    return None


def _stable(detail: str) -> Obstacle:
    return Reason.WAITING_FOR_STABLE, say(Reason.WAITING_FOR_STABLE, detail=detail)


def synced_condition(lagging: Pod | None, now: float, older: tuple[Pod, str] | None = None) -> Condition:
    """TrafficSynced: whether every sidecar that counts has the current weight, else which one has not; and follows
    all that it was told, else which one is too old to (`older`: it, and what it does not know)."""
    if lagging is None and older is not None:
        message = say(Reason.SIDECAR_OUTDATED, pod=older[0].name, what=older[1])
        return Condition("TrafficSynced", False, Reason.SIDECAR_OUTDATED, message, now)
    if lagging is None:
        return Condition("TrafficSynced", True, "Acknowledged", "every sidecar has the current weight", now)
    why = f" ({lagging.push_error})" if lagging.push_error else ""
    message = say(Reason.WAITING_FOR_SIDECARS, pod=lagging.name) + why
    return Condition("TrafficSynced", False, Reason.WAITING_FOR_SIDECARS, message, now)


def merged(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """`conditions` with `new` in place; its time stands when its status did not change."""
    old = next((c for c in conditions if c.type == new.type), None)
    if old is not None and old.status == new.status:
        new = replace(new, since=old.since)
    return (*(c for c in conditions if c.type != new.type), new)


def summed_up(status: Status, before: Status, now: float) -> Status:
    """The status with the conditions Reconciling and Stalled, which say its phase in the words of kstatus
    (kubernetes-sigs/cli-utils, pkg/kstatus/README.md): whatever waits by these knows a Rollout without knowing us.

    A decision may have started its conditions anew: what has not changed since `before` keeps its time, or each look
    would be a write.
    """
    others = tuple(c for c in status.conditions if c.type not in _SUMMARY)
    summary = tuple(c for c in before.conditions if c.type in _SUMMARY)
    for kind, phases in _SUMMARY.items():
        on = status.phase in phases
        reason, message = (status.reason, status.message) if on else ("", "")
        summary = merged(summary, Condition(kind, on, reason or status.phase.value, message, now))
    return replace(status, conditions=(*others, *summary))


def told(
    observed: Observed,
    versions: Versions,
    status: Status,
    strategy: Strategy,
    lagging: Pod | None,
    older: tuple[Pod, str] | None,
    reduced: Weight,
    now: float,
) -> tuple[Status, float | None]:
    """The status with its story, and the seconds until it changes by time alone."""
    status = replace(status, conditions=merged(status.conditions, synced_condition(lagging, now, older)))
    stopped = obstacle(observed, versions, status)
    phase, requeue, waits = Phase.PROGRESSING, None, False
    if analysing.inconclusive(observed, status):
        phase, reason = Phase.PAUSED, Reason.ANALYSIS_INCONCLUSIVE
        message = say(reason, run=status.analysis_run)
    elif is_paused(observed, status):
        phase, reason = Phase.PAUSED, Reason.PAUSED
        message = say(reason, step=status.step, steps=status.steps, until=", by a person")
    elif stopped is not None:
        reason, message = stopped
    elif lagging is not None:
        waits, reason, message = True, Reason.WAITING_FOR_SIDECARS, synced_condition(lagging, now).message
    elif reduced < status.weight:
        waits, reason = True, Reason.REDUCED
        ready = len(targets(versions.canary_pods))
        need = wanted(status.weight, observed)
        message = say(reason, ready=ready, wanted=need, told=reduced, weight=status.weight)
    elif not has_pods_at(status.step, observed, versions, strategy):
        waits = True
        reason, message = _missing(wanted_at(status.step, observed, strategy), observed, versions)
    elif status.step < status.steps and isinstance(step := strategy.steps[status.step], Pause):
        phase, reason = Phase.PAUSED, Reason.PAUSED
        until = " until it is promoted"
        if step.duration is not None and status.step_started_at is not None:
            requeue = max(0.0, status.step_started_at + step.duration - now)
            until = f" for {step.duration:g} s"
        message = say(reason, step=status.step, steps=status.steps, until=until)
    else:
        reason = Reason.WEIGHT_SET
        message = say(reason, weight=status.weight, count=counting(versions))
    if waits and not status.waiting:
        status = replace(status, progressed_at=now)
    return replace(status, phase=phase, reason=reason, message=message, waiting=waits), requeue


def counting(versions: Versions) -> int:
    """How many sidecars must acknowledge a weight."""
    return len(targets(versions.stable_pods)) + len(targets(versions.canary_pods))


def _missing(need: int, observed: Observed, versions: Versions) -> Obstacle:
    """Why the canary has not the pods that it needs."""
    canary, pods = versions.canary, versions.canary_pods
    without = bare(pods)
    if without:
        return Reason.BARE_CANARY, say(Reason.BARE_CANARY, pod=without[0].name)
    refused = (canary.failure if canary is not None else "") or observed.refusal
    if refused:
        return Reason.QUOTA, say(Reason.QUOTA, detail=refused)
    detail = next((f" ({p.name}: {p.waiting})" for p in pods if p.waiting), "")
    detail = detail or next((f" (the sidecar of {p.name}: {p.push_error})" for p in pods if p.push_error), "")
    available = min(canary.available, len(targets(pods))) if canary else 0
    return Reason.WAITING_FOR_CANARY, say(Reason.WAITING_FOR_CANARY, available=available, wanted=need, detail=detail)
