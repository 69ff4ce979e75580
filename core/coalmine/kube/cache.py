"""A local copy of one resource, kept up to date by list and watch.

Rules:
- List, then watch from the list's resourceVersion; list again on 410 and after any error, with
  backoff. A list that fails half-way changes nothing.
- Reads never go back in time for who writes: `remember` takes the API server's answer to a write,
  and an event that is older than what is known is dropped (resourceVersions of one
  resource are ordered numbers: KEP-5504).
- Who listens is told of the objects that changed, old and new; what changed is theirs to compare.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from coalmine.kube.client import ApiError, Client, GoneError
from coalmine.kube.resources import Object, Resource, name_of, namespace_of, uid_of

_log = logging.getLogger(__name__)

Key = tuple[str, str]
#: Told of an object before and after a change; None before it was made, and after it was deleted.
Listener = Callable[[Object | None, Object | None], None]

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0


class Cache:
    """Objects of `resource` (optionally only those that match `labels`) in all namespaces."""

    def __init__(self, client: Client, resource: Resource, *, labels: str = "") -> None:
        self._client = client
        self._resource = resource
        self._labels = labels
        self._objects: dict[Key, Object] = {}
        self._listeners: list[Listener] = []
        self._relisted: list[Callable[[], None]] = []
        self.synced = asyncio.Event()

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each change, from the task that runs `run`."""
        self._listeners.append(listener)

    def on_relist(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each list."""
        self._relisted.append(callback)

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def objects(self) -> Iterable[Object]:
        """All objects, in no order. Not to be written to."""
        return self._objects.values()

    def remember(self, obj: Object) -> None:
        """Take the API server's answer to a write of ours."""
        self._put(obj)

    def forget(self, namespace: str, name: str) -> None:
        """An object of ours that the API server says is gone."""
        old = self._objects.pop((namespace, name), None)
        if old is not None:
            self._tell(old, None)

    async def run(self) -> None:
        """List and watch for ever. Cancelled to end."""
        wait = _FIRST_WAIT
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._watch(version)
                    wait = _FIRST_WAIT
            except GoneError:
                _log.info("%s: the watch is too old, listing again", self._resource.plural)
            except ApiError as error:
                _log.warning("%s: %s; listing again in %.1f s", self._resource.plural, error, wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)

    async def _list(self) -> str:
        items, version = await self._client.list(self._resource, labels=self._labels)
        gone = set(self._objects) - {(namespace_of(o), name_of(o)) for o in items}
        for key in gone:
            self._tell(self._objects.pop(key), None)
        for item in items:
            self._put(item)
        self.synced.set()
        for callback in self._relisted:
            callback()
        return version

    async def _watch(self, version: str) -> str:
        async for event in self._client.watch(self._resource, None, version, labels=self._labels):
            version = str(event.object["metadata"].get("resourceVersion", version))
            if event.type == "BOOKMARK":
                continue
            if event.type == "DELETED":
                key = namespace_of(event.object), name_of(event.object)
                known = self._objects.get(key)
                if known is not None and uid_of(known) == uid_of(event.object):
                    del self._objects[key]
                    self._tell(known, None)
            else:
                self._put(event.object)
        return version

    def _put(self, obj: Object) -> None:
        key = namespace_of(obj), name_of(obj)
        old = self._objects.get(key)
        if old is not None and uid_of(old) == uid_of(obj) and not _newer(obj, old):
            return
        obj.setdefault("apiVersion", self._resource.api_version)
        obj.setdefault("kind", self._resource.kind)
        self._objects[key] = obj
        self._tell(old, obj)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for listener in self._listeners:
            listener(old, new)


def _newer(obj: Object, than: Object) -> bool:
    new, old = obj["metadata"].get("resourceVersion", ""), than["metadata"].get("resourceVersion", "")
    if new.isdigit() and old.isdigit():
        return int(new) > int(old)
    return bool(new != old)
