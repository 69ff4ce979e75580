"""Objects of several resources, kept as they are by watches.

Rules: it is level-based: a watch only says that something changed, what counts is what is known
now. A watch that ends goes on from where it was, one that is too old lists again, and while
the API server cannot be reached what is known stands, with the reason in `trouble`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

from coalmine.kube.client import Client
from coalmine.kube.resources import Object, Resource, resource_version_of
from coalmine.kube.verbs import ApiError, GoneError
from coalmine_cli.cluster import explained

#: Between two tries while the API server cannot be reached.
_AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class Source:
    """The objects of one resource that matter, by uid, and the resourceVersion to watch from ("": list)."""

    resource: Resource
    labels: str = ""
    fields: str = ""
    version: str = ""
    trouble: str = ""
    objects: dict[str, Object] = field(default_factory=dict)


class Follower:
    """Sources in one namespace, or in all (None)."""

    def __init__(self, client: Client, namespace: str | None, pause: Callable[[float], Awaitable[None]]) -> None:
        self._changed = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._pause = pause
        self._sources: list[Source] = []

    async def read(self, *sources: Source) -> None:
        """List `sources` once, and follow them from now on. Raises ApiError."""
        try:
            async with asyncio.TaskGroup() as group:
                for source in sources:
                    group.create_task(self._list(source))
        except BaseExceptionGroup as several:
            raise _first(several) from several
        self._sources += sources

    @property
    def trouble(self) -> str:
        """Why what is known may be old; "" when it is not."""
        return next((s.trouble for s in self._sources if s.trouble), "")

    async def change(self) -> None:
        """Wait inside `followed` until something has changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Keep the sources up to date inside the block.

        Raises what the watches or the block raise, unwrapped.
        """
        try:
            async with asyncio.TaskGroup() as group:
                watches: Collection[asyncio.Task[None]] = [group.create_task(self._keep(s)) for s in self._sources]
                try:
                    yield
                finally:
                    for watch in watches:
                        watch.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from several

    async def _list(self, source: Source) -> None:
        with explained():
            items, source.version = await self._client.list(
                source.resource, self._namespace, labels=source.labels, fields=source.fields
            )
        source.objects = {str(item["metadata"]["uid"]): item for item in items}

    async def _keep(self, source: Source) -> None:
        while True:
            try:
                if not source.version:
                    await self._list(source)
                    source.trouble = ""
                    self._changed.set()
                await self._watch(source)
            except GoneError:
                source.version = ""
            except ApiError as error:
                if 0 < error.status < 500 and error.status != 429:
                    raise  # it will not go away: forbidden, for example
                source.version = ""
                source.trouble = str(error)
                self._changed.set()
                await self._pause(_AGAIN_SECONDS)

    async def _watch(self, source: Source) -> None:
        watch = self._client.watch(
            source.resource, self._namespace, source.version, labels=source.labels, fields=source.fields
        )
        async for event in watch:
            source.version = resource_version_of(event.object) or source.version
            if event.type == "BOOKMARK":
                continue
            uid = str(event.object["metadata"]["uid"])
            if event.type == "DELETED":
                source.objects.pop(uid, None)
            else:
                source.objects[uid] = event.object
            self._changed.set()


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of tasks; the others are its echoes."""
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
