"""How Go's types write an object of a built-in kind: the one spelling in which it is stored.

What a client sends is decoded into Go's types and written anew: nulls go, empty fields are left out or filled in as
the field's `Presence` says, quantities and times get their canonical text. Fields come in the order in which they
were sent: JSON does not tell. A custom resource is stored as it was sent.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping
from typing import Any, Final, cast

from coalmine.kube.resources import Object
from coalmine.model import quantities
from coalmine_sandbox.api.schema.node import Node, Presence, Shape

_TIMES: Final = ("date-time", "micro-time")
_EMPTY: Final[tuple[Any, ...]] = ("", 0, False, [], {})


def spelled(node: Node, obj: Object) -> Object:
    """A new object, as it is stored. Its values have the types that the node asks for."""
    return cast("Object", _spelled(node, obj))


def zero(node: Node) -> Object:
    """The object that nobody has filled in yet: what Go writes of an empty struct."""
    return cast("Object", _zero(node)) if node.name else {}


def _spelled(node: Node, value: Any) -> Any:
    match node.shape:
        case Shape.OBJECT if isinstance(value, dict):
            return _object(node, value)
        case Shape.MAP if isinstance(value, dict) and node.items is not None:
            items = node.items
            if items.rules.get("format") == "quantity":  # a ResourceList
                return {key: quantities.canonical(item, milli=True) for key, item in value.items()}
            return {key: _zero(items) if item is None else _spelled(items, item) for key, item in value.items()}
        case Shape.LIST if isinstance(value, list) and node.items is not None:
            items = node.items
            return [_zero(items) if item is None else _spelled(items, item) for item in value]
        case Shape.STRING if node.rules.get("format") == "quantity":
            return quantities.canonical(value)
        case Shape.STRING if node.rules.get("format") in _TIMES and isinstance(value, str):
            return _time(value, fraction=node.rules["format"] == "micro-time")
        case Shape.ANY:
            return copy.deepcopy(value)
    return value


def _object(node: Node, value: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, item in value.items():
        child = node.fields.get(name)
        if child is None:
            if node.open:
                answer[name] = copy.deepcopy(item)
            continue
        if item is None:
            continue
        found = _spelled(child, item)
        if child.presence is not Presence.OMITTED or not _is_empty(found):
            answer[name] = found
    for name in node.always:
        child = node.fields[name]
        if name not in answer:
            answer[name] = _zero(child) if child.presence is Presence.ALWAYS else None
        elif answer[name] == [] or (child.shape is Shape.MAP and answer[name] == {}):
            answer[name] = None  # storage does not tell an empty list from none
    return answer


def _is_empty(value: Any) -> bool:
    return value is None or any(value == empty and type(value) is type(empty) for empty in _EMPTY)


def _zero(node: Node) -> Any:
    match node.shape:
        case Shape.OBJECT:
            every = ((name, node.fields[name]) for name in node.always)
            return {name: _zero(child) if child.presence is Presence.ALWAYS else None for name, child in every}
        case Shape.STRING:
            written = node.rules.get("format", "")
            return None if written in _TIMES else "0" if written == "quantity" else ""
        case Shape.INTEGER | Shape.INT_OR_STRING | Shape.NUMBER:
            return 0
        case Shape.BOOLEAN:
            return False
    return None


def _time(value: str, *, fraction: bool) -> str:
    """In UTC; metav1.Time without a fraction, MicroTime with six digits of one."""
    text, micro = (value[:-1] + "+00:00" if value.endswith("Z") else value), ""
    try:
        moment = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return value  # decoding has refused it already
    if fraction:
        micro = f".{moment.microsecond:06}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}{micro}Z"
