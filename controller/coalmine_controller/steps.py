"""The steps of a strategy, from the first canary pod to the eve of the handover.

Pure. Rules:
- A weight is granted only when the canary has the pods for it, available, and when every sidecar
  that counts has acknowledged the weight before. It stands until the next one is granted.
- A ``setWeight`` is done when all have acknowledged it; a ``pause`` when its time is over or a
  person promotes. Behind the last step the weight is 100 %.
- Routes follow from the step alone: those that the steps up to it have set, as far as the canary pods that are
  ready can carry them. A step that sets or takes away one is done when the canary has its pods and all
  have acknowledged it; none is done while a route that is in force cannot be told. Behind the last step its routes
  stay until 100 % is granted, so that nobody who was sent to the canary falls back while its pods come up.
- Progress is a step done, a weight granted, or more canary pods available than ever before in
  this attempt: a pod that crashes and comes back is none.
- What has been reached is noted before the deadline is judged.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Phase, Status
from coalmine.model.route_steps import NO_ROUTES, InForce, SetHeaderRoute, SetMirrorRoute
from coalmine.model.strategy import Pause, Strategy
from coalmine.model.weights import Weight
from coalmine_controller import abort, analysing, explain, handover, sizing
from coalmine_controller.actions import Action, CreateCanary, DeletePod, Emit, Hide
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed
from coalmine_controller.routing import Routes, carried, control_uids, outdated, split, told_routes, unsynced
from coalmine_controller.sweep import sweep
from coalmine_controller.versions import Versions


def go_on(observed: Observed, versions: Versions, now: float) -> Decision:
    """One look at a held template that was not aborted."""
    strategy = observed.deployment.strategy
    assert isinstance(strategy, Strategy)
    since = observed.status.withdrawn_at if versions.leftovers else None
    status = replace(observed.status, steps=len(strategy.steps), withdrawn_at=since)
    if observed.first:  # time in which no controller worked is no lack of progress
        status = replace(status, waiting=False)
    status = _promoted(status, observed, strategy, now)

    reason = abort.demanded(observed, status)
    if reason is not None:
        return abort.begin(replace(observed, status=status), versions, now, *reason)

    status = _note_pods(status, versions, now)
    walk = _Walk(observed, versions, strategy, status, now)
    walk.on()
    status, routes, lagging = walk.status, walk.routes, walk.lagging
    status, analysis = analysing.go_on(observed, versions, status, strategy, synced=lagging is None)
    older = outdated(observed, routes)
    status, requeue = explain.told(observed, versions, status, strategy, lagging, older, walk.told, now)

    reason = abort.overdue(observed, status, now)
    if reason is not None and strategy.progress_deadline_abort:
        return abort.begin(replace(observed, status=status), versions, now, *reason)
    if reason is not None:
        status = replace(status, phase=Phase.DEGRADED, reason=reason[0], message=reason[1])

    pods = [
        *sizing.canary_actions(observed, versions, status, strategy, synced=lagging is None),
        *sizing.delete_bare(versions, status, now),
        *sizing.evict_bare(observed, versions),
        *sizing.hide_from_scaling(observed, versions),
    ]
    if any(isinstance(a, DeletePod) for a in pods):
        status = replace(status, bare_at=now)
    swept = sweep(observed, versions, status, synced=lagging is None, now=now)
    waits = [requeue, swept.requeue_after, abort.deadline_left(observed, status, now)]
    if sizing.bare(versions.canary_pods):
        waits.append(sizing.BARE_AGAIN)
    decision = Decision(
        swept.status,
        (*walk.events, *pods, *analysis, *swept.actions),
        routes,
        # a moment that has passed is nothing to wait for: asked for again at once, for ever, it was with
        # progressDeadlineAbort false
        _soonest(*(t for t in waits if t is not None and t > 0)),
        # whether an older revision has this template must not be read from a cache that lags
        needs_live=not observed.live and any(isinstance(a, CreateCanary | Hide) for a in pods),
    )
    stopped = explain.is_paused(observed, status) or explain.obstacle(observed, versions, status) is not None
    if status.full_at is None or stopped or lagging is not None or walk.told != Weight.FULL:
        return decision
    left = status.full_at + strategy.scale_down_delay - now
    if left > 0:
        return replace(decision, requeue_after=_soonest(decision.requeue_after, left))
    return handover.begin(observed, versions, decision, now)


def blocked(observed: Observed, versions: Versions, reason: Reason, message: str, phase: Phase) -> Decision:
    """Nothing moves: the weight stands as it is until a person mends what is wrong."""
    d, status = observed.deployment, observed.status
    begun = status.canary is not None and status.canary.fingerprint == d.fingerprint
    weight = status.weight if begun else Weight.ZERO
    status = replace(status, phase=phase, reason=reason, message=message, waiting=False, routes=())
    return Decision(status, (), split(observed, versions, weight, status.control))


class _Walk:
    """As many steps as can be taken in one look, and the routing that then holds."""

    def __init__(self, observed: Observed, versions: Versions, strategy: Strategy, status: Status, now: float) -> None:
        self._observed = observed
        self._versions = versions
        self._strategy = strategy
        self._now = now
        self.status = status
        self.events: list[Action] = []
        self._route()

    def _route(self) -> None:
        """The routing of the granted weight, or of the part of it that can be carried."""
        self.told = carried(self._observed, self._versions, self.status.weight)
        control = control_uids(self._observed, self._versions, self.told, self.status.control)
        in_force = self._in_force()
        told = told_routes(self._observed, self._versions, self.told, in_force)
        self._all_told = told == in_force
        self.status = replace(self.status, control=control, routes=told.names)
        leaving = self.status.full_at is not None and self.told == Weight.FULL
        self.routes: Routes = split(self._observed, self._versions, self.told, control, told=told, leaving=leaving)
        self.lagging = unsynced(self._observed, self.routes)

    def _in_force(self) -> InForce:
        """The routes of the current step. A full promotion ends them, and 100 % behind the last step."""
        status = self.status
        behind = status.step >= len(self._strategy.steps)
        if behind and (status.full_promotion or status.weight == Weight.FULL):
            return NO_ROUTES
        return self._strategy.routes_at(status.step)

    def on(self) -> None:
        """Go on until something must be waited for."""
        stopped = (
            explain.is_paused(self._observed, self.status)
            or explain.obstacle(self._observed, self._versions, self.status) is not None
        )
        if self.lagging is None and self.told < self.status.weight:
            self.status = replace(self.status, actual_weight=self.told)
        for _ in range(len(self._strategy.steps) + 1):  # each turn completes a step
            if stopped or not self._reach() or not self._step():
                break
        full = self.status.step >= len(self._strategy.steps) and self.status.actual_weight == Weight.FULL
        if full and self.lagging is None and self.status.full_at is None:
            self.status = replace(self.status, full_at=self._now)
            self._route()
        elif self.status.full_at is not None and not full:
            self.status = replace(self.status, full_at=None)

    def _reach(self) -> bool:
        """Grant the weight of the current step if it is time; whether it is acknowledged."""
        target = self._strategy.weight_at(self.status.step)
        status = self.status
        if status.weight != target and self.lagging is None and self._may_have(target):
            self.status = replace(status, weight=target, progressed_at=self._now, routed=True)
            self._route()
        if self.status.weight != target or self.lagging is not None or self.told != target:
            return False
        if self.status.actual_weight != target:
            self.status = replace(self.status, actual_weight=target, progressed_at=self._now)
            count = explain.counting(self._versions)
            self.events.append(Emit(Reason.WEIGHT_SET, say(Reason.WEIGHT_SET, weight=target, count=count)))
        return self._all_told

    def _may_have(self, target: Weight) -> bool:
        less = target < self.status.weight
        return less or sizing.has_pods_at(self.status.step, self._observed, self._versions, self._strategy)

    def _step(self) -> bool:
        """Complete the current step if it is done."""
        status, steps = self.status, self._strategy.steps
        if status.step >= len(steps):
            return False
        step = steps[status.step]
        if isinstance(step, Pause):
            if step.duration is None or status.step_started_at is None:
                return False
            if self._now < status.step_started_at + step.duration:
                return False
        elif not sizing.has_pods_at(status.step, self._observed, self._versions, self._strategy):
            return False
        if isinstance(step, SetHeaderRoute | SetMirrorRoute) and step.routes:
            older = outdated(self._observed, self.routes)
            if older is not None:
                message = say(Reason.SIDECAR_OUTDATED, pod=older[0].name, what=older[1])
                self.events.append(Emit(Reason.SIDECAR_OUTDATED, message, warning=True))
        before = self._in_force()
        self.status = replace(status, step=status.step + 1, step_started_at=self._now, progressed_at=self._now)
        done = say(Reason.STEP_COMPLETED, step=self.status.step, steps=len(steps))
        self.events.append(Emit(Reason.STEP_COMPLETED, done))
        if self._in_force() != before:
            self._route()
        return True


def _promoted(status: Status, observed: Observed, strategy: Strategy, now: float) -> Status:
    """Take a promotion into account: it ends the current step, or all of them."""
    promote = observed.wishes.promote
    if promote is None or promote.wish != explain.wish_of(status):
        return status
    if promote.full and not status.full_promotion:
        last = len(strategy.steps)
        return replace(status, full_promotion=True, step=last, step_started_at=now, progressed_at=now)
    if not promote.full and promote.step == status.step < len(strategy.steps):
        status = analysing.passed(observed, status)
        return replace(status, step=status.step + 1, step_started_at=now, progressed_at=now)
    return status


def _note_pods(status: Status, versions: Versions, now: float) -> Status:
    available = versions.canary.available if versions.canary else 0
    if available > status.best_available:
        return replace(status, best_available=available, progressed_at=now)
    return status


def _soonest(*moments: float | None) -> float | None:
    return min((m for m in moments if m is not None), default=None)
