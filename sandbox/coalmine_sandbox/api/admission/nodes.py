"""TaintNodesByCondition: a new node gets no pods until the node lifecycle controller has seen it ready. Pure."""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import NODES, Object
from coalmine_sandbox.api.admission.attributes import Attributes

_TAINT: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def complete(attributes: Attributes) -> Object | None:
    """The node with the taint; the same object for every other write."""
    node = attributes.object
    if node is None or attributes.resource != NODES or attributes.operation != "CREATE":
        return node
    spec = node.get("spec") or {}
    taints = spec.get("taints") or []
    if any(taint.items() >= _TAINT.items() for taint in taints):
        return node
    return {**node, "spec": {**spec, "taints": [*taints, dict(_TAINT)]}}
