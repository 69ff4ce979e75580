"""The namespace controller: a namespace that ends takes everything in it along, and then goes itself.

Source: pkg/controller/namespace/deletion. Pods go first; what has a finalizer of its own is waited for.
"""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import NAMESPACES, PODS, Object, Resource, name_of, uid_of
from coalmine.kube.verbs import ApiError, Verbs
from coalmine_sandbox.native.discovery import discover
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.work import Work

_FINALIZER: Final = "kubernetes"
#: Seconds until what is left of a namespace is looked for again. (The real one waits for as long as the
#: longest grace period of its pods; here somebody is watching.)
_AGAIN: Final = 0.5


class NamespaceController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers) -> None:
        self._api = api
        self._namespaces = informers.of(NAMESPACES)
        self._work: Work[str] = Work("namespace", self._sync)
        self._namespaces.listen(self._changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._namespaces,))
        await self._work.run()

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and is_deleting(new):
            self._work.add(name_of(new))

    async def _sync(self, name: str) -> float | None:
        namespace = self._namespaces.get("", name)
        if namespace is None or not is_deleting(namespace):
            return None
        if (namespace.get("status") or {}).get("phase") != "Terminating":
            changed = {**namespace, "status": {**(namespace.get("status") or {}), "phase": "Terminating"}}
            namespace = await self._api.replace(NAMESPACES, None, changed, "status")
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if _FINALIZER not in finalizers:
            return None
        if await self._empty(name):
            spec = {**(namespace.get("spec") or {}), "finalizers": [f for f in finalizers if f != _FINALIZER]}
            await self._api.replace(NAMESPACES, None, {**namespace, "spec": spec}, "finalize")
            return None
        return _AGAIN

    async def _empty(self, namespace: str) -> bool:
        """Delete what is in the namespace; whether there was nothing left."""
        left = 0
        resources = [each for each in await discover(self._api) if each.namespaced]
        for resource in sorted(resources, key=lambda r: r != PODS):
            left += await self._delete_all(resource, namespace)
            if resource == PODS and left:  # they may want to read their Secrets and Services to the end
                return False
        return left == 0

    async def _delete_all(self, resource: Resource, namespace: str) -> int:
        """How many objects are left, on their way out or not."""
        items, _ = await self._api.list(resource, namespace)
        for each in items:
            if is_deleting(each):
                continue
            try:
                await self._api.delete(resource, namespace, name_of(each), uid=uid_of(each))
            except ApiError as error:
                if error.status not in (404, 409):  # gone, or made anew: seen with the next look
                    raise
        if not items:
            return 0
        return len((await self._api.list(resource, namespace))[0])
