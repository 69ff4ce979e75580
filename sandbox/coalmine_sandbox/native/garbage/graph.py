"""Who owns what, by uid, and whom a change makes worth a look. Pure.

It answers for what it was told. Whether an owner that it does not know exists is asked of the API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coalmine.kube.resources import Object, Resource, name_of, namespace_of, uid_of

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


@dataclass(frozen=True, slots=True)
class Node:
    """An object, as far as garbage collection goes."""

    uid: str
    resource: Resource
    namespace: str
    name: str
    owners: tuple[Owner, ...]
    deleting: bool
    finalizers: frozenset[str]

    @property
    def deletes_dependents(self) -> bool:
        """It waits for its dependents to go first."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers


def owners_of(obj: Object) -> tuple[Owner, ...]:
    return tuple(
        Owner(each["apiVersion"], each["kind"], each["name"], each["uid"], bool(each.get("blockOwnerDeletion")))
        for each in obj["metadata"].get("ownerReferences") or ()
    )


def node_of(resource: Resource, obj: Object) -> Node:
    metadata = obj["metadata"]
    return Node(
        uid_of(obj),
        resource,
        namespace_of(obj),
        name_of(obj),
        owners_of(obj),
        bool(metadata.get("deletionTimestamp")),
        frozenset(metadata.get("finalizers") or ()),
    )


class Graph:
    """The objects that exist, and their references."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        """The objects that name `uid` as an owner."""
        return [self._nodes[each] for each in sorted(self._dependents.get(uid, ()))]

    def put(self, node: Node) -> set[str]:
        """`node` was made or changed; the uids that are to be looked at."""
        old = self._nodes.get(node.uid)
        self._nodes[node.uid] = node
        before = old.owners if old is not None else ()
        look: set[str] = set()
        if node.owners != before:
            for owner in before:
                self._unlink(owner.uid, node.uid)
            for owner in node.owners:
                self._dependents.setdefault(owner.uid, set()).add(node.uid)
            # an owner that waits for its dependents may have one less that blocks it
            look |= {owner.uid for owner in before if self._deletes_dependents(owner.uid)}
            if any(not self.is_solid(node, owner) for owner in node.owners):
                look.add(node.uid)
        begins = old is None or (node.deletes_dependents, node.orphans_dependents) != (
            old.deletes_dependents,
            old.orphans_dependents,
        )
        if begins and (node.deletes_dependents or node.orphans_dependents):
            look.add(node.uid)
        if begins and node.deletes_dependents:
            look |= self._dependents.get(node.uid, set())
        return look

    def remove(self, uid: str) -> set[str]:
        """An object is gone; the uids that are to be looked at."""
        node = self._nodes.pop(uid, None)
        look = set(self._dependents.get(uid, ()))
        for owner in node.owners if node is not None else ():
            self._unlink(owner.uid, uid)
            if self._deletes_dependents(owner.uid):
                look.add(owner.uid)
        return look

    def of(self, resource: Resource) -> Iterator[Node]:
        """The objects of one resource."""
        return (node for node in tuple(self._nodes.values()) if node.resource == resource)

    def is_solid(self, node: Node, owner: Owner) -> bool:
        """The owner exists, as far as is known, is what the reference says, and does not wait for `node` to go."""
        found = self._nodes.get(owner.uid)
        return (
            found is not None
            and (found.resource.kind, found.name) == (owner.kind, owner.name)
            and found.namespace in ("", node.namespace)
            and not found.deletes_dependents
        )

    def _deletes_dependents(self, uid: str) -> bool:
        node = self._nodes.get(uid)
        return node is not None and node.deletes_dependents

    def _unlink(self, owner: str, dependent: str) -> None:
        dependents = self._dependents.get(owner)
        if dependents is not None:
            dependents.discard(dependent)
            if not dependents:
                del self._dependents[owner]
