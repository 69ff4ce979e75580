"""The ResourceQuota controller: what a namespace uses of what it may have. Source: pkg/controller/resourcequota.

That a new object stays within the quota is admission's to see; here it is counted anew when objects go, by the same
rules (`api.admission.usage`).
"""

from __future__ import annotations

from collections import defaultdict
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
from coalmine.kube.verbs import Verbs
from coalmine_sandbox.api.admission import usage
from coalmine_sandbox.api.kinds import CLAIMS, JOBS, RESOURCE_QUOTAS
from coalmine_sandbox.api.times import seconds_of
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.pods import is_terminal
from coalmine_sandbox.native.work import Work

#: What is counted.
_RESOURCES: Final = (
    PODS,
    SERVICES,
    SECRETS,
    CONFIG_MAPS,
    SERVICE_ACCOUNTS,
    CLAIMS,
    RESOURCE_QUOTAS,
    DEPLOYMENTS,
    REPLICA_SETS,
    JOBS,
)
#: Names that can be counted though there may be nothing that uses them.
_KNOWN: Final = frozenset(
    [
        *(name for resource in _RESOURCES for name in usage.of(resource, {"spec": {}})),
        *(f"{kind}{what}" for kind in ("", "requests.", "limits.") for what in ("cpu", "memory", "ephemeral-storage")),
        *("services.nodeports", "services.loadbalancers", "requests.storage"),
    ]
)


def used(quota: Object, objects: Mapping[Resource, Iterable[Object]], now: float) -> dict[str, str]:
    """How much there is of each name in the quota that can be counted. Pure."""
    spec = quota.get("spec") or {}
    sums: defaultdict[str, Fraction] = defaultdict(Fraction)
    for resource, each in ((resource, each) for resource, many in objects.items() for each in many):
        if not usage.in_scope(resource, each, spec.get("scopes") or ()):
            continue
        ended = resource == PODS and not _counts(each, now)
        for name, amount in usage.of(resource, each).items():
            if not ended or name.startswith("count/"):  # that counts all objects
                sums[name] += amount
    known = [name for name in spec.get("hard") or {} if name in _KNOWN or name in sums]
    return {name: usage.spelled(sums[name], binary=name.endswith(("memory", "storage"))) for name in known}


def _counts(pod: Object, now: float) -> bool:
    """It has not ended, and is not one that should long have been gone."""
    if is_terminal(pod):
        return False
    metadata = pod["metadata"]
    deleted = seconds_of(metadata.get("deletionTimestamp"))  # that includes the grace period
    return deleted is None or metadata.get("deletionGracePeriodSeconds") is None or now <= deleted


class ResourceQuotaController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, clock: Callable[[], float]) -> None:
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
        objects = {resource: in_namespace(cache, key[0]) for resource, cache in self._caches.items()}
        counted = used(quota, objects, self._clock())
        status = quota.get("status") or {}
        if (status.get("hard") or {}, status.get("used") or {}) != (hard, counted):
            body = {**quota, "status": {"hard": hard, "used": counted}}
            self._quotas.remember(await self._api.replace(RESOURCE_QUOTAS, key[0], body, "status"))
        return None
