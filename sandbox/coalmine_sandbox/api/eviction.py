"""Eviction: a pod's deletion that a PodDisruptionBudget may refuse (registry/core/pod/storage/eviction.go)."""

from __future__ import annotations

from collections.abc import Callable

from coalmine.kube.resources import PODS, Object, labels_of
from coalmine_sandbox.api import errors, selectors
from coalmine_sandbox.api.call import Call
from coalmine_sandbox.api.deleting import Deleter, Options
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.kinds import BUDGETS
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.api.times import timestamp

_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


async def evict(store: Store, deleter: Deleter, call: Call, how: Options, clock: Callable[[], float]) -> Object:
    """Evict a pod that admission has let go. Raises StatusError: 429 when its budget does not allow it."""
    pod = store.get(PODS, call.namespace, call.name)
    if pod is None:
        raise errors.not_found("pods", call.name)
    if not _harmless(pod):
        budgets = [each for each in store.objects(BUDGETS, call.namespace) if _guards(each, pod)]
        if len(budgets) > 1:
            why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise StatusError(500, "InternalError", why)
        for budget in budgets:
            if _ready(pod) or not _spares(budget):
                _take(store, budget, call, clock)
    if not call.dry_run and not how.dry_run:
        _tell_why(store, call, how, clock)
        pod_now = store.get(PODS, call.namespace, call.name)
        if how.version and pod_now is not None:  # the condition moved it
            how = how._replace(version=pod_now["metadata"]["resourceVersion"])
    await deleter.delete(call, how, admitted=False)
    return _SUCCESS


def _harmless(pod: Object) -> bool:
    """Nothing is disrupted: it does not run, or is on its way out."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _guards(budget: Object, pod: Object) -> bool:
    selector = selectors.of_object((budget.get("spec") or {}).get("selector"))
    return selector is not None and selector.matches(labels_of(pod))


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _spares(budget: Object) -> bool:
    """An unready pod may go whatever else: it does not count."""
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    wanted = status.get("desiredHealthy", 0)
    return bool(wanted > 0 and status.get("currentHealthy", 0) >= wanted)


def _take(store: Store, budget: Object, call: Call, clock: Callable[[], float]) -> None:
    """Use up one of the disruptions that the budget allows."""
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed <= 0:
        wanted, now = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        why = f"The disruption budget {name} does not allow evicting pods currently"
        if now <= wanted:
            why = f"The disruption budget {name} needs {wanted} healthy pods and has {now} currently"
        raise _too_many(why)
    if call.dry_run:
        return
    disrupted = {**(status.get("disruptedPods") or {}), call.name: timestamp(clock())}
    changed = {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}
    store.put(BUDGETS, {**budget, "status": changed})


def _too_many(why: str, seconds: int = 0) -> StatusError:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return StatusError(429, "TooManyRequests", message, details)


def _tell_why(store: Store, call: Call, how: Options, clock: Callable[[], float]) -> None:
    """The pod's condition DisruptionTarget."""
    pod = store.get(PODS, call.namespace, call.name)
    if pod is None:
        raise errors.not_found("pods", call.name)
    about = pod["metadata"]
    if (how.uid and how.uid != about["uid"]) or (how.version and how.version != about["resourceVersion"]):
        raise errors.conflict("pods", call.name, "the precondition does not match the pod in record")
    status = pod.get("status") or {}
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastProbeTime": None,
        "lastTransitionTime": timestamp(clock()),
    }
    others = [c for c in status.get("conditions") or () if c["type"] != "DisruptionTarget"]
    if len(others) == len(status.get("conditions") or ()):
        store.put(PODS, {**pod, "status": {**status, "conditions": [*others, condition]}})
