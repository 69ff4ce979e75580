"""The objects, one growing counter of versions, and what happened lately.

Rules:
- Every write raises the counter by one and is the resourceVersion of what was written (a deletion's is that of the
  object as its watchers see it go).
- What is stored is never written to again: a change stores another object. So readers need no copies, and a list of
  an earlier version can be made by undoing changes.
- A write is in the journal before anybody hears of it.
- Listeners are called at once, in the order of the writes, and must only take note.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, Literal, NamedTuple

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.journal import Journal, Record

Key = tuple[str, str]
#: A rollout of a few dozen pods writes some hundred objects: a client that was away for minutes can go on.
HISTORY: Final = 8192


class Entry:
    """One version of one object, with its JSON made at most once."""

    __slots__ = ("_json", "object", "resource", "version")

    def __init__(self, resource: Resource, obj: Object, version: int) -> None:
        self.resource = resource
        self.object = obj
        self.version = version
        self._json: bytes | None = None

    @property
    def key(self) -> Key:
        metadata = self.object["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    @property
    def json(self) -> bytes:
        if self._json is None:
            self._json = encoded(self.object)
        return self._json


class Change(NamedTuple):
    """What a write did to one object; `before` is None for a new one."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    entry: Entry
    before: Entry | None


Listener = Callable[[Change], None]


def encoded(value: object) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Store:
    """All objects of all kinds; implements admission's Reader."""

    def __init__(self, journal: Journal | None = None, *, history: int = HISTORY) -> None:
        """`journal` keeps everything across a restart; without one the store is forgotten with the process."""
        self.version = 0
        self._objects: dict[Resource, dict[Key, Entry]] = {}
        self._changes: deque[Change] = deque(maxlen=history)
        #: Changes up to this version are forgotten.
        self._forgotten = 0
        self._listeners: dict[Resource, list[Listener]] = {}
        self._journal = journal
        if journal is not None:
            for record in journal.load():
                self._replay(record)
            self.version = max(self.version, journal.version)
            self._forgotten = self.version
            journal.rewrite(self._records(), self.version)

    # --- reading -------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        entry = self.entry(resource, namespace or "", name)
        return None if entry is None else entry.object

    def objects(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        return [entry.object for entry in self.entries(resource, namespace)]

    def entry(self, resource: Resource, namespace: str, name: str) -> Entry | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def entries(self, resource: Resource, namespace: str | None = None) -> list[Entry]:
        """All of a kind, ordered by namespace and name."""
        kept = self._objects.get(resource, {})
        return [kept[key] for key in sorted(kept) if namespace is None or key[0] == namespace]

    def entries_at(self, resource: Resource, namespace: str | None, version: int) -> list[Entry]:
        """`entries` as they were at `version`. Raises StatusError (410) when that is too long ago."""
        if version >= self.version:
            return self.entries(resource, namespace)
        kept = dict(self._objects.get(resource, {}))
        for change in reversed(self.since(version)):
            if change.entry.resource == resource:
                if change.before is None:
                    kept.pop(change.entry.key, None)
                else:
                    kept[change.entry.key] = change.before
        return [kept[key] for key in sorted(kept) if namespace is None or key[0] == namespace]

    def since(self, version: int) -> list[Change]:
        """What was written after `version`, of all kinds. Raises StatusError (410) when that is not known any more."""
        if version < self._forgotten:
            raise errors.expired(version, self._forgotten)
        later = 0
        for change in reversed(self._changes):
            if change.entry.version <= version:
                break
            later += 1
        return list(islice(self._changes, len(self._changes) - later, None))

    def resources(self) -> list[Resource]:
        """The kinds of which there is, or was, an object."""
        return list(self._objects)

    # --- writing -------------------------------------------------------------------------------

    def put(self, resource: Resource, obj: Object) -> Object:
        """Store an object, new or changed; what is stored: `obj` with its resourceVersion."""
        self.version += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        entry = Entry(resource, stored, self.version)
        kept = self._objects.setdefault(resource, {})
        before = kept.get(entry.key)
        if self._journal is not None:
            self._journal.append(Record(self.version, resource, entry.key, stored))
        kept[entry.key] = entry
        self._changed(Change("ADDED" if before is None else "MODIFIED", entry, before))
        return stored

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        """Remove an object; as it was, with the deletion's resourceVersion. KeyError when there is none."""
        before = self._objects[resource][namespace, name]
        self.version += 1
        last = before.object
        gone = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.version)}}
        entry = Entry(resource, gone, self.version)
        if self._journal is not None:
            self._journal.append(Record(self.version, resource, entry.key, None))
        del self._objects[resource][entry.key]
        self._changed(Change("DELETED", entry, before))
        return gone

    def listen(self, resource: Resource, listener: Listener) -> Callable[[], None]:
        """Have `listener` told of every change of a kind from now on; call the answer to end that."""
        listeners = self._listeners.setdefault(resource, [])
        listeners.append(listener)

        def end() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return end

    def compact(self) -> None:
        """Forget what happened, as etcd does every five minutes: older versions are answered with 410."""
        self._changes.clear()
        self._forgotten = self.version

    def _changed(self, change: Change) -> None:
        if self._journal is not None:
            self._journal.shortened(self._records(), self.version)
        if len(self._changes) == self._changes.maxlen:
            self._forgotten = self._changes[0].entry.version
        self._changes.append(change)
        for listener in tuple(self._listeners.get(change.entry.resource, ())):
            listener(change)

    # --- across a restart ------------------------------------------------------------------------

    def _replay(self, record: Record) -> None:
        self.version = record.version
        kept = self._objects.setdefault(record.resource, {})
        if record.object is None:
            kept.pop(record.key, None)
        else:
            kept[record.key] = Entry(record.resource, record.object, record.version)

    def _records(self) -> Iterable[Record]:
        for resource, kept in self._objects.items():
            for entry in kept.values():
                yield Record(entry.version, resource, entry.key, entry.object)
