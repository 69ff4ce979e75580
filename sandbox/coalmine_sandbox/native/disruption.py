"""The disruption controller: how many pods of a PodDisruptionBudget may be evicted.

Source: pkg/controller/disruption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from coalmine.kube.cache import Key
from coalmine.kube.resources import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Object,
    controller_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.kube.verbs import Verbs
from coalmine_sandbox.api.kinds import BUDGETS
from coalmine_sandbox.api.selectors import of_object
from coalmine_sandbox.api.times import seconds_of, timestamp
from coalmine_sandbox.native.deployment.sizes import replicas, scaled
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.pods import condition, is_ready
from coalmine_sandbox.native.work import Work

#: DeletionTimeout: an eviction that was allowed and then did not happen counts for as long.
_EVICTION_SECONDS: Final = 120.0
_ALLOWED: Final = "DisruptionAllowed"


class NoControllerError(Exception):
    """What the pods' controllers want is not known, so a share of it is not either."""


def expected(budget: Object, pods: list[Object], scales: Mapping[str, tuple[str, int] | None]) -> tuple[int, int]:
    """How many pods there are to be, and how many of them healthy. Pure.

    `scales` is, by the pod's uid, the uid of its controller, or of that one's Deployment, and how many pods it wants;
    None where nothing is known of the controller. Raises NoControllerError.
    """
    spec = budget.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if most is None and isinstance(least, int):
        return len(pods), least
    if most is None and least is None:
        return 0, 0
    controllers: dict[str, int] = {}
    for pod in pods:
        if controller_of(pod) is None:
            continue
        scale = scales.get(uid_of(pod))
        if scale is None:
            raise NoControllerError(f'found no controllers for pod "{name_of(pod)}"')
        controllers[scale[0]] = scale[1]
    count = sum(controllers.values())
    if most is not None:
        return count, max(0, count - scaled(most, count, round_up=True))
    return count, scaled(least, count, round_up=True)


def disrupted(budget: Object, pods: Iterable[Object], now: float) -> dict[str, str]:
    """The evictions under way that have not shown yet: pod name to time. Pure."""
    marked = (budget.get("status") or {}).get("disruptedPods") or {}
    found = {}
    for pod in pods:
        at = marked.get(name_of(pod))
        if at is not None and not is_deleting(pod) and (seconds_of(at) or 0.0) + _EVICTION_SECONDS >= now:
            found[name_of(pod)] = at
    return found


def status_of(budget: Object, pods: list[Object], count: int, wanted: int, now: float) -> Object:
    """The budget's status. Pure."""
    marked = disrupted(budget, pods, now)
    healthy = sum(is_ready(pod) and not is_deleting(pod) and name_of(pod) not in marked for pod in pods)
    allowed = max(0, healthy - wanted) if count > 0 else 0
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "disruptionsAllowed": allowed,
        "expectedPods": count,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }
    if marked:
        status["disruptedPods"] = marked
    told = ("True", "SufficientPods", "") if allowed else ("False", "InsufficientPods", "")
    return _with_condition(budget, status, told, now)


def failed_status(budget: Object, why: str, now: float) -> Object:
    """When it cannot be told what is expected, nothing may be evicted. Pure."""
    status = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
    for field in ("currentHealthy", "desiredHealthy", "expectedPods"):
        status.setdefault(field, 0)
    return _with_condition(budget, status, ("False", "SyncFailed", why), now)


def _with_condition(budget: Object, status: Object, told: tuple[str, str, str], now: float) -> Object:
    before = (budget.get("status") or {}).get("conditions") or []
    current = condition(budget, _ALLOWED) or {}
    at = current["lastTransitionTime"] if current.get("status") == told[0] else timestamp(now)
    wanted = {
        "type": _ALLOWED,
        "status": told[0],
        "reason": told[1],
        "message": told[2],
        "lastTransitionTime": at,
    }
    if generation := status.get("observedGeneration"):
        wanted["observedGeneration"] = generation
    return {**status, "conditions": [*(each for each in before if each["type"] != _ALLOWED), wanted]}


class DisruptionController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._api = api
        self._recorder = recorder
        self._clock = clock
        self._budgets = informers.of(BUDGETS)
        self._pods = informers.of(PODS)
        self._sets = informers.of(REPLICA_SETS)
        self._deployments = informers.of(DEPLOYMENTS)
        self._work: Work[Key] = Work("disruption", self._sync)
        self._budgets.listen(self._budget_changed)
        self._pods.listen(self._pod_changed)
        for cache in (self._sets, self._deployments):
            cache.listen(self._size_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._budgets, self._pods, self._sets, self._deployments))
        await self._work.run()

    def _budget_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._work.add((namespace_of(new), name_of(new)))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            if pod is not None:
                for budget in in_namespace(self._budgets, namespace_of(pod)):
                    if _selects(budget, pod):
                        self._work.add((namespace_of(budget), name_of(budget)))

    def _size_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        if old is None or new is None or replicas(old) != replicas(new):
            for budget in in_namespace(self._budgets, namespace_of(changed)):
                self._work.add((namespace_of(budget), name_of(budget)))

    async def _sync(self, key: Key) -> float | None:
        budget = self._budgets.get(*key)
        if budget is None:
            return None
        pods = [pod for pod in in_namespace(self._pods, key[0]) if _selects(budget, pod)]
        if not pods:
            self._recorder.normal(budget, "NoPods", "No matching pods found")
        now = self._clock()
        try:
            count, wanted = expected(budget, pods, {uid_of(pod): self._scale(pod) for pod in pods})
        except NoControllerError as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.warning(budget, "CalculateExpectedPodCountFailed", text)
            status = failed_status(budget, str(error), now)
        else:
            status = status_of(budget, pods, count, wanted, now)
        if status != budget.get("status"):
            answer = await self._api.replace(BUDGETS, key[0], {**budget, "status": status}, "status")
            self._budgets.remember(answer)
        marked = [seconds_of(at) or 0.0 for at in (status.get("disruptedPods") or {}).values()]
        return max(0.0, min(marked) + _EVICTION_SECONDS - now) + 1.0 if marked else None

    def _scale(self, pod: Object) -> tuple[str, int] | None:
        """What the pod's Deployment wants, or its ReplicaSet if that has none; None for any other controller."""
        owner = controller_of(pod)
        if owner is None or owner["kind"] != REPLICA_SETS.kind:
            return None
        replica_set = self._sets.get(namespace_of(pod), owner["name"])
        if replica_set is None:
            return None
        above = controller_of(replica_set)
        if above is None or above["kind"] != DEPLOYMENTS.kind:
            return uid_of(replica_set), replicas(replica_set)
        deployment = self._deployments.get(namespace_of(pod), above["name"])
        return (uid_of(deployment), replicas(deployment)) if deployment is not None else None


def _selects(budget: Object, pod: Object) -> bool:
    selector = of_object((budget.get("spec") or {}).get("selector"))
    return selector is not None and selector.matches(labels_of(pod))
