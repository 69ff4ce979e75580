"""A local copy of one resource's objects, kept current by list and watch (client-go's Reflector).

Level-based: listeners are told which object changed and look at what it is now. A watch that
ends, for whatever reason, is followed by a new one from the last version seen, or, when that is
too old, by a new list, whose difference to the copy is told in the same way. A server that ends
each watch at once is not asked in a loop.

`coalmine.kube.cache.Cache` is the controller's: it never goes back in time for who writes. Who
uses this one writes nothing of what it reads, and is back sooner after a control plane was away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from coalmine.kube.client import Client
from coalmine.kube.resources import Object, Resource, name_of, namespace_of, resource_version_of
from coalmine.kube.verbs import ApiError, GoneError

log = logging.getLogger(__name__)

Key = tuple[str, str]
#: A watch that ends sooner than this, without an event, is not to be opened again at once.
_SHORT_WATCH: Final = 1.0
#: Seconds between attempts while the API server does not answer: it comes back in a few.
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class Reflector:
    """Call `run` in a task; `objects` is complete once `synced` is set."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        changed: Callable[[Key, Object | None], None],
        *,
        fields: str = "",
        labels: str = "",
    ) -> None:
        self.objects: dict[Key, Object] = {}
        self.synced = asyncio.Event()
        self._client = client
        self._resource = resource
        self._changed = changed
        self._fields = fields
        self._labels = labels

    async def run(self) -> None:
        """Never returns."""
        clock = asyncio.get_running_loop().time
        failures = 0
        version = ""
        while True:
            began = clock()
            why: object = None
            try:
                if not version:
                    version = await self._list()
                async for event in self._client.watch(
                    self._resource, None, version, labels=self._labels, fields=self._fields
                ):
                    failures = 0
                    version = resource_version_of(event.object)
                    if event.type != "BOOKMARK":
                        self._put(event.object, gone=event.type == "DELETED")
            except GoneError as error:
                version, why = "", error
            except ApiError as error:
                why = error
            if clock() >= began + _SHORT_WATCH:
                failures = 0
                if why is None:
                    continue
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            failures += 1
            log.warning("%s: %s; again in %g s", self._resource.plural, why or "the watch ended at once", pause)
            await asyncio.sleep(pause)

    async def _list(self) -> str:
        items, version = await self._client.list(self._resource, labels=self._labels, fields=self._fields)
        present = {_key(item) for item in items}
        for key in [key for key in self.objects if key not in present]:
            del self.objects[key]
            self._changed(key, None)
        for item in items:
            known = self.objects.get(_key(item))
            if known is None or resource_version_of(known) != resource_version_of(item):
                self._put(item, gone=False)
        self.synced.set()
        return version

    def _put(self, obj: Object, *, gone: bool) -> None:
        key = _key(obj)
        if gone:
            self.objects.pop(key, None)
            self._changed(key, None)
        else:
            self.objects[key] = obj
            self._changed(key, obj)


def _key(obj: Object) -> Key:
    return namespace_of(obj), name_of(obj)
