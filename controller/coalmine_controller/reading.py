"""Keeps what was read of an object for as long as it is the very same object.

A look reads all objects of a Deployment, and most are as they were at the last look: fingerprints of templates and
annotations in JSON are read once for each change instead. Pure; what is kept is dropped with the object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from coalmine.kube.resources import Object, uid_of

V = TypeVar("V")


class Reading(Generic[V]):
    """`read`, remembered by the object's uid. Objects of a cache are replaced, never changed in place."""

    def __init__(self, read: Callable[[Object], V]) -> None:
        self._read = read
        self._kept: dict[str, tuple[Object, V]] = {}

    def of(self, raw: Object) -> V:
        """What `read` says of `raw`."""
        kept = self._kept.get(uid_of(raw))
        if kept is not None and kept[0] is raw:
            return kept[1]
        value = self._read(raw)
        self._kept[uid_of(raw)] = raw, value
        return value

    def listen(self, old: Object | None, new: Object | None) -> None:
        """To be told of each change: what is gone is forgotten."""
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._kept.pop(uid_of(old), None)
