"""Watches: what changed since a version, and everything that changes from then on.

Rules:
- Nothing is missed between what is past and what comes: both are taken in one step.
- With a selector, an object that begins to match is ADDED, one that ceases to is DELETED, as it was, with the
  version of the change.
- A watcher that does not take its events for too long is cut off; it lists again.
- A watch of a version that is forgotten is refused with 410 at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.http import Request
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.reading import match_of, number, too_large, whole
from coalmine_sandbox.api.selectors import Match
from coalmine_sandbox.api.store import Change, Entry, Store, encoded
from coalmine_sandbox.api.strategy.faults import forbidden

#: Events that wait for one watcher: as many as the store remembers, for it could ask again for those.
_MOST_WAITING: Final = 8192
#: And bytes of them, for objects may be large and watchers many.
_MOST_BYTES: Final = 32 << 20
#: apiserver's: a bookmark a minute, and one before the end; a watch without a limit ends after half an hour or more.
_BOOKMARK_SECONDS: Final = 60.0
_BEFORE_END_SECONDS: Final = 2.0
_LONGEST_SECONDS: Final = 1800.0
_INITIAL_END: Final = "k8s.io/initial-events-end"

#: An entry as the watcher wants it: whole, as a Table, ...
Show = Callable[[Kind, Entry], bytes]


@dataclass(slots=True)
class Watch:
    """What is asked for."""

    kind: Kind
    namespace: str | None
    match: Match | None
    since: int
    #: Begin with ADDED for everything that is there.
    initial: bool
    #: Tell with a bookmark when that is done.
    tell_initial: bool
    bookmarks: bool
    seconds: float


def watch_of(store: Store, kind: Kind, namespace: str | None, request: Request) -> Watch:
    """Read a watch's query. Raises StatusError (400, 410, 422, 504)."""
    wanted = number(request, "resourceVersion")
    send_initial = request.flag("sendInitialEvents")
    match_rule = request.parameter("resourceVersionMatch")
    if (match_rule or request.query.get("sendInitialEvents")) and not (
        match_rule == "NotOlderThan" and request.query.get("sendInitialEvents")
    ):
        detail = (
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            if match_rule
            else "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
        raise errors.invalid("ListOptions.meta.k8s.io", "", [forbidden("resourceVersionMatch", detail)])
    if wanted > store.version:
        raise too_large(wanted, store.version)
    initial = send_initial or not wanted
    if not initial:
        store.since(wanted)  # refused here, before the answer begins
    seconds = float(number(request, "timeoutSeconds")) or _LONGEST_SECONDS
    return Watch(
        kind=kind,
        namespace=namespace,
        match=match_of(kind, request),
        since=wanted,
        initial=initial,
        tell_initial=send_initial,
        bookmarks=request.flag("allowWatchBookmarks"),
        seconds=min(seconds, _LONGEST_SECONDS),
    )


async def events(store: Store, watch: Watch, show: Show = whole) -> AsyncIterator[bytes]:
    """The watch's lines, several at once where several wait; ends when its time is over."""
    waiting: deque[bytes] = deque()
    arrived = asyncio.Event()
    cut_off = False
    size = 0

    def take(change: Change) -> None:
        nonlocal cut_off, size
        line = None if cut_off else told(watch, change, show)
        if line is None:
            return
        waiting.append(line)
        size += len(line)
        if len(waiting) > _MOST_WAITING or size > _MOST_BYTES:
            cut_off = True
            waiting.clear()
        arrived.set()

    loop = asyncio.get_running_loop()
    end = loop.time() + watch.seconds
    stop = store.listen(watch.kind.storage, take)
    try:
        # one step: what is there, or past, and from here on `take`
        first: list[bytes | None] = []
        if watch.initial:
            for entry in store.entries(watch.kind.storage, watch.namespace):
                if watch.match is None or watch.match(entry.object):
                    first.append(_line("ADDED", show(watch.kind, entry)))
            if watch.tell_initial:
                first.append(_bookmark(watch.kind, store.version, initial=True))
        else:
            past = store.since(watch.since)
            first += [told(watch, change, show) for change in past if change.entry.resource == watch.kind.storage]
        # however much that is: who is cut off for the past would only ask for the same again
        yield b"".join(line for line in first if line)  # or nothing: the answer's head goes out at once
        first.clear()
        while not cut_off:
            arrived.clear()
            if waiting:
                lines = b"".join(waiting)
                waiting.clear()
                size = 0
                yield lines
                continue  # more may have arrived while these were taken
            left = end - loop.time()
            if left <= 0:
                return
            # the last bookmark comes a little before the end
            pause = left - _BEFORE_END_SECONDS if left > _BEFORE_END_SECONDS else left
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, _BOOKMARK_SECONDS)):
                    await arrived.wait()
            # never ahead of an event that came in the same moment
            if not waiting and watch.bookmarks and pause < left:
                yield _bookmark(watch.kind, store.version)
    finally:
        stop()


def told(watch: Watch, change: Change, show: Show) -> bytes | None:
    """A change as the watcher sees it; None when it does not."""
    entry = change.entry
    if entry.version <= watch.since and not watch.initial:
        return None
    if watch.namespace is not None and entry.key[0] != watch.namespace:
        return None
    match = watch.match
    if match is None:
        return _line(change.type, show(watch.kind, entry))
    now = change.type != "DELETED" and match(entry.object)
    before = change.before
    was = before is not None and match(before.object)
    if now:
        return _line("MODIFIED" if was else "ADDED", show(watch.kind, entry))
    if was and before is not None:
        return _line("DELETED", show(watch.kind, entry if change.type == "DELETED" else _last(before, entry.version)))
    return None


def _last(before: Entry, version: int) -> Entry:
    """The object as it last matched, at the version at which it ceased to."""
    obj = before.object
    return Entry(before.resource, {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}, version)


def _line(kind: str, obj: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"


def _bookmark(kind: Kind, version: int, *, initial: bool = False) -> bytes:
    metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {_INITIAL_END: "true"}
    resource = kind.resource
    return _line("BOOKMARK", encoded({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}))
