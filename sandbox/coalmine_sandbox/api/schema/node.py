"""The structure of a value, as merging, pruning and validating need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Shape(Enum):
    OBJECT = "object"  # known fields
    MAP = "map"  # any keys, values of one structure
    LIST = "list"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INT_OR_STRING = "int-or-string"
    ANY = "any"  # nothing is known: taken as it is (x-kubernetes-preserve-unknown-fields, RawExtension, FieldsV1)


class Presence(Enum):
    """How a field is written when it is empty: what Go's types do to the built-in kinds."""

    KEPT = "kept"  # as it was sent: custom resources, and Go's pointers
    OMITTED = "omitted"  # left out when empty (omitempty)
    ALWAYS = "always"  # written in any case: its zero value, or null
    NULL = "null"  # a pointer, written in any case


@dataclass(frozen=True, eq=False)
class Node:
    """One value's structure. Recursive structures are cyclic graphs of nodes: never compare or print whole ones."""

    shape: Shape
    #: Of an object, by name.
    fields: Mapping[str, Node] = field(default_factory=dict)
    #: Of a list's items or a map's values.
    items: Node | None = None
    #: x-kubernetes-list-type: atomic, set or map.
    list_type: str = "atomic"
    #: x-kubernetes-list-map-keys.
    keys: tuple[str, ...] = ()
    #: x-kubernetes-map-type: the whole object or map has one owner.
    atomic: bool = False
    #: Strategic merge patch: x-kubernetes-patch-merge-key; "" for a list that is replaced.
    merge_key: str = ""
    #: Strategic merge patch: a list of scalars that is merged.
    merged: bool = False
    #: Strategic merge patch: an object that is replaced as a whole.
    replaced: bool = False
    required: tuple[str, ...] = ()
    nullable: bool = False
    presence: Presence = Presence.KEPT
    #: The fields that are written in any case, by the `presence` of each.
    always: tuple[str, ...] = ()
    #: The Go type of an object of a built-in kind, as decoding errors name it: ``v1.PodSpec``.
    name: str = ""
    #: Unknown fields of an object are kept.
    open: bool = False
    #: Everything else of the JSON schema (enum, minimum, pattern, format, default, ...).
    rules: Mapping[str, Any] = field(default_factory=dict)
