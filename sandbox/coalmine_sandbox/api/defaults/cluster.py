"""Namespaces and nodes (pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import Object


def _namespace(obj: Object) -> None:
    if name := obj["metadata"].get("name"):
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    obj["status"].setdefault("phase", "Active")


def _node(obj: Object) -> None:
    status = obj["status"]
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))


DEFAULTS: Final = {
    ("v1", "Namespace"): _namespace,
    ("v1", "Node"): _node,
}
