"""What is known of one rollout, kept as it is by watches.

Rules: it is level-based: a watch only says that something changed, what is shown is made of what
is known now. A watch that ends goes on from where it was, one that is too old lists again, and
while the API server cannot be reached the last picture stands with the reason in `trouble`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from coalmine.kube.client import ApiError, GoneError
from coalmine.kube.resources import (
    ANALYSIS_RUNS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    Object,
    Resource,
    resource_version_of,
)
from coalmine.model.view import View, view
from coalmine_cli.cluster import Cluster, explained, no_deployment, no_rollout, readable

#: Between two tries while the API server cannot be reached.
_AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class _Source:
    """The objects of one resource that matter, by uid, and the resourceVersion to watch from ("" : list)."""

    resource: Resource
    labels: str = ""
    fields: str = ""
    version: str = ""
    trouble: str = ""
    objects: dict[str, Object] = field(default_factory=dict)


class Picture:
    """The Deployment and its Rollout; with `whole`, also the ReplicaSets, pods and AnalysisRuns."""

    def __init__(self, cluster: Cluster, name: str, pause: Callable[[float], Awaitable[None]]) -> None:
        self.name = name
        self.changed = asyncio.Event()
        self._cluster = cluster
        self._pause = pause
        only = f"metadata.name={name}"
        self._sources = {kind: _Source(kind, fields=only) for kind in (DEPLOYMENTS, ROLLOUTS)}

    async def read(self, *, whole: bool) -> None:
        """Read everything once. Raises ApiError, SpecError when there is no such Deployment."""
        await self._read(self._sources.values())
        deployment = self.deployment
        if whole:
            # hidden ReplicaSets carry none of the Deployment's labels: they are found by their owner
            pods = _Source(PODS, labels=selector_text(deployment["spec"]["selector"]))
            parts = {PODS: pods, REPLICA_SETS: _Source(REPLICA_SETS), ANALYSIS_RUNS: _Source(ANALYSIS_RUNS)}
            await self._read(parts.values())
            self._sources |= parts

    @property
    def deployment(self) -> Object:
        """Raises SpecError when there is none, or none any more."""
        found = next(iter(self._sources[DEPLOYMENTS].objects.values()), None)
        if found is None:
            raise no_deployment(self.name, self._cluster.namespace)
        return found

    @property
    def rollout(self) -> Object | None:
        return next(iter(self._sources[ROLLOUTS].objects.values()), None)

    @property
    def trouble(self) -> str:
        """Why the picture may be old; "" when it is not."""
        return next((s.trouble for s in self._sources.values() if s.trouble), "")

    def view(self) -> View:
        """The view of what is known. Raises SpecError when there is no Rollout."""
        deployment, rollout = self.deployment, self.rollout
        if rollout is None:
            raise no_rollout(deployment)
        with readable(rollout):
            return view(
                deployment,
                rollout,
                self._sources[REPLICA_SETS].objects.values(),
                self._sources[PODS].objects.values(),
                self._sources[ANALYSIS_RUNS].objects.values(),
            )

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Keep the picture up to date inside the block; `changed` is set after each change.

        Raises what the watches or the block raise, unwrapped.
        """
        try:
            async with asyncio.TaskGroup() as group:
                watches = [group.create_task(self._keep(source)) for source in self._sources.values()]
                try:
                    yield
                finally:
                    for watch in watches:
                        watch.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from several

    async def _read(self, sources: Iterable[_Source]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for source in sources:
                    group.create_task(self._list(source))
        except BaseExceptionGroup as several:
            raise _first(several) from several

    async def _list(self, source: _Source) -> None:
        with explained():
            items, source.version = await self._cluster.client.list(
                source.resource, self._cluster.namespace, labels=source.labels, fields=source.fields
            )
        source.objects = {str(item["metadata"]["uid"]): item for item in items}

    async def _keep(self, source: _Source) -> None:
        while True:
            try:
                if not source.version:
                    await self._list(source)
                    source.trouble = ""
                    self.changed.set()
                await self._watch(source)
            except GoneError:
                source.version = ""
            except ApiError as error:
                if 0 < error.status < 500 and error.status != 429:
                    raise  # it will not go away: forbidden, for example
                source.version = ""
                source.trouble = str(error)
                self.changed.set()
                await self._pause(_AGAIN_SECONDS)

    async def _watch(self, source: _Source) -> None:
        client, namespace = self._cluster.client, self._cluster.namespace
        watch = client.watch(source.resource, namespace, source.version, labels=source.labels, fields=source.fields)
        async for event in watch:
            source.version = resource_version_of(event.object) or source.version
            if event.type == "BOOKMARK":
                continue
            uid = str(event.object["metadata"]["uid"])
            if event.type == "DELETED":
                source.objects.pop(uid, None)
            else:
                source.objects[uid] = event.object
            self.changed.set()


def selector_text(selector: dict[str, Any]) -> str:
    """A LabelSelector as the query parameter labelSelector takes it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], ",".join(rule.get("values") or ())
        match rule["operator"]:
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case _:
                parts.append(f"{key} in ({values})")
    return ",".join(parts)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of tasks; the others are its echoes."""
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
