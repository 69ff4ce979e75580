"""Canary ReplicaSets that were left behind: aborted, superseded, or of a Deployment that was made anew.

Pure. Rules: requests go away from them first, acknowledged by every sidecar that counts; their
pods fail their readiness, so that the Service sends nothing new; only then are they
scaled to 0, and at 0 deleted, or, where they were an older revision, given back.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.model.rollout import Status
from coalmine_controller.actions import Action, DeleteReplicaSet, ReturnReplicaSet, ScaleCanary
from coalmine_controller.decision import Decision
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.versions import Versions

#: A left-over pod that cannot be told to drain (its sidecar is dead) is ended after this long.
PATIENCE = 30.0


def drained(pods: tuple[Pod, ...], status: Status, *, synced: bool, now: float) -> bool:
    """Whether nothing is sent to `pods` any more, as far as can be known."""
    since = status.withdrawn_at if status.withdrawn_at is not None else now
    return (synced and not any(p.ready for p in pods)) or now >= since + PATIENCE


def sweep(observed: Observed, versions: Versions, status: Status, *, synced: bool, now: float) -> Decision:
    """The next action for each left-over ReplicaSet, and the status that remembers since when."""
    if not versions.leftovers:
        return Decision(status)
    if status.withdrawn_at is None:
        status = replace(status, withdrawn_at=now)
    actions: list[Action] = []
    may_scale = drained(versions.leftover_pods, status, synced=synced, now=now)
    for left in versions.leftovers:
        if left.replicas:
            if may_scale:
                actions.append(ScaleCanary(left.name, 0, left.min_ready))
        elif not left.current and (observed.deployment.replicas or not left.returnable):
            # at 0 replicas an older revision stays hidden: see `sizing.hide_from_scaling`
            actions.append(ReturnReplicaSet(left.name) if left.returnable else DeleteReplicaSet(left.name))
    return Decision(status, tuple(actions), requeue_after=1.0)
