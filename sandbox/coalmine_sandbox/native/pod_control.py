"""Making and deleting the pods of a controller (ReplicaSet, Job), once each.

What was made is remembered at once, and a pod that was deleted is awaited until it shows it: as long
as one is, its owner is not `settled` and nothing more is made or deleted (client-go's expectations).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from coalmine.kube.cache import Cache
from coalmine.kube.resources import PODS, Object, name_of, namespace_of, uid_of
from coalmine.kube.verbs import ApiError, Verbs
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.owners import controller_reference, is_deleting
from coalmine_sandbox.native.work import namespace_ends

#: BurstReplicas: at most so many pods of one owner are made or deleted in one look.
BURST: Final = 500
#: A DNS subdomain's length: a dash follows the owner's name where there is room for one.
_LONGEST_PREFIX: Final = 253


class PodControl:
    """Pods of one kind of owner."""

    def __init__(self, api: Verbs, pods: Cache, recorder: Recorder) -> None:
        self._api = api
        self._pods = pods
        self._recorder = recorder
        #: By uid of the owner: pods that were deleted and do not show it yet, by name.
        self._awaited: dict[str, dict[str, str]] = {}

    def forget(self, owner: Object) -> None:
        """The owner is gone."""
        self._awaited.pop(uid_of(owner), None)

    def settled(self, owner: Object) -> bool:
        """Every pod of the owner that was deleted shows it, or has gone."""
        awaited = self._awaited.get(uid_of(owner), {})
        for name, uid in list(awaited.items()):
            pod = self._pods.get(namespace_of(owner), name)
            if pod is None or uid_of(pod) != uid or is_deleting(pod):
                del awaited[name]
        return not awaited

    async def create(self, owner: Object, count: int) -> ApiError | None:
        """Make `count` pods of the owner's template, or as many as may be made. The first refusal."""
        return await slow_start(min(count, BURST), lambda: self._create(owner))

    async def delete(self, owner: Object, pods: Iterable[Object]) -> ApiError | None:
        """Delete pods. The first refusal."""
        errors = await asyncio.gather(*(self._delete(owner, pod) for pod in pods))
        return next((error for error in errors if error is not None), None)

    async def _create(self, owner: Object) -> ApiError | None:
        try:
            pod = await self._api.create(PODS, namespace_of(owner), pod_of(owner))
        except ApiError as error:
            if namespace_ends(error):
                return None
            self._recorder.warning(owner, "FailedCreate", f"Error creating: {error.message}")
            return error
        self._pods.remember(pod)
        self._recorder.normal(owner, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return None

    async def _delete(self, owner: Object, pod: Object) -> ApiError | None:
        awaited = self._awaited.setdefault(uid_of(owner), {})
        awaited[name_of(pod)] = uid_of(pod)
        try:
            await self._api.delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        except ApiError as error:
            awaited.pop(name_of(pod), None)
            if error.status in (404, 409):  # it is gone, and another one may have its name
                return None
            self._recorder.warning(owner, "FailedDelete", f"Error deleting: {error.message}")
            return error
        self._recorder.normal(owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return None


async def slow_start(count: int, create: Callable[[], Awaitable[ApiError | None]]) -> ApiError | None:
    """Call `create` `count` times in batches of 1, 2, 4, ...; none follows a batch in which one failed.

    So a quota that refuses them all is asked once, not a hundred times. The first failure, if any.
    """
    size = min(1, count)
    while size > 0:
        errors = await asyncio.gather(*(create() for _ in range(size)))
        for error in errors:
            if error is not None:
                return error
        count -= size
        size = min(2 * size, count)
    return None


def pod_of(owner: Object) -> Object:
    """A pod of the owner's template (GetPodFromTemplate)."""
    template = owner["spec"]["template"]
    metadata: dict[str, Any] = {"ownerReferences": [controller_reference(owner)]}
    for key in ("labels", "annotations", "finalizers"):
        if found := (template.get("metadata") or {}).get(key):
            metadata[key] = copy.deepcopy(found)
    name = name_of(owner)
    metadata["generateName"] = f"{name}-" if len(name) < _LONGEST_PREFIX else name
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": metadata,
        "spec": copy.deepcopy(template["spec"]),
    }
