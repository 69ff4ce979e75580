"""/openapi/v3: what objects look like, for kubectl's checks and ``kubectl explain``.

The definitions are those of a real API server without their prose, but for those of custom kinds, which have it; of the
paths only as much is told as kubectl looks for: which kinds take a PATCH with fieldValidation, and which are served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.discovery import GIT_VERSION
from coalmine_sandbox.api.kinds import Kind, Kinds
from coalmine_sandbox.api.schema import builtin
from coalmine_sandbox.api.store import encoded

_REFERENCE: Final = "#/components/schemas/"
_CONVENTIONS: Final = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION: Final = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized "
    f"schemas to the latest internal value, and may reject unrecognized values. {_CONVENTIONS}#resources"
)
_KIND: Final = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    f"endpoint the client submits requests to. Cannot be updated. In CamelCase. {_CONVENTIONS}#types-kinds"
)
_METADATA: Final = f"Standard object's metadata. {_CONVENTIONS}#metadata"
_QUERY: Final = ("dryRun", "fieldManager", "fieldValidation")


class OpenApi:
    """The documents, made when they are first asked for."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._made: dict[str, tuple[tuple[Kind, ...], bytes]] = {}

    def index(self) -> Object:
        """/openapi/v3"""
        paths = {}
        for api_version in dict.fromkeys(kind.resource.api_version for kind in self._kinds):
            path = _path(api_version)
            digest = hashlib.sha256(self._document(api_version)).hexdigest().upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": paths}

    def document(self, path: str) -> bytes | None:
        """/openapi/v3/PATH; None when there is none."""
        for kind in self._kinds:
            if _path(kind.resource.api_version) == path:
                return self._document(kind.resource.api_version)
        return None

    def _document(self, api_version: str) -> bytes:
        served = tuple(kind for kind in self._kinds if kind.resource.api_version == api_version)
        made = self._made.get(api_version)
        # by identity: a definition that changed makes another kind
        if made is None or [id(kind) for kind in made[0]] != [id(kind) for kind in served]:
            made = self._made[api_version] = served, encoded(_document(served))
        return made[1]


def _path(api_version: str) -> str:
    return "api/v1" if api_version == "v1" else f"apis/{api_version}"


def _document(served: tuple[Kind, ...]) -> Object:
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind in served:
        name = _add(kind, schemas)
        if name is None:
            continue
        base = kind.resource.path("{namespace}" if kind.resource.namespaced else None)
        about = {"group": kind.group, "version": kind.version, "kind": kind.resource.kind}
        paths[base] = _operations(about, name, [verb for verb in ("list", "create") if verb in kind.verbs])
        every = kind.resource.path(None)
        paths.setdefault(every, _operations(about, name, [verb for verb in ("list",) if verb in kind.verbs]))
        if "get" in kind.verbs:
            paths[f"{base}/{{name}}"] = _operations(about, name, ["get", "update", "patch", "delete"])
    info = {"title": "Kubernetes", "version": GIT_VERSION}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


_METHODS: Final = {"list": "get", "create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}


def _operations(about: Object, name: str, verbs: list[str]) -> Object:
    answer = {"application/json": {"schema": {"$ref": _REFERENCE + name}}}
    operations = {}
    for verb in verbs:
        operation: Object = {
            "responses": {"200": {"description": "OK", "content": answer}},
            "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
            "x-kubernetes-group-version-kind": about,
        }
        if verb in ("create", "update", "patch"):
            operation["parameters"] = [{"name": n, "in": "query", "schema": {"type": "string"}} for n in _QUERY]
        operations[_METHODS[verb]] = operation
    return operations


def _add(kind: Kind, schemas: dict[str, Any]) -> str | None:
    """Add a kind's definition and all that it refers to; its name."""
    if kind.custom is None:
        name = builtin.definition_name(kind.resource.api_version, kind.resource.kind)
        if name is not None:
            _reach(name, schemas)
        return name
    group = ".".join(reversed(kind.group.split(".")))
    name = f"{group}.{kind.version}.{kind.resource.kind}"
    _reach(builtin.OBJECT_META, schemas)
    properties = dict(kind.custom.schema.get("properties") or {})
    # apiextensions-apiserver's builder puts these in the place of whatever the definition says of them
    properties["apiVersion"] = {"type": "string", "description": _API_VERSION}
    properties["kind"] = {"type": "string", "description": _KIND}
    metadata = {"allOf": [{"$ref": _REFERENCE + builtin.OBJECT_META}], "default": {}}
    properties["metadata"] = {"description": _METADATA, **metadata}
    about = {"group": kind.group, "version": kind.version, "kind": kind.resource.kind}
    schemas[name] = {
        "type": "object",
        **kind.custom.schema,
        "properties": properties,
        "x-kubernetes-group-version-kind": [about],
    }
    return name


def _reach(name: str, schemas: dict[str, Any]) -> None:
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in schemas:
            schemas[each] = builtin.definitions()[each]
            waiting += _references(schemas[each])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item.removeprefix(_REFERENCE)
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
