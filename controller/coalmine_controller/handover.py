"""The handover: three guarded writes that make the canary's pods the Deployment's own.

Pure. (1) `handover` on the Deployment, its preconditions read in the same breath; (2) the one patch
that shows the ReplicaSet to the Deployment; (3) the release, once the Deployment has adopted
it and every other one it owns is at 0. Each write is decided on a live observation and
carries its resourceVersion; after each the state tells which one is next, so that any of them can
be the last that a controller makes.

What goes wrong without the preconditions, and why `scale()` of the native controller then adds
or removes pods, is told in docs/architecture.md. When replicas or availability change after (2), the
native update heals it: local-only routing, release at once, and `handover` stands until it is
done, so that no template change comes in between.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Phase, Status
from coalmine.model.weights import Weight
from coalmine_controller import abort, analysing
from coalmine_controller.actions import (
    Action,
    BeginHandover,
    CancelHandover,
    Emit,
    EndHandover,
    Relabel,
    Release,
)
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed
from coalmine_controller.routing import local, split
from coalmine_controller.versions import Versions, targets

#: The native controller answers a write within milliseconds, and its answer is an event: this
#: only bounds how long a lost one can matter.
_LOOK_AGAIN = 2.0


def preconditions(observed: Observed, versions: Versions) -> str | None:
    """What forbids the handover now, as a sentence; None when nothing does.

    Weight 100 acknowledged by every sidecar is the caller's to know.
    """
    d, canary = observed.deployment, versions.canary
    if canary is None or not canary.hidden:
        return "there is no canary ReplicaSet"
    stable = sum(r.replicas for r in versions.stable)
    available = sum(r.available for r in versions.stable)
    if versions.older is not None:
        return f"ReplicaSet {versions.older.name} has the same template"
    ready = min(canary.available, len(targets(versions.canary_pods)))
    if d.replicas == 0 or not canary.replicas == canary.current == ready == d.replicas:
        return f"{ready} of {d.replicas} canary pods are available"
    if [r.replicas for r in versions.stable if r.replicas] not in ([], [d.replicas]):
        return f"stable has {stable} pods rather than {d.replicas}"
    if available > d.replicas:
        return "stable has more pods than it should"
    if canary.min_ready != d.min_ready:
        return "minReadySeconds of the Deployment changed"
    return None


def begin(observed: Observed, versions: Versions, decision: Decision, now: float) -> Decision:
    """The first write, when 100 % has stood long enough."""
    problem = preconditions(observed, versions)
    if problem is not None:
        message = say(Reason.WAITING_FOR_STABLE, detail=problem)
        status = replace(decision.status, phase=Phase.PROGRESSING, reason=Reason.WAITING_FOR_STABLE, message=message)
        return replace(decision, status=status, requeue_after=_LOOK_AGAIN)
    if not observed.live:
        return replace(decision, needs_live=True)
    message = say(Reason.HANDOVER_STARTED, replicas=observed.deployment.replicas)
    status = replace(
        decision.status, phase=Phase.PROGRESSING, reason=Reason.HANDOVER_STARTED, message=message, handover_at=now
    )
    event = Emit(Reason.HANDOVER_STARTED, message)
    return replace(decision, status=status, actions=(*decision.actions, event, BeginHandover()))


def go_on(observed: Observed, versions: Versions, now: float) -> Decision:
    """What comes next while `handover` stands."""
    d, canary = observed.deployment, versions.canary
    status = replace(
        observed.status,
        phase=Phase.PROGRESSING,
        reason=Reason.HANDOVER_STARTED,
        message=say(Reason.HANDOVER_STARTED, replicas=d.replicas),
        handover_at=now if observed.status.handover_at is None else observed.status.handover_at,
        routes=(),
        routed=True,
    )
    if not d.held:
        return _heal(observed, versions, status, now)
    routes = split(observed, versions, Weight.FULL, (), leaving=True)
    look_again = Decision(status, (), routes, _LOOK_AGAIN)
    if not observed.live:
        return replace(look_again, needs_live=True)
    if canary is None:
        return replace(look_again, actions=(CancelHandover(),))
    if canary.hidden:
        if preconditions(observed, versions) is not None or abort.demanded(observed, status) is not None:
            return replace(look_again, actions=(CancelHandover(),))
        return replace(look_again, actions=(Relabel(canary.name),))
    if canary.replicas != d.replicas or canary.available < d.replicas:
        message = say(Reason.HANDOVER_CUT_SHORT)
        actions = (Emit(Reason.HANDOVER_CUT_SHORT, message, warning=True), Release(early=True))
        return Decision(status, actions, local(observed, versions, canary_stays=True), _LOOK_AGAIN)
    if canary.owned and not any(r.replicas for r in versions.stable):
        return replace(look_again, actions=(Release(early=False), *analysing.stop(observed)))
    return look_again


def _heal(observed: Observed, versions: Versions, status: Status, now: float) -> Decision:
    """After an early release: wait for the native update, but not for ever."""
    d = observed.deployment
    assert status.handover_at is not None
    left = status.handover_at + d.progress_deadline - now
    actions: tuple[Action, ...] = (EndHandover(d.complete),) if d.complete or left <= 0 else ()
    status = replace(status, reason=Reason.NATIVE_UPDATE, message=say(Reason.HANDOVER_CUT_SHORT))
    return Decision(status, actions, local(observed, versions, canary_stays=True), max(left, _LOOK_AGAIN))
