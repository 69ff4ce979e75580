"""What is wrong with an object, what of it is unknown, and what its schema adds: pure functions of a node and a value.

Paths and words are kube-apiserver's (apimachinery's field.Error over kube-openapi's messages): kubectl prints them.
`faults` is the schema's part of validation. A built-in kind's value that has another type never comes so far:
decoding refuses it (`decoding.refusal`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.schema import formats
from coalmine_sandbox.api.schema.node import Node, Presence, Shape

#: A thousand faults tell no more than a hundred; the answer has to stay small.
FAULTS_LIMIT: Final = 100
_TYPES: Final = {
    Shape.OBJECT: "object",
    Shape.MAP: "object",
    Shape.LIST: "array",
    Shape.STRING: "string",
    Shape.INTEGER: "integer",
    Shape.NUMBER: "number",
    Shape.BOOLEAN: "boolean",
    Shape.INT_OR_STRING: "integer,string",
}


def faults(node: Node, obj: Object) -> list[Cause]:
    """Every fault of an object, the first FAULTS_LIMIT of them."""
    if node.name:  # a built-in kind's status is its controllers' own: nobody validates it against the schema
        obj = {key: value for key, value in obj.items() if key != "status"}
    found = []
    for fault in _faults(node, obj, ""):
        found.append(fault)
        if len(found) == FAULTS_LIMIT:
            break
    return found


def unknown(node: Node, obj: Object) -> list[str]:
    """The paths of the fields that the schema does not know: ``spec.template.spec.containers[0].imagee``."""
    return list(_unknown(node, obj, ""))


def prune(node: Node, obj: Object) -> Object:
    """The object without its unknown fields."""
    return cast("Object", _pruned(node, obj))


def default(node: Node, obj: Object) -> Object:
    """The object with the schema's defaults; a null that may not be gives way to one, or goes."""
    return cast("Object", _defaulted(node, obj))


def type_name(value: Any) -> str:
    """The JSON schema's name of a value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def fits(shape: Shape, value: Any) -> bool:
    """Whether a value has the type; null fits nothing."""
    name = type_name(value)
    match shape:
        case Shape.ANY:
            return True
        case Shape.INT_OR_STRING:
            return name in {"integer", "string"}
        case Shape.NUMBER:
            return name in {"integer", "number"}
    return name == _TYPES[shape]


# --- faults -----------------------------------------------------------------------------------------


def _faults(node: Node, value: Any, path: str) -> Iterator[Cause]:
    kind = cast("str", node.rules.get("type", "")) if node.shape is Shape.ANY else _TYPES[node.shape]
    if value is None:
        if kind and not node.nullable and node.presence is Presence.KEPT and not node.name:
            yield _type_fault(path, kind, "null")
        return
    if (kind and node.shape is Shape.ANY and type_name(value) != kind) or not fits(node.shape, value):
        if node.rules.get("format") != "quantity":
            yield _type_fault(path, kind, type_name(value))
        return
    yield from _against_rules(node.rules, value, path)
    if isinstance(value, dict):
        yield from _object_faults(node, value, path)
    elif isinstance(value, list) and node.items is not None:
        yield from _list_faults(node, value, path)


def _object_faults(node: Node, value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for name in node.required:
        child = node.fields.get(name)
        if _missing(child, value.get(name, _ABSENT)):
            yield Cause("FieldValueRequired", "Required value", _field(path, name))
    if node.shape is Shape.MAP and node.items is not None:
        for name, item in value.items():
            yield from _faults(node.items, item, _field(path, name))
        return
    for name, item in value.items():
        child = node.fields.get(name)
        if child is not None:
            yield from _faults(child, item, _field(path, name))


_ABSENT: Final = object()


def _missing(node: Node | None, value: Any) -> bool:
    """A custom resource's field is missing when it is not there; a built-in kind's also when it is empty."""
    if value is _ABSENT:
        return True
    if node is None or node.presence is Presence.KEPT:
        return False
    return value is None or value in ("", [])


def _list_faults(node: Node, value: list[Any], path: str) -> Iterator[Cause]:
    assert node.items is not None
    seen: set[str] = set()
    for at, item in enumerate(value):
        here = f"{path}[{at}]"
        yield from _faults(node.items, item, here)
        # The built-in kinds' lists are checked by their own rules, which differ from list to list.
        if node.presence is Presence.KEPT and node.list_type in {"set", "map"}:
            key = _key(node, item)
            if key in seen:
                yield Cause("FieldValueDuplicate", f"Duplicate value: {key}", here)
            seen.add(key)


def _key(node: Node, item: Any) -> str:
    if node.list_type == "map" and isinstance(item, dict):
        item = {key: item[key] for key in node.keys if key in item}
    return json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _against_rules(rules: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    if not rules:
        return
    if (allowed := rules.get("enum")) and value not in allowed:
        supported = ", ".join(_quoted(v) for v in sorted(allowed, key=str))
        text = f"Unsupported value: {_shown(value)}: supported values: {supported}"
        yield Cause("FieldValueNotSupported", text, path)
    for problem in formats.problems(rules, value):
        if problem.reason == "FieldValueInvalid":
            said = f"Invalid value: {_shown(problem.value)}: {path} in body {problem.text}"
        else:
            said = problem.text
        yield Cause(problem.reason, said, path)
    yield from _junctions(rules, value, path)


def _junctions(rules: Mapping[str, Any], value: Any, path: str) -> Iterator[Cause]:
    def passes(node: Node) -> bool:
        return next(_faults(node, value, path), None) is None

    for node in rules.get("allOf", ()):
        yield from _faults(node, value, path)
    if "anyOf" in rules and not any(map(passes, rules["anyOf"])):
        yield _invalid(path, f'"{path}" must validate at least one schema (anyOf)')
    if "oneOf" in rules and sum(map(passes, rules["oneOf"])) != 1:
        yield _invalid(path, f'"{path}" must validate one and only one schema (oneOf)')
    if "not" in rules and passes(rules["not"]):
        yield _invalid(path, f'"{path}" must not validate the schema (not)')


def _invalid(path: str, text: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "": {text}', path)


def _type_fault(path: str, wanted: str, found: str) -> Cause:
    text = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause("FieldValueTypeInvalid", text, path or "<nil>")


def _shown(value: Any) -> str:
    """A value as field.Error prints it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _quoted(value: Any) -> str:
    return json.dumps(value if isinstance(value, str) else _shown(value), ensure_ascii=False)


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- unknown fields ---------------------------------------------------------------------------------


