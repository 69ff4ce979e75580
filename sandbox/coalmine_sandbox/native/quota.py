"""The ResourceQuota controller: what a namespace uses of what it may have. Source: pkg/controller/resourcequota.

That a new object stays within the quota is admission's to see; here it is counted anew when objects go.
Quotas with scopes count everything: scopes are not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Final

from coalmine.kube.cache import Key
from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Object,
    Resource,
    name_of,
    namespace_of,
)
from coalmine_sandbox.api.kinds import CLAIMS, JOBS, RESOURCE_QUOTAS
from coalmine_sandbox.api.schema.quantities import canonical
from coalmine_sandbox.api.times import seconds_of
from coalmine_sandbox.native.client import Api
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.pods import is_native_sidecar, is_terminal
from coalmine_sandbox.native.work import Work
from coalmine_sandbox.node import quantities

#: What is counted, by the names that a quota has for it (``count/...`` counts all objects, ended ones too).
_COUNTED: Final[Mapping[str, Resource]] = {
    "services": SERVICES,
    "secrets": SECRETS,
    "configmaps": CONFIG_MAPS,
    "persistentvolumeclaims": CLAIMS,
    "resourcequotas": RESOURCE_QUOTAS,
    "count/pods": PODS,
    "count/services": SERVICES,
    "count/secrets": SECRETS,
    "count/configmaps": CONFIG_MAPS,
    "count/serviceaccounts": SERVICE_ACCOUNTS,
    "count/persistentvolumeclaims": CLAIMS,
    "count/resourcequotas": RESOURCE_QUOTAS,
    "count/deployments.apps": DEPLOYMENTS,
    "count/replicasets.apps": REPLICA_SETS,
    "count/jobs.batch": JOBS,
}
_RESOURCES: Final = tuple(dict.fromkeys(_COUNTED.values()))
#: Names of what pods ask for; those without a prefix are requests.
_ASKED: Final = ("cpu", "memory", "ephemeral-storage")


def usage(hard: Iterable[str], objects: Mapping[Resource, list[Object]], now: float) -> dict[str, str]:
    """How much there is of each name in `hard` that can be counted. Pure."""
    pods = [pod for pod in objects[PODS] if _counts(pod, now)]
    found = {}
    for name in hard:
        kind, _, asked = name.rpartition(".")
        if name == "pods":
            found[name] = str(len(pods))
        elif name in _COUNTED:
            found[name] = str(len(objects[_COUNTED[name]]))
        elif asked in _ASKED and kind in ("", "requests", "limits"):
            total = sum((_asked(pod, kind or "requests", asked) for pod in pods), Fraction(0))
            found[name] = _text(total, asked)
    return found


def _counts(pod: Object, now: float) -> bool:
    """It has not ended, and is not one that should long have been gone."""
    if is_terminal(pod):
        return False
    metadata = pod["metadata"]
    deleted = seconds_of(metadata.get("deletionTimestamp"))  # that includes the grace period
    return deleted is None or metadata.get("deletionGracePeriodSeconds") is None or now <= deleted


def _asked(pod: Object, kind: str, name: str) -> Fraction:
    """Of one resource: the containers' and sidecars' together, or an init container's that is more."""

    def of(container: Object) -> Fraction:
        return quantities.parse(str(((container.get("resources") or {}).get(kind) or {}).get(name, "0")))

    beside = most = Fraction(0)
    for container in pod["spec"].get("initContainers") or ():
        if is_native_sidecar(container):
            beside += of(container)
            most = max(most, beside)
        else:
            most = max(most, beside + of(container))
    return max(most, beside + sum((of(c) for c in pod["spec"].get("containers") or ()), Fraction(0)))


def _text(amount: Fraction, name: str) -> str:
    if name == "cpu":
        return canonical(f"{-((-amount * 1000) // 1)}m")
    whole = -((-amount) // 1)
    return canonical(f"{whole // 1024}Ki") if whole and whole % 1024 == 0 else canonical(str(whole))


class ResourceQuotaController:
    """Call `run`."""

    def __init__(self, api: Api, informers: Informers, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._quotas = informers.of(RESOURCE_QUOTAS)
        self._caches = {resource: informers.of(resource) for resource in _RESOURCES}
        self._work: Work[Key] = Work("resourcequota", self._sync)
        self._quotas.listen(self._quota_changed)
        for resource, cache in self._caches.items():
            if resource != RESOURCE_QUOTAS:
                cache.listen(self._object_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._quotas, *self._caches.values()))
        await self._work.run()

    def _quota_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._work.add((namespace_of(new), name_of(new)))

    def _object_changed(self, old: Object | None, new: Object | None) -> None:
        """Something came or went, or a pod ended."""
        changed = new or old
        assert changed is not None
        if old is None or new is None or (is_terminal(new) and not is_terminal(old)):
            for quota in in_namespace(self._quotas, namespace_of(changed)):
                self._work.add((namespace_of(quota), name_of(quota)))

    async def _sync(self, key: Key) -> float | None:
        quota = self._quotas.get(*key)
        if quota is None:
            return None
        hard = (quota.get("spec") or {}).get("hard") or {}
        objects = {resource: list(in_namespace(cache, key[0])) for resource, cache in self._caches.items()}
        used = usage(hard, objects, self._clock())
        status = quota.get("status") or {}
        if (status.get("hard") or {}, status.get("used") or {}) != (hard, used):
            body = {**quota, "status": {"hard": hard, "used": used}}
            self._quotas.remember(await self._api.replace(RESOURCE_QUOTAS, key[0], body, "status"))
        return None
