"""The garbage collector's shell: watches everything, and deletes, orphans or lets go.

Before anything is deleted its references are looked up in the API server: the graph may lag behind. A deletion
holds only for the version whose references were looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from coalmine.kube.resources import EVENTS, Object, Resource, resource_version_of, uid_of
from coalmine.kube.verbs import ConflictError, NotFoundError, Verbs
from coalmine_sandbox.native.discovery import Served
from coalmine_sandbox.native.garbage.graph import FOREGROUND, ORPHAN, Graph, Node, Owner, node_of, owners_of
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.work import AgainError, Work

#: Own nothing worth collecting and come by the hundred (garbagecollector's DefaultIgnoredResources).
_IGNORED: Final = frozenset({EVENTS.kind})


class GarbageCollector:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers) -> None:
        self._api = api
        self._informers = informers
        self._graph = Graph()
        self._watched: set[Resource] = set()
        self._served = Served(api, informers, self._served_changed)
        self._work: Work[str] = Work("garbage", self._sync, workers=4)

    @property
    def served(self) -> Served:
        """What is served; `run` keeps it."""
        return self._served

    async def run(self) -> None:
        """Never returns."""
        await self._served.known.wait()
        await synced([self._informers.of(resource) for resource in self._watched])
        await self._work.run()

    # --- what it is told of --------------------------------------------------------------------

    def _served_changed(self) -> None:
        wanted = {each for each in self._served.resources if each.kind not in _IGNORED}
        for resource in wanted - self._watched:
            self._watched.add(resource)
            cache = self._informers.of(resource)
            cache.listen(self._listener(resource))
            for obj in list(cache.objects()):  # another controller's, which was there before
                self._add(self._graph.put(node_of(resource, obj)))
        for resource in self._watched - wanted:
            self._watched.discard(resource)
            self._informers.drop(resource)
            for node in self._graph.of(resource):
                self._add(self._graph.remove(node.uid))

    def _listener(self, resource: Resource) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if old is not None and (new is None or uid_of(new) != uid_of(old)):
                self._add(self._graph.remove(uid_of(old)))
            if new is not None:
                self._add(self._graph.put(node_of(resource, new)))

        return changed

    def _add(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self._work.add(uid)

    # --- one object ----------------------------------------------------------------------------

    async def _sync(self, uid: str) -> float | None:
        node = self._graph.get(uid)
        if node is None:
            return None
        if node.orphans_dependents:
            await self._orphan(node)
        elif node.deletes_dependents:
            await self._wait_for_dependents(node)
        elif not node.deleting and node.owners:
            await self._collect(node)
        return None

    async def _orphan(self, node: Node) -> None:
        for dependent in self._graph.dependents(node.uid):
            await self._drop_references(dependent, {node.uid})
        await self._remove_finalizer(node, ORPHAN)

    async def _wait_for_dependents(self, node: Node) -> None:
        dependents = self._graph.dependents(node.uid)
        blocking = [each for each in dependents if any(o.uid == node.uid and o.blocks for o in each.owners)]
        if not blocking:
            await self._remove_finalizer(node, FOREGROUND)
            return
        for each in blocking:
            if not each.deleting:
                self._work.add(each.uid)

    async def _collect(self, node: Node) -> None:
        """Delete an object whose owners are all gone or going; else let go of those."""
        if all(self._graph.is_solid(node, owner) for owner in node.owners):
            return
        latest = await self._latest(node)
        if latest is None:
            return
        owners = owners_of(latest)
        found: dict[str, list[Owner]] = {"solid": [], "dangling": [], "waiting": []}
        for owner in owners:
            found[await self._classify(node, owner)].append(owner)
        if found["solid"]:
            if gone := {owner.uid for owner in (*found["dangling"], *found["waiting"])}:
                await self._drop_references(node, gone)
            return
        if not owners:
            return
        dependents = self._graph.dependents(node.uid)
        if found["waiting"] and dependents:
            if any(each.deletes_dependents for each in dependents):
                await self._unblock(node)  # owners that wait for each other would wait for ever
                latest = await self._latest(node) or latest
            await self._delete(node, latest, "Foreground")
            return
        finalizers = latest["metadata"].get("finalizers") or ()
        propagation = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
        await self._delete(node, latest, propagation)

    async def _classify(self, node: Node, owner: Owner) -> str:
        """solid, dangling, or waiting for its dependents to go."""
        resource = self._served.of(owner.api_version, owner.kind)
        if resource is None:
            raise AgainError(f"{owner.api_version} {owner.kind} is not served")
        if resource.namespaced and not node.namespace:
            return "solid"  # an error of who wrote it, and no reason to delete anything
        found = await self._api.find(resource, node.namespace if resource.namespaced else None, owner.name)
        if found is None or uid_of(found) != owner.uid:
            return "dangling"
        metadata = found["metadata"]
        going = metadata.get("deletionTimestamp") and FOREGROUND in (metadata.get("finalizers") or ())
        return "waiting" if going else "solid"

    # --- writes --------------------------------------------------------------------------------

    async def _latest(self, node: Node) -> Object | None:
        """The object as it is, if it is still this one."""
        found = await self._api.find(node.resource, node.namespace or None, node.name)
        return found if found is not None and uid_of(found) == node.uid else None

    async def _delete(self, node: Node, latest: Object, propagation: str) -> None:
        try:
            await self._delete_version(node, resource_version_of(latest), propagation)
        except NotFoundError:
            return
        except ConflictError:
            now = await self._latest(node)
            if now is None:
                return
            if owners_of(now) != owners_of(latest):
                raise
            # it changed, but not its owners: changes that follow each other fast must not keep it
            await self._delete_version(node, "", propagation)

    async def _delete_version(self, node: Node, version: str, propagation: str) -> None:
        preconditions = {"uid": node.uid, **({"resourceVersion": version} if version else {})}
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": propagation,
        }
        await self._api.raw("DELETE", node.resource.path(node.namespace or None, node.name), options)

    async def _drop_references(self, node: Node, uids: set[str]) -> None:
        latest = await self._latest(node)
        if latest is None:
            return
        left = [each for each in latest["metadata"].get("ownerReferences") or () if each["uid"] not in uids]
        await self._patch_owners(node, latest, left)

    async def _unblock(self, node: Node) -> None:
        latest = await self._latest(node)
        if latest is not None:
            references = latest["metadata"].get("ownerReferences") or ()
            await self._patch_owners(node, latest, [{**each, "blockOwnerDeletion": False} for each in references])

    async def _patch_owners(self, node: Node, latest: Object, references: Sequence[Object]) -> None:
        metadata = {"resourceVersion": resource_version_of(latest), "ownerReferences": list(references) or None}
        await self._patch(node, metadata)

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        latest = await self._latest(node)
        if latest is None:
            return
        finalizers = latest["metadata"].get("finalizers") or []
        if finalizer in finalizers:
            left = [each for each in finalizers if each != finalizer]
            await self._patch(node, {"resourceVersion": resource_version_of(latest), "finalizers": left or None})

    async def _patch(self, node: Node, metadata: Object) -> None:
        try:
            await self._api.patch(node.resource, node.namespace or None, node.name, {"metadata": metadata})
        except NotFoundError:
            return
