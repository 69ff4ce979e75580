"""How many canary pods there must be, and pods that came up without a sidecar.

Pure. Rules: the canary has ceil(replicas * weight / 100) pods for the largest weight among the one that is
aimed at, the one that was told and the one that was acknowledged: it grows before its weight rises,
and shrinks after that has fallen. Copies of requests are load as well, and a route needs a pod at its end.
A pod without a sidecar would take requests that nobody weighs: a canary's is deleted, a stable one evicted once
injection is seen to work again.
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


def wanted_at(step: int, observed: Observed, strategy: Strategy) -> int:
    """Canary pods that a step needs: for its weight, and for the routes that are in force."""
    return strategy.pods_at(step, observed.deployment.replicas)


def has_pods(target: Weight, observed: Observed, versions: Versions) -> bool:
    """Whether the canary has its pods for the weight `target`."""
    need = wanted(target, observed)
    return target == Weight.ZERO if need == 0 else has(need, versions)


def has_pods_at(step: int, observed: Observed, versions: Versions, strategy: Strategy) -> bool:
    """Whether the canary has its pods for a step."""
    enough = has(wanted_at(step, observed, strategy), versions)
    return enough and has_pods(strategy.weight_at(step), observed, versions)


def has(need: int, versions: Versions) -> bool:
    """Whether the canary has as many pods: available by its ReplicaSet's word, and ready with a sidecar by
    their own."""
    canary = versions.canary
    if need == 0:
        return True
    if canary is None or canary.replicas < need or canary.available < need:
        return False
    return len(targets(versions.canary_pods)) >= need


def canary_actions(
    observed: Observed, versions: Versions, status: Status, strategy: Strategy, *, synced: bool
) -> list[Action]:
    """Make the canary ReplicaSet, or bring it to its size. Until all sidecars are `synced` some may still follow the
    routes of the step before."""
    min_ready = observed.deployment.min_ready
    need = max(
        wanted_at(status.step, observed, strategy),
        wanted(max(status.weight, status.actual_weight), observed),
        0 if synced else strategy.pods_for_routes_at(status.step - 1, observed.deployment.replicas),
    )
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
