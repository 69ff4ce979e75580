"""Events: what a controller tells people, written beside its work and never waited for.

As client-go's recorder: the same sentence about the same object again counts up the Event that
said it first, and an object about which more than ten different sentences are told within ten
minutes gets them in one Event ("combined from similar events"). What cannot be written is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from coalmine.kube.resources import EVENTS, Object, name_of, namespace_of, resource_version_of, uid_of
from coalmine.kube.verbs import ApiError, NotFoundError, Verbs
from coalmine_sandbox.api.times import timestamp

log = logging.getLogger(__name__)

#: client-go's maxLruCacheEntries, defaultAggregateMaxEvents and defaultAggregateIntervalInSeconds.
_REMEMBERED: Final = 4096
_SIMILAR: Final = 10
_INTERVAL: Final = 600.0
#: client-go's maxQueuedEvents: who floods the API server with Events loses some.
_QUEUED: Final = 1000
#: kube-apiserver's limit of an Event's message.
_LONGEST: Final = 1024
#: Where Events of objects without a namespace go.
_DEFAULT_NAMESPACE: Final = "default"


@dataclass
class _Similar:
    """Sentences of one kind about one object."""

    last: float = 0.0
    sentences: set[str] = field(default_factory=set)


@dataclass
class _Told:
    name: str
    count: int


class Recorder:
    """Events of one component. `run` writes them."""

    def __init__(self, api: Verbs, component: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._component = component
        self._clock = clock
        self._queue: asyncio.Queue[Object] = asyncio.Queue(_QUEUED)
        self._told: dict[tuple[str, ...], _Told] = {}
        self._similar: dict[tuple[str, ...], _Similar] = {}
        self._last = 0

    def normal(self, about: Object, reason: str, message: str) -> None:
        self._tell(about, "Normal", reason, message)

    def warning(self, about: Object, reason: str, message: str) -> None:
        self._tell(about, "Warning", reason, message)

    async def run(self) -> None:
        """Never returns."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except ApiError as error:
                log.debug("the event %s is lost: %s", event["reason"], error)

    def _tell(self, about: Object, kind: str, reason: str, message: str) -> None:
        now = self._clock()
        body: Object = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": self._name(about, now), "namespace": namespace_of(about) or _DEFAULT_NAMESPACE},
            "involvedObject": reference(about),
            "reason": reason,
            "message": message[:_LONGEST],
            "source": {"component": self._component},
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "count": 1,
            "type": kind,
            "reportingComponent": self._component,
        }
        try:
            self._queue.put_nowait(body)
        except asyncio.QueueFull:
            log.warning("too many events: %s is lost", reason)

    def _name(self, about: Object, now: float) -> str:
        """As client-go's: the object's name and the time in nanoseconds, which here grows in any case."""
        self._last = max(self._last + 1, int(now * 1e9))
        return f"{name_of(about)}.{self._last:x}"

    async def _write(self, event: Object) -> None:
        key = self._correlate(event)
        namespace = event["metadata"]["namespace"]
        if told := self._told.get(key):
            told.count += 1
            patch = {"count": told.count, "lastTimestamp": event["lastTimestamp"], "message": event["message"]}
            try:
                await self._api.patch(EVENTS, namespace, told.name, patch)
                return
            except NotFoundError:  # Events do not live for ever
                pass
        await self._api.create(EVENTS, namespace, event)
        self._told[key] = _Told(event["metadata"]["name"], 1)
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]

    def _correlate(self, event: Object) -> tuple[str, ...]:
        """What tells the event from others; its message is changed when it is one of too many."""
        about = event["involvedObject"]
        group = (about["kind"], about.get("uid", ""), event["type"], event["reason"])
        similar = self._similar.pop(group, None) or _Similar()
        self._similar[group] = similar  # the youngest last
        while len(self._similar) > _REMEMBERED:
            del self._similar[next(iter(self._similar))]
        now = self._clock()
        if now > similar.last + _INTERVAL:
            similar.sentences.clear()
        similar.last = now
        similar.sentences.add(event["message"])
        if len(similar.sentences) <= _SIMILAR:
            return (*group, event["message"])
        similar.sentences.pop()
        event["message"] = f"(combined from similar events): {event['message']}"[:_LONGEST]
        return group


def reference(obj: Object) -> Object:
    """A core/v1 ObjectReference to `obj`."""
    found = {
        "kind": obj.get("kind", ""),
        "namespace": namespace_of(obj),
        "name": name_of(obj),
        "uid": uid_of(obj),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": resource_version_of(obj),
    }
    return {key: value for key, value in found.items() if value}
