"""Local copies of resources, one for all controllers (client-go's shared informers).

One copy for all is more than thrift: a change of a ReplicaSet that its own controller has answered
was seen by the Deployment controller, too. Who writes gives the answer to `Cache.remember`, so that
no controller decides on a picture older than its own writes. Nothing in a copy may be written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from coalmine.kube.cache import Cache
from coalmine.kube.resources import Object, Resource, namespace_of
from coalmine.kube.verbs import Verbs


class Informers:
    """Copies are kept from the moment that `run` is called, or from the first `of` after that."""

    def __init__(self, api: Verbs) -> None:
        self._api = api
        self._caches: dict[Resource, Cache] = {}
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(self, resource: Resource) -> Cache:
        """The one copy of `resource`."""
        if resource not in self._caches:
            self._caches[resource] = Cache(self._api, resource)
            if self._group is not None:
                self._start(resource, self._group)
        return self._caches[resource]

    def drop(self, resource: Resource) -> None:
        """Keep no copy of what is no longer served."""
        self._caches.pop(resource, None)
        if task := self._tasks.pop(resource, None):
            task.cancel()

    async def run(self) -> None:
        """Keep all copies up to date; never returns."""
        async with asyncio.TaskGroup() as self._group:
            for resource in self._caches:
                self._start(resource, self._group)
            await asyncio.Event().wait()

    def _start(self, resource: Resource, group: asyncio.TaskGroup) -> None:
        self._tasks[resource] = group.create_task(self._caches[resource].run())


async def synced(caches: Iterable[Cache]) -> None:
    """Returns once each has listed its resource."""
    for cache in caches:
        await cache.synced.wait()


def in_namespace(cache: Cache, namespace: str) -> Iterator[Object]:
    """The objects of one namespace, in no order."""
    return (obj for obj in cache.objects() if namespace_of(obj) == namespace)
