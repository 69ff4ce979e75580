"""An API server in memory with the methods of `Client`: it stores objects, counts resourceVersions,
refuses what is out of date, and tells watchers.

It knows merge patches, the strategic patch of conditions, the status subresource and evictions.
`before` is called ahead of each request with its verb and path, and may raise, wait or change the world.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from coalmine.kube.resources import Object, Resource, labels_of, name_of, namespace_of, uid_of
from coalmine.kube.verbs import MERGE, STRATEGIC, ApiError, ConflictError, Event, NotFoundError, api_error

Hook = Callable[[str, str], Any]


class MemoryCluster:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.version = 100
        self.before: Hook = lambda verb, path: None
        self.requests: list[tuple[str, str]] = []
        self._watchers: list[tuple[Resource, str, asyncio.Queue[Event]]] = []
        self._past: list[tuple[str, int, Event]] = []

    # --- what a test does ---------------------------------------------------------------------

    def put(self, resource: Resource, obj: Mapping[str, Any]) -> Object:
        """Store an object as somebody else would."""
        obj = copy.deepcopy(dict(obj))
        key = (resource.plural, namespace_of(obj), name_of(obj))
        old = self.objects.get(key)
        self.version += 1
        metadata = obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.version)}
        metadata.setdefault("uid", uid_of(old) if old else f"uid-{self.version}")
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        obj.setdefault("apiVersion", resource.api_version)
        obj.setdefault("kind", resource.kind)
        self.objects[key] = obj
        self._tell(resource, Event("MODIFIED" if old else "ADDED", copy.deepcopy(obj)))
        return copy.deepcopy(obj)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        gone = self.objects.pop((resource.plural, namespace, name))
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(resource, Event("DELETED", gone))

    def stored(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.objects.get((resource.plural, namespace, name))

    def all(self, resource: Resource) -> list[Object]:
        return [o for (plural, _, _), o in self.objects.items() if plural == resource.plural]

    def count(self, verb: str, plural: str) -> int:
        return sum(v == verb and f"/{plural}" in p for v, p in self.requests)

    # --- the methods of Client ----------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> Object:
        await self._request("GET", resource.path(namespace, name, subresource))
        return copy.deepcopy(self._at(resource, namespace, name))

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        try:
            return await self.get(resource, namespace, name)
        except NotFoundError:
            return None

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[list[Object], str]:
        await self._request("LIST", resource.path(namespace))
        found = [
            copy.deepcopy(o)
            for (plural, space, _), o in self.objects.items()
            if plural == resource.plural and namespace in (None, space) and _matches(o, labels)
        ]
        return found, str(self.version)

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        await self._request("WATCH", resource.path(namespace))
        queue: asyncio.Queue[Event] = asyncio.Queue()
        for plural, version, event in self._past:
            if plural == resource.plural and version > int(resource_version):
                queue.put_nowait(event)
        self._watchers.append((resource, labels, queue))
        try:
            while True:
                async with asyncio.timeout(240):
                    event = await queue.get()
                if _matches(event.object, labels):
                    yield event
                elif event.type == "MODIFIED":  # it went out of sight
                    yield Event("DELETED", event.object)
        except TimeoutError:
            return
        finally:
            self._watchers.remove((resource, labels, queue))

    async def create(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        name = str(obj["metadata"]["name"])
        await self._request("POST", resource.path(namespace, name if subresource else None, subresource))
        if subresource == "eviction":
            self._at(resource, namespace, name)
            self.remove(resource, namespace or "", name)
            return {}
        if self.stored(resource, namespace or "", name) is not None:
            raise ConflictError(409, "AlreadyExists", f"{resource.plural} {name} already exists")
        if "resourceVersion" in obj["metadata"]:
            raise api_error(422, {"message": "resourceVersion should not be set on objects to be created"})
        return self.put(resource, obj)

    async def replace(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        name = str(obj["metadata"]["name"])
        await self._request("PUT", resource.path(namespace, name, subresource))
        old = self._at(resource, namespace, name)
        self._check(old, obj["metadata"].get("resourceVersion"), obj["metadata"].get("uid"))
        if subresource == "status":
            return self._write(resource, old, {**old, "status": obj["status"]})
        kept = {"status": old["status"]} if "status" in old else {}
        return self._write(resource, old, {**obj, **kept})

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Any,
        subresource: str | None = None,
        *,
        kind: str = MERGE,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        await self._request("PATCH", resource.path(namespace, name, subresource))
        old = self._at(resource, namespace, name)
        self._check(old, (patch.get("metadata") or {}).get("resourceVersion"), None)
        patch = copy.deepcopy(patch)
        if kind == STRATEGIC and "conditions" in (patch.get("status") or {}):
            new = patch["status"]["conditions"]
            stands = (old.get("status") or {}).get("conditions") or []
            types = {c["type"] for c in new}
            patch["status"]["conditions"] = [*(c for c in stands if c["type"] not in types), *new]
        of_status = subresource == "status"
        return self._write(resource, old, _merge(old, {k: v for k, v in patch.items() if (k == "status") is of_status}))

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> None:
        await self._request("DELETE", resource.path(namespace, name))
        old = self.stored(resource, namespace or "", name)
        if old is None:
            return
        self._check(old, None, uid)
        self.remove(resource, namespace or "", name)

    # --- inside -------------------------------------------------------------------------------

    async def _request(self, verb: str, path: str) -> None:
        self.requests.append((verb, path))
        outcome = self.before(verb, path)
        if inspect.isawaitable(outcome):
            await outcome
        await asyncio.sleep(0)

    def _at(self, resource: Resource, namespace: str | None, name: str) -> Object:
        found = self.stored(resource, namespace or "", name)
        if found is None:
            raise NotFoundError(404, "NotFound", f"{resource.plural} {name} not found")
        return found

    def _check(self, old: Object, version: str | None, uid: str | None) -> None:
        if version not in (None, old["metadata"]["resourceVersion"]):
            raise ConflictError(409, "Conflict", "the object has been modified")
        if uid not in (None, uid_of(old)):
            raise ConflictError(409, "Conflict", "the uid is another one")

    def _write(self, resource: Resource, old: Object, new: Object) -> Object:
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}}
        if new == old:
            return copy.deepcopy(old)  # a write that changes nothing has no event
        return self.put(resource, new)

    def _tell(self, resource: Resource, event: Event) -> None:
        self._past.append((resource.plural, self.version, event))
        for watched, _, queue in self._watchers:
            if watched.plural == resource.plural:
                queue.put_nowait(event)


def _matches(obj: Object, labels: str) -> bool:
    key, _, value = labels.partition("=")
    return not labels or labels_of(obj).get(key) == value


def _merge(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def unreachable() -> ApiError:
    return ApiError(0, "Unreachable", "the API server cannot be reached")
