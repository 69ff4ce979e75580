"""What is wrong with a CustomResourceDefinition (apiextensions' validation). Pure.

Words and paths are kube-apiserver's: faults of a schema are told under ``spec.validation``, where it stood in v1beta1,
because the real one tells them there. Three rules are the sandbox's own, each with a sentence: a kind has one version,
versions are not converted, and there is no CEL (`x-kubernetes-validations`) for custom objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.schema import check, structural
from coalmine_sandbox.api.schema.node import Node, Shape
from coalmine_sandbox.api.strategy import names
from coalmine_sandbox.api.strategy.faults import forbidden, invalid, not_supported, required

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_SCHEMA: Final = "spec.validation.openAPIV3Schema"
#: Fields of a schema that its junctors' parts may not have: they are about a value's form, which has one place.
_FORM: Final = ("type", "default", "description", "title", "nullable", "additionalProperties")
#: Deeper than any schema that a person writes (structural.py has the same bound).
_DEEPEST: Final = 60
#: Kubernetes' own groups, for which it asks for an approval.
_PROTECTED: Final = (".k8s.io", ".kubernetes.io")
_APPROVAL: Final = "api-approved.kubernetes.io"


def faults(definition: Object) -> list[Cause]:
    """Every fault of a definition."""
    spec = definition["spec"]
    found = [*_names(definition), *_versions(spec), *_own_limits(spec)]
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        found.append(invalid("spec.preserveUnknownFields", True, detail))
    for number, version in enumerate(spec.get("versions") or ()):
        found += _version(version, f"spec.versions[{number}]")
    return found


def _names(definition: Object) -> Iterator[Cause]:
    spec, metadata = definition["spec"], definition["metadata"]
    given, group = spec.get("names") or {}, str(spec.get("group") or "")
    if metadata.get("name") and metadata["name"] != f"{given.get('plural')}.{group}":
        yield invalid("metadata.name", metadata["name"], 'must be spec.names.plural+"."+spec.group')
    if group.endswith(_PROTECTED) and not (metadata.get("annotations") or {}).get(_APPROVAL):
        detail = f'protected groups must have approval annotation "{_APPROVAL}", '
        detail += "see https://github.com/kubernetes/enhancements/pull/1111"
        yield required(f"metadata.annotations[{_APPROVAL}]", detail)
    if not group:
        yield required("spec.group")
    elif wrong := names.dns_subdomain(group):
        yield invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced"))
    for field in ("plural", "singular"):
        yield from _label(str(given.get(field) or ""), f"spec.names.{field}", "")
    for field in ("kind", "listKind"):
        name = str(given.get(field) or "")
        yield from _label(name, f"spec.names.{field}", "may have mixed case, but should otherwise match: ")
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield invalid("spec.names.listKind", given["listKind"], "kind and listKind may not be the same")
    for field in ("shortNames", "categories"):
        for number, name in enumerate(given.get(field) or ()):
            yield from _label(str(name), f"spec.names.{field}[{number}]", "")


def _label(name: str, path: str, before: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
        return
    wrong = names.dns_1035_label(name.lower() if before else name)
    if wrong:
        yield invalid(path, name, before + ",".join(wrong))


def _versions(spec: Object) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    stored = [version for version in versions if version.get("storage")]
    if len(stored) != 1:
        told = [{"Name": v.get("name"), "Served": v.get("served"), "Storage": v.get("storage")} for v in versions]
        yield invalid("spec.versions", told, "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for number, version in enumerate(versions):
        path, name = f"spec.versions[{number}].name", str(version.get("name") or "")
        if wrong := names.dns_1035_label(name):
            yield invalid(path, name, ",".join(wrong))
        if name in seen:
            yield invalid("spec.versions", name, "must contain unique version names")
        seen.add(name)


def _own_limits(spec: Object) -> Iterator[Cause]:
    stored = [version for version in spec.get("versions") or () if version.get("storage")]
    if len(stored) == 1 and any(v.get("served") and not v.get("storage") for v in spec["versions"]):
        yield forbidden(
            "spec.versions", "the sandbox serves one version of a kind, the one that is stored: leave the others out"
        )
    if (spec.get("conversion") or {}).get("strategy") not in (None, "None"):
        yield forbidden("spec.conversion.strategy", "the sandbox converts nothing: write None")


def _version(version: Object, path: str) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield required(f"{path}.schema.openAPIV3Schema")
    else:
        yield from _whole_schema(schema)
    for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column(column, f"spec.additionalPrinterColumns[{number}]")
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        for field, start in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
            here, value = f"spec.subresources.scale.{field}", str(scale.get(field) or "")
            if not value:
                yield required(here)
            elif not _simple(value):
                yield invalid(here, value, "must be a simple json path starting with .")
            elif not value.startswith(start):
                yield invalid(here, value, f"should be a json path under {start.rstrip('.')}")


def _column(column: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{path}.name")
    kind = str(column.get("type") or "")
    if not kind:
        yield required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif kind not in _COLUMN_TYPES:
        yield invalid(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    where = str(column.get("jsonPath") or "")
    if not where:
        yield required(f"{path}.JSONPath")
    elif not _simple(where):
        yield invalid(f"{path}.JSONPath", where, "must be a simple json path starting with .")


def _simple(path: str) -> bool:
    return path.startswith(".")


# --- schemas -----------------------------------------------------------------------------------


def _whole_schema(schema: Object) -> Iterator[Cause]:
    if not schema.get("type"):
        yield required(f"{_SCHEMA}.type", "must not be empty at the root")
        return
    if schema["type"] != "object":
        yield invalid(f"{_SCHEMA}.type", schema["type"], "must be object at the root")
        return
    found = [*_metadata(schema), *_schema(schema, _SCHEMA, 0)]
    if found:
        yield from found
        return
    try:
        node = structural.structure(schema)
    except structural.SchemaError as error:
        yield invalid(_SCHEMA, "", str(error))
        return
    yield from _defaults(node, _SCHEMA)


def _metadata(schema: Object) -> Iterator[Cause]:
    about = (schema.get("properties") or {}).get("metadata") or {}
    if set(about.get("properties") or ()) - {"name", "generateName"}:
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(f"{_SCHEMA}.properties[metadata]", detail)


def _schema(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[Cause]:
    """Faults of the schema of a value that has a place of its own."""
    if depth > _DEEPEST:
        yield forbidden(path, f"is nested deeper than {_DEEPEST} levels")
        return
    if schema.get("$ref"):
        yield forbidden(f"{path}.$ref", "$ref is not supported")
        return
    yield from _any_schema(schema, path)
    kind = schema.get("type")
    if not kind and not (
        schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        yield required(f"{path}.type", "must not be empty for specified object fields")
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    properties, values, items = schema.get("properties"), schema.get("additionalProperties"), schema.get("items")
    if properties and values not in (None, False):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if kind == "array" and items is None:
        yield required(f"{path}.items", "must be specified")
    for name, value in (properties or {}).items():
        yield from _schema(value, f"{path}.properties[{name}]", depth + 1)
    if isinstance(values, dict):
        yield from _schema(values, f"{path}.additionalProperties", depth + 1)
    if isinstance(items, dict):
        yield from _schema(items, f"{path}.items", depth + 1)
    yield from _parts(schema, path, depth)
    if schema.get("x-kubernetes-list-type") == "map":
        yield from _map_list(schema, path)


def _any_schema(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", detail)
    if schema.get("x-kubernetes-validations"):
        detail = "the sandbox evaluates no CEL rules of custom objects, and does not pass over them: leave them out"
        yield forbidden(f"{path}.x-kubernetes-validations", detail)


def _parts(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[Cause]:
    """The parts of allOf, anyOf, oneOf and not."""
    parts = [
        (part, f"{path}.{name}[{number}]")
        for name in ("allOf", "anyOf", "oneOf")
        for number, part in enumerate(schema.get(name) or ())
    ]
    if schema.get("not"):
        parts.append((schema["not"], f"{path}.not"))
    for part, here in parts:
        yield from _part(part, here, depth + 1, typed=bool(schema.get("x-kubernetes-int-or-string")))


def _part(part: Mapping[str, Any], path: str, depth: int, *, typed: bool) -> Iterator[Cause]:
    if depth > _DEEPEST:
        yield forbidden(path, f"is nested deeper than {_DEEPEST} levels")
        return
    if part.get("$ref"):
        yield forbidden(f"{path}.$ref", "$ref is not supported")
        return
    yield from _any_schema(part, path)
    for field in _FORM:
        if part.get(field) not in (None, "", False) and not (typed and field == "type"):
            yield forbidden(f"{path}.{field}", "must be empty to be structural")
    for name, value in (part.get("properties") or {}).items():
        yield from _part(value, f"{path}.properties[{name}]", depth + 1, typed=False)
    if isinstance(part.get("items"), dict):
        yield from _part(part["items"], f"{path}.items", depth + 1, typed=False)
    yield from _parts(part, path, depth)


def _map_list(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if not keys:
        detail = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", detail)
    items = schema.get("items") or {}
    properties = items.get("properties") or {}
    for number, key in enumerate(keys):
        if key not in properties:
            detail = "entries must all be names of item properties"
            yield invalid(f"{path}.x-kubernetes-list-map-keys[{number}]", key, detail)
        elif key not in (items.get("required") or ()) and properties[key].get("default") is None:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield required(f"{path}.items.properties[{key}].default", detail)


def _defaults(node: Node, path: str) -> Iterator[Cause]:
    """Defaults that their own schema refuses."""
    for name, child in node.fields.items():
        here = f"{path}.properties[{name}]"
        if path == _SCHEMA and name in ("apiVersion", "kind", "metadata"):
            continue
        if "default" in child.rules:
            alone = Node(Shape.OBJECT, fields={"default": child})
            for cause in check.faults(alone, {"default": child.rules["default"]}):
                field = f"{here}.{cause.field}"
                yield Cause(cause.reason, cause.message.replace(": default in body", ":  in body"), field)
        yield from _defaults(child, here)
    if node.items is not None:
        yield from _defaults(node.items, f"{path}.items")
