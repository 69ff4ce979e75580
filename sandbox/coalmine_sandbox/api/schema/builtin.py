"""The structures of Kubernetes' own kinds, from two recorded files beside this one.

``kubernetes.json``: the definitions that a real API server publishes under /openapi/v3, those that the served
kinds reach. ``spelling.json``: how Go's types write a field that is empty, which OpenAPI does not tell.
tests/cluster/test_schema.py compares both with the real one, and writes them anew.

A node stands for one occurrence of a definition; the fields below it are shared, and made once.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from coalmine.kube.resources import Resource
from coalmine_sandbox.api.schema.node import Node, Presence, Shape

#: Definitions that write themselves otherwise than as their fields. JSON schemas inside a CRD are kept as they are.
_OPAQUE: Final = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
}
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_MICRO_TIME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

#: OpenAPI calls more fields required than the API server's own validation insists on: of these, a text that is
#: required must not be empty, except where an empty one means something ...
_MAY_BE_EMPTY: Final = {"value", "message", "reason", "apiGroup"}
#: ... and of what is no text, these must be there.
_REQUIRED: Final = {"containers", "selector", "clientConfig", "admissionReviewVersions", "sideEffects", "verbs"}
_SHAPES: Final = {
    "string": Shape.STRING,
    "integer": Shape.INTEGER,
    "number": Shape.NUMBER,
    "boolean": Shape.BOOLEAN,
    "array": Shape.LIST,
    "object": Shape.OBJECT,
}
_RULES: Final = ("enum", "format", "default", "minimum", "maximum", "pattern")


@cache
def definitions() -> Mapping[str, Any]:
    """The recorded OpenAPI definitions by name, without prose. Not to be written to."""
    return MappingProxyType(_recorded("kubernetes.json"))


@cache
def _by_kind() -> Mapping[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for name, definition in definitions().items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            group, version = kind["group"], kind["version"]
            found.setdefault((f"{group}/{version}" if group else version, kind["kind"]), name)
    return found


def definition_name(api_version: str, kind: str) -> str | None:
    """The definition's name, as ``io.k8s.api.apps.v1.Deployment``; None for a kind that is not built in."""
    return _by_kind().get((api_version, kind))


def structure(resource: Resource) -> Node | None:
    """The root node of a built-in kind; None for any other."""
    return subresource_structure(resource.api_version, resource.kind)


def subresource_structure(api_version: str, kind: str) -> Node | None:
    """The same for what is only sent to a subresource: Scale, TokenRequest, Eviction, Binding."""
    name = definition_name(api_version, kind)
    return None if name is None else definition(name)


@cache
def definition(name: str) -> Node:
    """The node of a definition; objects may be on a cycle (a JSON schema holds JSON schemas)."""
    schema = definitions()[name]
    if name in _OPAQUE:
        return Node(Shape.ANY, atomic=True)
    if name == _QUANTITY:
        return Node(Shape.STRING, rules={"format": "quantity"})
    if name == _MICRO_TIME:
        return Node(Shape.STRING, rules={"format": "micro-time"})
    if name == _INT_OR_STRING:
        return Node(Shape.INT_OR_STRING)
    if schema.get("type") == "object":
        return _objects(name)
    return _node(schema)


def _objects(name: str) -> Node:
    """Made before its fields are, so that they can refer to it."""
    made = _making.get(name)
    if made is not None:
        return made
    schema = definitions()[name]
    spelling = _spelling().get(name, {})
    fields: dict[str, Node] = {}
    node = Node(
        Shape.OBJECT,
        fields=fields,
        atomic=schema.get("x-kubernetes-map-type") == "atomic",
        required=_required(name, schema),
        open=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        name=".".join(name.split(".")[-2:]),
        always=tuple(spelling.get("always", ())),
    )
    _making[name] = node
    for field, value in schema.get("properties", {}).items():
        presence = Presence.OMITTED
        pointer, always = field in spelling.get("pointer", ()), field in spelling.get("always", ())
        if pointer:
            presence = Presence.NULL if always else Presence.KEPT
        elif always:
            presence = Presence.ALWAYS
        fields[field] = dataclasses.replace(_node(value), presence=presence)
    return node


#: Objects whose fields are being, or have been, made.
_making: dict[str, Node] = {}


def _node(schema: Mapping[str, Any]) -> Node:
    """The node of a field, of a list's items or of a map's values."""
    rules = {key: schema[key] for key in _RULES if key in schema}
    strategies = schema.get("x-kubernetes-patch-strategy", "").split(",")
    replaced = "replace" in strategies
    referred = next((part["$ref"] for part in (schema, *schema.get("allOf", ())) if "$ref" in part), None)
    if referred is not None:
        name = referred.rpartition("/")[2]
        found = _making.get(name) or definition(name)
        atomic = found.atomic if "x-kubernetes-map-type" not in schema else schema["x-kubernetes-map-type"] == "atomic"
        return dataclasses.replace(found, rules={**found.rules, **rules}, atomic=atomic, replaced=replaced)
    kind = schema.get("type")
    if kind == "array":
        merge = "merge" in strategies
        key = schema.get("x-kubernetes-patch-merge-key", "") if merge else ""
        return Node(
            Shape.LIST,
            items=_node(schema["items"]),
            list_type=schema.get("x-kubernetes-list-type", "atomic"),
            keys=tuple(schema.get("x-kubernetes-list-map-keys", ())),
            merge_key=key,
            merged=merge and not key,
            rules=rules,
        )
    if kind == "object" and "additionalProperties" in schema:
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        return Node(Shape.MAP, items=_node(schema["additionalProperties"]), atomic=atomic, rules=rules)
    return Node(_SHAPES[kind] if kind else Shape.ANY, rules=rules)


def _required(name: str, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What the API server's validation refuses to miss; nothing of a status, which is the controllers' own."""
    properties = schema.get("properties", {})
    if "Status" in name or "Condition" in name:
        return ()
    return tuple(
        field
        for field in schema.get("required", ())
        if field in _REQUIRED or (properties[field].get("type") == "string" and field not in _MAY_BE_EMPTY)
    )


@cache
def _spelling() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = _recorded("spelling.json")
    return found


def _recorded(name: str) -> Any:
    return json.loads(resources.files(__package__).joinpath(name).read_text())
