"""Where the sandbox's knowledge of Kubernetes' own kinds comes from: two sources, each read by one function.

`definitions`: what a real API server says under /openapi/v3, reduced to the kinds that the sandbox serves and
without the prose. `spelling`: what that does not say, how Go writes a field that is empty, read from the
declarations of the same version's Go types (`json:"replicas,omitempty"`): one line of a declaration is one field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coalmine.kube.client import Client

#: By the last parts of their definition's name.
KINDS = (
    "core.v1.Namespace",
    "core.v1.Pod",
    "core.v1.Service",
    "core.v1.Node",
    "core.v1.ConfigMap",
    "core.v1.Secret",
    "core.v1.ServiceAccount",
    "core.v1.ResourceQuota",
    "core.v1.PersistentVolumeClaim",
    "core.v1.Event",
    "core.v1.Binding",
    "policy.v1.PodDisruptionBudget",
    "policy.v1.Eviction",
    "batch.v1.Job",
    "apps.v1.Deployment",
    "apps.v1.ReplicaSet",
    "discovery.v1.EndpointSlice",
    "coordination.v1.Lease",
    "rbac.v1.Role",
    "rbac.v1.RoleBinding",
    "rbac.v1.ClusterRole",
    "rbac.v1.ClusterRoleBinding",
    "admissionregistration.v1.MutatingWebhookConfiguration",
    "apiextensions.v1.CustomResourceDefinition",
    "autoscaling.v1.Scale",
    "authentication.v1.TokenRequest",
    "authorization.v1.SelfSubjectAccessReview",
    "events.v1.Event",
    "meta.v1.DeleteOptions",
    "meta.v1.Status",
)
GROUPS = (
    "api/v1",
    "apis/admissionregistration.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1",
    "apis/apps/v1",
    "apis/authentication.k8s.io/v1",
    "apis/authorization.k8s.io/v1",
    "apis/autoscaling/v1",
    "apis/batch/v1",
    "apis/coordination.k8s.io/v1",
    "apis/discovery.k8s.io/v1",
    "apis/events.k8s.io/v1",
    "apis/policy/v1",
    "apis/rbac.authorization.k8s.io/v1",
)


def lines(entries: Mapping[str, Any]) -> str:
    """JSON, one entry a line, so that a difference can be read."""
    rows = [
        f"{json.dumps(k)}: {json.dumps(v, sort_keys=True, separators=(',', ':'))}" for k, v in sorted(entries.items())
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


async def definitions(client: Client) -> dict[str, Any]:
    """The definitions that KINDS reach, by name."""
    everything: dict[str, Any] = {}
    for group in GROUPS:
        document = await client.raw("GET", f"/openapi/v3/{group}")
        everything |= document["components"]["schemas"]
    found: dict[str, Any] = {}
    wanted = [name for name in everything if name.endswith(tuple(f".{kind}" for kind in KINDS))]
    assert len(wanted) == len(KINDS), wanted
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _without_prose(everything[name])
            wanted += _references(found[name])
    return found


def spelling(found: Mapping[str, Any], modules: Path, version: str) -> dict[str, Any]:
    """How Go writes each definition's fields; `modules` is the Go module cache's ``k8s.io``.

    ``pointer``: written if set, whatever the value. ``always``: written in any case. Left out when empty: the rest.
    """
    types = _Types(modules, version)
    answer: dict[str, Any] = {}
    for name, definition in found.items():
        if "properties" not in definition:
            continue
        fields = types.fields(*_package(name))
        entry: dict[str, list[str]] = {"pointer": [], "always": []}
        for field, schema in definition["properties"].items():
            go, options = fields[field]
            structure = bool(_reference(schema)) and not go.startswith(("[]", "map["))
            if go.startswith("*"):
                entry["pointer"].append(field)
                if "omitempty" not in options:
                    entry["always"].append(field)  # null where it is not set
            elif "omitzero" not in options and (structure or "omitempty" not in options):
                entry["always"].append(field)
        if any(entry.values()):
            answer[name] = {k: sorted(v) for k, v in entry.items() if v}
    return answer


class _Types:
    """The struct declarations of the API packages."""

    def __init__(self, modules: Path, version: str) -> None:
        self._modules = modules
        self._version = version
        self._sources: dict[str, str] = {}

    def fields(self, package: str, struct: str) -> dict[str, tuple[str, str]]:
        """Each JSON field's Go type and the options of its tag; embedded structs' fields are its own."""
        if package not in self._sources:
            module, _, rest = package.partition("/")
            folder = self._modules / f"{module}@{self._version}" / rest
            self._sources[package] = "\n".join(
                path.read_text() for path in sorted(folder.glob("*.go")) if not path.name.endswith("_test.go")
            )
        body = re.search(rf"^type {struct} struct {{\n(.*?)^}}", self._sources[package], re.M | re.S)
        assert body, (package, struct)
        found: dict[str, tuple[str, str]] = {}
        for line in body[1].splitlines():
            field = re.match(r"\s*(?:\w+\s+)?(\*?[\w.\[\]*{}]+)\s+`.*?json:\"([^\"]*)\"", line)
            if field is None or line.lstrip().startswith("//"):
                continue
            name, _, options = field[2].partition(",")
            if name == "-":
                continue
            if name:
                found[name] = (field[1], options)
            elif field[1] not in {"metav1.TypeMeta", "TypeMeta"}:
                found |= self.fields(package, field[1].rpartition(".")[2])
            else:
                found |= {"apiVersion": ("string", "omitempty"), "kind": ("string", "omitempty")}
        return found


def _package(definition: str) -> tuple[str, str]:
    """``io.k8s.api.core.v1.Pod`` is Pod in ``api/core/v1``."""
    path, _, struct = definition.removeprefix("io.k8s.").rpartition(".")
    return path.replace(".", "/"), struct


def _without_prose(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_prose(v) for k, v in node.items() if k != "description" or not isinstance(v, str)}
    return [_without_prose(item) for item in node] if isinstance(node, list) else node


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):  # JSONSchemaProps has a field of this name
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _reference(schema: Mapping[str, Any]) -> str:
    return next(_references({k: v for k, v in schema.items() if k in {"$ref", "allOf"}}), "")
