"""A local copy of one resource, kept up to date by list and watch.

Rules:
- List, then watch from the list's resourceVersion; list again on 410 and after any error, with
  backoff. A list that fails half-way changes nothing. A server that ends each watch at once is not
  asked in a loop either.
- Reads never go back in time for who writes: `remember` takes the API server's answer to a write,
  and what is older than what is known is dropped, be it an event, an answer or a list
  (resourceVersions of one resource are ordered numbers: KEP-5504). That an object was deleted
  is known, too: the answer to a write may come in after the event of the deletion behind it.
- Objects are kept without their managedFields, which are a third of each and nobody's here. (A write without them
  leaves them as they are: structured-merge-diff's fieldmanager takes the stored ones then.) `keep` leaves out more
  (of metadata nothing), where an owner needs a part only and never writes whole objects back.
- Who listens is told of the objects that changed, old and new; what changed is theirs to compare.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from coalmine.kube.resources import Object, Resource, name_of, namespace_of, resource_version_of, uid_of
from coalmine.kube.verbs import ApiError, GoneError, Verbs

_log = logging.getLogger(__name__)

Key = tuple[str, str]
#: Told of an object before and after a change; None before it was made, and after it was deleted.
Listener = Callable[[Object | None, Object | None], None]

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0
#: A watch that the server ends sooner than this is not to be opened again at once.
_SHORT_WATCH = 1.0
#: Deletions that are remembered: an answer to a write is out for seconds at most.
_DELETIONS = 4096


class Cache:
    """Objects of `resource` (with `labels` only those that match) in all namespaces; of each, what `keep` gives."""

    def __init__(
        self, client: Verbs, resource: Resource, *, labels: str = "", keep: Callable[[Object], Object] = lambda obj: obj
    ) -> None:
        self._client = client
        self._resource = resource
        self._labels = labels
        self._keep = keep
        self._objects: dict[Key, Object] = {}
        self._deleted: dict[str, str] = {}  # the resourceVersion by uid, the oldest first
        self._listeners: list[Listener] = []
        self._relisted: list[Callable[[], None]] = []
        self._wait = _FIRST_WAIT
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

    async def run(self) -> None:
        """List and watch for ever. Cancelled to end."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                version = await self._list()
                while True:
                    began = clock()
                    version = await self._watch(version)
                    if clock() < began + _SHORT_WATCH:
                        await self._pause()
            except GoneError:
                _log.info("%s: the watch is too old, listing again", self._resource.plural)
                await self._pause()
            except ApiError as error:
                _log.warning("%s: %s; listing again in %.1f s", self._resource.plural, error, self._wait)
                await self._pause()

    async def _pause(self) -> None:
        """Wait, and longer the next time; an event ends that."""
        wait, self._wait = self._wait, min(self._wait * 2, _LONGEST_WAIT)
        await asyncio.sleep(wait)

    async def _list(self) -> str:
        items, version = await self._client.list(self._resource, labels=self._labels)
        for key in set(self._objects) - {(namespace_of(o), name_of(o)) for o in items}:
            known = resource_version_of(self._objects[key])
            if not version.isdecimal() or not _later(known, version):  # else it was made while we listed
                self._drop(key, version)
        for item in items:
            self._put(item)
        self.synced.set()
        for callback in self._relisted:
            callback()
        return version

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; returns where the next one begins."""
        async for event in self._client.watch(self._resource, None, version, labels=self._labels):
            self._wait = _FIRST_WAIT
            version = str(event.object["metadata"].get("resourceVersion", version))
            if event.type == "BOOKMARK":
                continue
            if event.type == "DELETED":
                key = namespace_of(event.object), name_of(event.object)
                known = self._objects.get(key)
                if known is not None and uid_of(known) == uid_of(event.object):
                    self._drop(key, version)
                else:
                    self._bury(uid_of(event.object), version)
            else:
                self._put(event.object)
        return version

    def _put(self, obj: Object) -> None:
        key = namespace_of(obj), name_of(obj)
        old = self._objects.get(key)
        version = resource_version_of(obj)
        if old is not None and not _later(version, resource_version_of(old)):
            return
        if uid_of(obj) in self._deleted and not _later(version, self._deleted[uid_of(obj)]):
            return
        metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
        obj = {"apiVersion": self._resource.api_version, "kind": self._resource.kind, **obj, "metadata": metadata}
        obj = self._keep(obj)
        self._objects[key] = obj
        self._tell(old, obj)

    def _drop(self, key: Key, version: str) -> None:
        """It was deleted, or no longer matches `labels`, at `version`."""
        old = self._objects.pop(key)
        self._bury(uid_of(old), version)
        self._tell(old, None)

    def _bury(self, uid: str, version: str) -> None:
        self._deleted.pop(uid, None)
        if uid:
            self._deleted[uid] = version
        while len(self._deleted) > _DELETIONS:
            del self._deleted[next(iter(self._deleted))]

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for listener in self._listeners:
            listener(old, new)


def _later(version: str, than: str) -> bool:
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
