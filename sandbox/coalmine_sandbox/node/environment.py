"""The environment and the command line of a container, from its spec: pure.

Rules of the Kubernetes API: ``$(NAME)`` is replaced by a variable defined before it, ``$$(NAME)``
stays as ``$(NAME)``, an unknown name is left as it is; a later entry of `env` replaces an
earlier one and anything of `envFrom`; what is optional and missing is left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.kube.resources import Object, annotations_of, labels_of
from coalmine.model.quantities import divide

_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^()]*)\))")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]\Z")


class MissingError(Exception):
    """Something that the pod refers to is not there (yet); the text names it."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the downward API tells, and where referred objects are found."""

    pod: Object
    address: str
    host_address: str
    #: The node's own, where a container states no limit.
    allocatable: Mapping[str, str]
    #: kind ("ConfigMap", "Secret") and name -> the object in the pod's namespace.
    find: Callable[[str, str], Object | None] = field(repr=False)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` references."""

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def command_line(container: Object, image: tuple[str, ...], variables: Mapping[str, str]) -> list[str]:
    """`command` takes the place of the image's own, `args` are added to either."""
    command = [expand(part, variables) for part in container.get("command") or ()]
    return (command or list(image)) + [expand(part, variables) for part in container.get("args") or ()]


def variables_of(
    container: Object, facts: PodFacts, base: Mapping[str, str], rewrite: Callable[[str], str] = str
) -> dict[str, str]:
    """`base`, then envFrom, then env; `rewrite` is applied to texts of ConfigMaps and Secrets. Raises MissingError."""
    variables = dict(base)
    for source in container.get("envFrom") or ():
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                prefix = str(source.get("prefix", ""))
                found = _object(facts, kind, source[key])
                variables |= {prefix + name: rewrite(text) for name, text in texts(found).items()} if found else {}
    for entry in container.get("env") or ():
        value = _value(entry, container, facts, variables, rewrite)
        if value is not None:
            variables[str(entry["name"])] = value
    return variables


def texts(obj: Object) -> dict[str, str]:
    """The entries of a ConfigMap or Secret that are text."""
    found = {}
    for name, content in contents(obj).items():
        try:
            found[name] = content.decode()
        except UnicodeDecodeError:
            continue
    return found


def contents(obj: Object) -> dict[str, bytes]:
    """The entries of a ConfigMap or Secret as bytes."""
    if obj["kind"] == "Secret":
        return {name: _decode(value) for name, value in (obj.get("data") or {}).items()}
    plain = {name: str(value).encode() for name, value in (obj.get("data") or {}).items()}
    return plain | {name: _decode(value) for name, value in (obj.get("binaryData") or {}).items()}


def field_value(path: str, facts: PodFacts) -> str:
    """The text of a fieldRef. Raises MissingError for a field that the downward API does not have."""
    pod = facts.pod
    metadata = pod["metadata"]
    if match := _SUBSCRIPT.match(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        mapping = labels_of(pod) if path.endswith("labels") else annotations_of(pod)
        return "\n".join(f"{key}={_quote(value)}" for key, value in sorted(mapping.items()))
    simple = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.podIP": facts.address,
        "status.podIPs": facts.address,
        "status.hostIP": facts.host_address,
        "status.hostIPs": facts.host_address,
    }
    if path not in simple:
        raise MissingError(f"fieldPath {path} is not known to this node")
    return str(simple[path])


def resource_value(reference: Mapping[str, Any], container: Object, facts: PodFacts) -> str:
    """The text of a resourceFieldRef. Raises MissingError."""
    resource = str(reference.get("resource", ""))
    holder = container
    if name := reference.get("containerName"):
        spec = facts.pod["spec"]
        holder = next(
            (c for c in [*spec["containers"], *(spec.get("initContainers") or ())] if c["name"] == name), container
        )
    kind, _, what = resource.partition(".")
    stated = ((holder.get("resources") or {}).get(kind) or {}).get(what)
    if stated is None:
        stated = facts.allocatable.get(what, "0") if kind == "limits" else "0"
    try:
        return str(divide(str(stated), str(reference.get("divisor", ""))))
    except ValueError as error:
        raise MissingError(f"resourceFieldRef {resource}: {error}") from error


def _value(
    entry: Object, container: Object, facts: PodFacts, before: Mapping[str, str], rewrite: Callable[[str], str]
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(str(entry.get("value", "")), before)
    if "fieldRef" in source:
        return field_value(str(source["fieldRef"]["fieldPath"]), facts)
    if "resourceFieldRef" in source:
        return resource_value(source["resourceFieldRef"], container, facts)
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if key in source:
            found = _object(facts, kind, source[key])
            wanted = str(source[key]["key"])
            value = texts(found).get(wanted) if found else None
            if value is None and not source[key].get("optional"):
                raise MissingError(f"{kind} {source[key]['name']} has no key {wanted}")
            return None if value is None else rewrite(value)
    raise MissingError(f"env {entry['name']}: this valueFrom is not known to this node")


def _object(facts: PodFacts, kind: str, reference: Mapping[str, Any]) -> Object | None:
    name = str(reference.get("name", ""))
    found = facts.find(kind, name)
    if found is None and not reference.get("optional"):
        raise MissingError(f"{kind.lower()} {name!r} not found")
    return found


def _quote(value: str) -> str:
    """As the downward API quotes (Go's %q), for the characters that labels and annotations hold."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MissingError(f"a value is not base64: {error}") from error
