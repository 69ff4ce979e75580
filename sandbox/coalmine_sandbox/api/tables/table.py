"""Tables: which kind is shown how, and the objects that go over the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from coalmine.kube import resources as r
from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api import kinds as k
from coalmine_sandbox.api.tables import custom, others, pods, workloads
from coalmine_sandbox.api.tables.column import Layout

_LAYOUTS: Final[dict[Resource, Layout]] = {
    r.PODS: pods.PODS,
    r.DEPLOYMENTS: workloads.DEPLOYMENTS,
    r.REPLICA_SETS: workloads.REPLICA_SETS,
    k.JOBS: workloads.JOBS,
    k.BUDGETS: workloads.BUDGETS,
    r.NAMESPACES: others.NAMESPACES,
    r.NODES: others.NODES,
    r.SERVICES: others.SERVICES,
    r.EVENTS: others.EVENTS,
    r.CONFIG_MAPS: others.CONFIG_MAPS,
    r.SECRETS: others.SECRETS,
    r.SERVICE_ACCOUNTS: others.AGED,
    k.CLAIMS: others.CLAIMS,
    k.RESOURCE_QUOTAS: others.QUOTAS,
    r.ENDPOINT_SLICES: others.SLICES,
    r.LEASES: others.LEASES,
    r.MUTATING_WEBHOOKS: others.WEBHOOKS,
    k.ROLE_BINDINGS: others.BINDINGS,
    k.CLUSTER_ROLE_BINDINGS: others.BINDINGS,
}


def layout(kind: k.Kind) -> Layout:
    """How a kind is shown."""
    if kind.custom is not None:
        return custom.layout(kind.custom)
    return _LAYOUTS.get(kind.storage, others.PLAIN)


def partial(obj: Object) -> Object:
    """An object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(
    kind: k.Kind, objects: Iterable[Object], metadata: Object, now: float, *, include: str = "", columns: bool = True
) -> Object:
    """A Table of stored objects; `include`: None, Metadata (also ""), Object; `columns`: with their heads."""
    shown = layout(kind)
    rows: list[Any] = []
    for obj in objects:
        row: Object = {"cells": shown.cells(obj, now)}
        if conditions := _conditions(kind, obj):
            row["conditions"] = conditions
        row["object"] = None if include == "None" else obj if include == "Object" else partial(obj)
        rows.append(row)
    heads = [column.to_json() for column in shown.columns] if columns else None
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": heads,
        "rows": rows,
    }


_COMPLETED: Final = {
    "Succeeded": ("Succeeded", "The pod has completed successfully."),
    "Failed": ("Failed", "The pod failed."),
}


def _conditions(kind: k.Kind, obj: Object) -> list[Object]:
    """A row that is done with: kubectl used to hide these."""
    done = _COMPLETED.get((obj.get("status") or {}).get("phase", "")) if kind.resource == r.PODS else None
    if done is None:
        return []
    return [{"type": "Completed", "status": "True", "reason": done[0], "message": done[1]}]
