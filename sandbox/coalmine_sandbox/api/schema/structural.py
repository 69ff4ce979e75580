"""The structure of a custom resource: a CRD's openAPIV3Schema as nodes.

Rules: what the documentation calls a structural schema; `x-kubernetes-validations` (CEL) are not looked at.
A schema is the work of a user of the sandbox, so its size is bounded before it is walked.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from coalmine_sandbox.api.schema import builtin
from coalmine_sandbox.api.schema.node import Node, Shape

#: Python's patterns backtrack: a short one over a short text (check.py bounds that) cannot take long by accident.
PATTERN_LIMIT: Final = 1_000
#: Deeper than any schema that a person writes; far from the interpreter's limit.
_DEPTH_LIMIT: Final = 60
_SHAPES: Final = {
    "string": Shape.STRING,
    "integer": Shape.INTEGER,
    "number": Shape.NUMBER,
    "boolean": Shape.BOOLEAN,
    "array": Shape.LIST,
    "object": Shape.OBJECT,
}
_RULES: Final = (
    "default",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "uniqueItems",
)
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")


class SchemaError(Exception):
    """A schema that this server cannot take; the text says where and why."""


def structure(schema: Mapping[str, Any]) -> Node:
    """The root node of a kind with this openAPIV3Schema; apiVersion, kind and metadata are added.

    Raises SchemaError.
    """
    return _embedded(_node(schema, "", 0))


def _embedded(node: Node) -> Node:
    """An object that is a Kubernetes object: its metadata is checked as any object's, whatever the schema says."""
    text = Node(Shape.STRING)
    fields = {**node.fields, "apiVersion": text, "kind": text, "metadata": builtin.definition(builtin.OBJECT_META)}
    return dataclasses.replace(node, fields=fields)


def _node(schema: Mapping[str, Any], path: str, depth: int) -> Node:
    if depth > _DEPTH_LIMIT:
        raise SchemaError(f"openAPIV3Schema{path}: is nested deeper than {_DEPTH_LIMIT} levels")
    rules = {key: schema[key] for key in _RULES if key in schema} | _junctions(schema, path, depth)
    _compiles(rules.get("pattern"), path)
    nullable = bool(schema.get("nullable"))
    if schema.get("x-kubernetes-int-or-string"):
        rules.pop("anyOf", None)  # integer or string, once more
        return Node(Shape.INT_OR_STRING, nullable=nullable, rules=rules)
    kind = schema.get("type")
    if kind is not None and kind not in _SHAPES:
        raise SchemaError(f"openAPIV3Schema{path}.type: Unsupported value: {kind!r}")
    if kind == "array":
        return Node(
            Shape.LIST,
            items=_node(schema.get("items") or {}, f"{path}.items", depth + 1),
            list_type=schema.get("x-kubernetes-list-type") or "atomic",
            keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
            nullable=nullable,
            rules=rules,
        )
    values = schema.get("additionalProperties")
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    if kind == "object" and values not in (None, False) and not schema.get("properties"):
        item = Node(Shape.ANY) if values is True else _node(values, f"{path}.additionalProperties", depth + 1)
        return Node(Shape.MAP, items=item, atomic=atomic, nullable=nullable, rules=rules)
    node = Node(
        _SHAPES[kind] if kind else Shape.ANY,
        fields={
            name: _node(value, f"{path}.properties[{name}]", depth + 1)
            for name, value in (schema.get("properties") or {}).items()
        },
        atomic=atomic,
        required=tuple(schema.get("required") or ()),
        nullable=nullable,
        open=bool(schema.get("x-kubernetes-preserve-unknown-fields")) or kind is None,
        rules=rules,
    )
    if node.shape is Shape.OBJECT and node.open and not node.fields and not node.required:
        node = dataclasses.replace(node, shape=Shape.ANY, rules={**rules, "type": "object"})
    return _embedded(node) if schema.get("x-kubernetes-embedded-resource") else node


def _junctions(schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
    """allOf, anyOf, oneOf and not, their parts as nodes that only check."""
    found: dict[str, Any] = {
        name: tuple(_node(part, f"{path}.{name}[{at}]", depth + 1) for at, part in enumerate(schema[name]))
        for name in _JUNCTORS
        if schema.get(name)
    }
    if schema.get("not"):
        found["not"] = _node(schema["not"], f"{path}.not", depth + 1)
    return found


def _compiles(pattern: str | None, path: str) -> None:
    if pattern is None:
        return
    if len(pattern) > PATTERN_LIMIT:
        raise SchemaError(f"openAPIV3Schema{path}.pattern: is longer than {PATTERN_LIMIT} characters")
    try:
        re.compile(pattern)
    except re.error as error:
        raise SchemaError(f"openAPIV3Schema{path}.pattern: is no regular expression: {error}") from error
