"""The one decision of the controller: what is to be done for a Deployment as it is now.

Pure: `plan(observed, now)` is a function of its arguments. It is level-based: it knows no
events, only the state of the world, so that it can be asked again after any failure, at
any line, by any controller.

    not annotated      -> idle.let_go      clean up, forget
    handover stands    -> handover.go_on   the last two writes, or heal
    not held           -> idle.watch       local only; sweep what was left behind
    held, aborted      -> abort.stay       nothing to the canary; report; wait for a retry
    held               -> steps.go_on      the steps of the strategy

Invariants (tests/unit/controller/test_plan_properties.py): requests go only to pods that are ready
and not terminating; an aborted template is never released; the plan comes to rest when
the world stops changing.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.errors import SpecError
from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Phase, Replicas, Revision, Status
from coalmine.model.strategy import Strategy
from coalmine_controller import abort, analysing, explain, handover, idle, steps
from coalmine_controller.actions import Action, CreateRollout, Emit
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed
from coalmine_controller.versions import Versions, sort_out


def plan(observed: Observed, now: float) -> Decision:
    """Decide. `now` is a Unix time."""
    decision = _decide(observed, now)
    return replace(decision, status=explain.summed_up(decision.status, observed.status, now))


def _decide(observed: Observed, now: float) -> Decision:
    d = observed.deployment
    versions = sort_out(observed)
    if d.strategy is None and not d.off:
        return idle.let_go(observed, versions, now)
    if not observed.rollout_exists:
        return Decision(observed.status, (CreateRollout(),))
    observed = replace(observed, status=describe(observed, versions))
    if d.handover is not None:
        return handover.go_on(observed, versions, now)
    if not d.held:
        return idle.watch(observed, versions, now)
    if isinstance(d.strategy, SpecError):
        return steps.blocked(observed, versions, Reason.INVALID, say(Reason.INVALID, error=d.strategy), Phase.DEGRADED)
    observed, started = begin(observed, now)
    decision = abort.stay(observed, versions, now) if abort.stands(observed) else steps.go_on(observed, versions, now)
    return replace(decision, actions=(*started, *decision.actions))


def describe(observed: Observed, versions: Versions) -> Status:
    """The status with the facts of this observation: revisions and counts."""
    d, status = observed.deployment, observed.status
    bringing_up = d.held or d.handover is not None
    current = versions.canary if bringing_up else versions.stable_set
    stable_set = versions.stable_set
    everything = [r for r in observed.replica_sets if r.owned or r.hidden or r is versions.canary]
    status = replace(
        status,
        observed_generation=observed.rollout_generation,
        workload_generation=d.generation,
        replicas=Replicas(
            desired=d.replicas,
            current=sum(r.current for r in everything),
            updated=current.current if current else 0,
            ready=sum(r.ready for r in everything),
            available=sum(r.available for r in everything),
        ),
    )
    if stable_set is not None:
        images = stable_set.images
        status = replace(status, stable=Revision(stable_set.fingerprint, stable_set.name, stable_set.revision, images))
    if status.canary is not None and bringing_up and status.canary.fingerprint == d.fingerprint:
        number = max((r.revision for r in observed.replica_sets if r is not versions.canary), default=0) + 1
        if versions.canary is not None and not versions.canary.hidden and versions.canary.revision:
            number = versions.canary.revision
        name = versions.canary.name if versions.canary else ""
        status = replace(status, canary=Revision(d.fingerprint, name, number, d.images))
    return status


def begin(observed: Observed, now: float) -> tuple[Observed, tuple[Action, ...]]:
    """A template that is new to the status, or other steps, start as a new attempt: at the first step, with
    nothing granted, and with an analysis of its own."""
    d, status = observed.deployment, observed.status
    assert isinstance(d.strategy, Strategy)
    same = status.canary is not None and status.canary.fingerprint == d.fingerprint
    aborted = d.failed == d.fingerprint
    if same and (status.strategy == d.strategy.identity or abort.stands(observed)):
        return observed, ()
    number = max((r.revision for r in observed.replica_sets), default=0) + 1
    fresh = replace(
        status.next_attempt(now),
        canary=Revision(d.fingerprint, "", number, d.images),
        strategy=d.strategy.identity,
        routed=status.routed or any(r.hidden for r in observed.replica_sets),
    )
    actions: list[Action] = analysing.stop(observed)
    if aborted:  # the Rollout object was deleted: that is no retry
        message = "the canary of this template was aborted before"
        fresh = replace(fresh, aborted_at=now, abort_reason=Reason.ABORTED, abort_message=message)
    elif same:
        actions.append(Emit(Reason.STEPS_CHANGED, say(Reason.STEPS_CHANGED)))
    else:
        if status.canary is not None and status.aborted_at is None:
            fingerprint = status.canary.fingerprint
            actions.append(Emit(Reason.SUPERSEDED, say(Reason.SUPERSEDED, fingerprint=fingerprint)))
        images = ", ".join(d.images)
        actions.append(Emit(Reason.CANARY_STARTED, say(Reason.CANARY_STARTED, images=images, revision=number)))
    return replace(observed, status=fresh, run=None), tuple(actions)
