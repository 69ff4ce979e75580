"""How many canary pods there must be, and pods that came up without a sidecar.

Pure. Rules: the canary has ceil(replicas * weight / 100) pods for the largest weight among the one that is
aimed at, the one that was told and the one that was acknowledged: it grows before its weight rises,
and shrinks after that has fallen. A pod without a sidecar would take requests that nobody
weighs: a canary's is deleted, a stable one evicted once injection is seen to work again.
"""

from __future__ import annotations

from coalmine.model.rollout import Status
from coalmine.model.strategy import Strategy
from coalmine.model.weights import Weight
from coalmine_controller.actions import Action, CreateCanary, DeletePod, EvictPod, Hide, Reference, ScaleCanary
from coalmine_controller.observed import Observed, Pod
from coalmine_controller.versions import Versions, targets

#: Canary pods without a sidecar are deleted at most this often: while the webhook is down, each one that
#: comes up has none.
BARE_AGAIN = 10.0


def wanted(target: Weight, observed: Observed) -> int:
    """Canary pods for a weight: ceil(replicas * weight / 100)."""
    return target.of(observed.deployment.replicas)


def has_pods(target: Weight, observed: Observed, versions: Versions) -> bool:
    """Whether the canary has its pods for `target`: available by its ReplicaSet's word, and ready with a
    sidecar by their own."""
    need = wanted(target, observed)
    canary = versions.canary
    if need == 0:
        return target == Weight.ZERO
    if canary is None or canary.replicas < need or canary.available < need:
        return False
    return len(targets(versions.canary_pods)) >= need


def canary_actions(observed: Observed, versions: Versions, status: Status, strategy: Strategy) -> list[Action]:
    """Make the canary ReplicaSet, or bring it to its size."""
    min_ready = observed.deployment.min_ready
    aimed = strategy.weight_at(status.step)
    need = wanted(max(aimed, status.weight, status.actual_weight), observed)
    if versions.canary is None:
        if versions.older is not None:
            at_zero = not versions.older.replicas and not versions.older.current
            return [Hide(versions.older.name)] if at_zero else []
        return [CreateCanary(need)]
    if versions.canary.owned:
        return []  # just hidden: its Deployment has yet to release it
    actions: list[Action] = []
    if not versions.canary.referenced:
        actions.append(Reference(versions.canary.name))
    if versions.canary.replicas != need or versions.canary.min_ready != min_ready:
        actions.append(ScaleCanary(versions.canary.name, need, min_ready))
    return actions


def hide_from_scaling(observed: Observed, versions: Versions) -> list[Action]:
    """At 0 replicas, hide every older revision: scaled up, the native controller takes the newest ReplicaSet
    that it owns (deploymentutil.FindActiveOrLatest), which need not be the stable one."""
    d = observed.deployment
    if d.replicas:
        return []
    return [Hide(r.name) for r in versions.stable if r.fingerprint != d.stable and not r.replicas and not r.current]


def bare(pods: tuple[Pod, ...]) -> list[Pod]:
    """The pods without a sidecar, the oldest first."""
    return sorted((p for p in pods if p.injection is None), key=lambda p: (p.created, p.name))


def delete_bare(versions: Versions, status: Status, now: float) -> list[Action]:
    """Delete canary pods without a sidecar, unless some were deleted just now."""
    if status.bare_at is not None and now < status.bare_at + BARE_AGAIN:
        return []
    return [DeletePod(p.name) for p in bare(versions.canary_pods)]


def evict_bare(observed: Observed, versions: Versions) -> list[Action]:
    """Evict the oldest stable pod without a sidecar, when all others are ready, and when a younger pod has one."""
    found = bare(versions.stable_pods)
    if not found or not all(p.ready for p in versions.stable_pods):
        return []
    works_again = any(p.injection is not None and p.created > found[-1].created for p in observed.pods)
    return [EvictPod(found[0].name)] if works_again else []
