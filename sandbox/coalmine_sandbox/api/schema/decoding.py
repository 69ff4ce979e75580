"""What Go's decoder refuses: a value of another type than a built-in kind's field has.

It is a 400 and comes before any validation; its words are encoding/json's, which kubectl prints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine.model.quantities import is_quantity
from coalmine_sandbox.api.errors import StatusError, bad_request
from coalmine_sandbox.api.schema import formats
from coalmine_sandbox.api.schema.node import Node, Shape

_BITS: Final = {"int32": 31, "int64": 63}
#: Go's way of saying RFC 3339; a MicroTime must have its six digits.
_LAYOUTS: Final = {"date-time": "2006-01-02T15:04:05Z07:00", "micro-time": "2006-01-02T15:04:05.000000Z07:00"}
_MICROSECONDS: Final = re.compile(r":\d\d\.\d{6}[Z+-]", re.ASCII)
_QUANTITIES: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def refusal(node: Node, api_version: str, kind: str, obj: Object) -> StatusError | None:
    """The 400 for an object that Go's types cannot hold; None for one that they can."""
    problem = _problem(node, obj, "", kind)
    return None if problem is None else cannot_be_handled(api_version, kind, problem)


def cannot_be_handled(api_version: str, kind: str, problem: str) -> StatusError:
    """The 400 for what is no object of this kind."""
    version = api_version.rpartition("/")[2]
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}')


def _problem(node: Node, value: Any, path: str, struct: str) -> str | None:
    """The first one, depth first; `struct` is the innermost Go struct."""
    if value is None or node.shape is Shape.ANY:
        return None
    match node.shape:
        case Shape.OBJECT if isinstance(value, dict):
            within = node.name.rpartition(".")[2] or struct
            return _first(
                _problem(node.fields[key], item, f"{path}.{key}" if path else key, within)
                for key, item in value.items()
                if key in node.fields
            )
        case Shape.MAP if isinstance(value, dict) and node.items is not None:
            items = node.items
            return _first(_problem(items, item, path, struct) for item in value.values())
        case Shape.LIST if isinstance(value, list) and node.items is not None:
            items = node.items
            return _first(_problem(items, item, path, struct) for item in value)
        case Shape.STRING:
            return _text_problem(node.rules, value, path, struct)
        case Shape.BOOLEAN if isinstance(value, bool):
            return None
        case Shape.INTEGER if _is_integer(value):
            if -(1 << _bits(node.rules)) <= value < 1 << _bits(node.rules):
                return None
            return _cannot(f"number {value}", node, path, struct)
        case Shape.NUMBER if isinstance(value, int | float) and not isinstance(value, bool):
            return None
        case Shape.INT_OR_STRING if isinstance(value, str) or _is_integer(value):
            return None
    return _cannot(_go_kind(value), node, path, struct)


def _text_problem(rules: Mapping[str, Any], value: Any, path: str, struct: str) -> str | None:
    name = rules.get("format")
    if name == "quantity":
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        good = isinstance(text, str) and is_quantity(text)
        return None if good else _QUANTITIES
    if not isinstance(value, str):
        return _cannot(_go_kind(value), Node(Shape.STRING, rules=rules), path, struct)
    layout = _LAYOUTS.get(name or "")
    if layout and not (formats.is_date_time(value) and ("." in layout) <= bool(_MICROSECONDS.search(value))):
        return f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "{layout}"'
    if name == "byte" and not formats.FORMATS["byte"](value):
        return "illegal base64 data at input byte 0"
    return None


def _cannot(what: str, node: Node, path: str, struct: str) -> str:
    return f"json: cannot unmarshal {what} into Go struct field {struct}.{path} of type {_go_type(node)}"


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number" if _is_integer(value) else f"number {value}"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _go_type(node: Node) -> str:
    match node.shape:
        case Shape.OBJECT:
            return node.name
        case Shape.MAP:
            return f"map[string]{_go_type(node.items)}" if node.items else "map[string]interface {}"
        case Shape.LIST:
            return f"[]{_go_type(node.items)}" if node.items else "[]interface {}"
        case Shape.STRING:
            return {"date-time": "v1.Time", "micro-time": "v1.MicroTime", "byte": "[]uint8"}.get(
                node.rules.get("format", ""), "string"
            )
        case Shape.INTEGER:
            return str(node.rules.get("format", "int64"))
        case Shape.NUMBER:
            return "float64"
        case Shape.BOOLEAN:
            return "bool"
        case Shape.INT_OR_STRING:
            return "intstr.IntOrString"
    return "interface {}"


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bits(rules: Mapping[str, Any]) -> int:
    return _BITS.get(rules.get("format", ""), 63)


def _first(problems: Any) -> str | None:
    return next((problem for problem in problems if problem is not None), None)