def _unknown(node: Node, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        if node.shape is Shape.MAP and node.items is not None:
            for name, item in value.items():
                yield from _unknown(node.items, item, _field(path, name))
        elif node.shape in {Shape.OBJECT, Shape.ANY}:
            for name, item in value.items():
                child = node.fields.get(name)
                if child is not None:
                    yield from _unknown(child, item, _field(path, name))
                elif node.shape is Shape.OBJECT and not node.open:
                    yield _field(path, name)
    elif isinstance(value, list) and node.items is not None:
        for at, item in enumerate(value):
            yield from _unknown(node.items, item, f"{path}[{at}]")


def _pruned(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        if node.shape is Shape.MAP and node.items is not None:
            return {name: _pruned(node.items, item) for name, item in value.items()}
        keep = node.shape is not Shape.OBJECT or node.open
        return {
            name: _pruned(node.fields[name], item) if name in node.fields else copy.deepcopy(item)
            for name, item in value.items()
            if keep or name in node.fields
        }
    if isinstance(value, list):
        return [_pruned(node.items, item) for item in value] if node.items is not None else copy.deepcopy(value)
    return value


# --- defaults ---------------------------------------------------------------------------------------


def _defaulted(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        if node.shape is Shape.MAP and node.items is not None:
            kept = {n: i for n, i in value.items() if i is not None or node.items.nullable or node.name}
            return {name: _defaulted(node.items, item) for name, item in kept.items()}
        made = {
            name: _defaulted(node.fields[name], item) if name in node.fields else copy.deepcopy(item)
            for name, item in value.items()
        }
        for name, child in node.fields.items():
            # what the built-in metadata says of defaults is Go's, not this schema's
            if child.presence is not Presence.KEPT or child.name:
                continue
            null = name in made and made[name] is None and not child.nullable
            if "default" in child.rules:
                if null or name not in made:
                    made[name] = _defaulted(child, copy.deepcopy(child.rules["default"]))
            elif null:
                del made[name]
        return made
    if isinstance(value, list):
        return [_defaulted(node.items, item) for item in value] if node.items is not None else copy.deepcopy(value)
    return value
