"""Deployments, ReplicaSets and pods as the API server would give them."""

from __future__ import annotations

import copy
from typing import Any

from coalmine.kube.resources import Object
from coalmine.model.names import DESIRED_REPLICAS, MAX_REPLICAS, POD_TEMPLATE_HASH, REVISION
from coalmine_sandbox.api.times import timestamp

NOW = 1_000_000.0
LABELS = {"app": "app"}


def template(image: str = "app:1", **labels: str) -> Object:
    return {"metadata": {"labels": {**LABELS, **labels}}, "spec": {"containers": [{"name": "app", "image": image}]}}


def deployment(
    replicas: int = 4,
    image: str = "app:1",
    *,
    surge: int | str = 1,
    unavailable: int | str = 0,
    status: Object | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Object:
    """`paused`, `minReadySeconds` and the like go into the spec."""
    metadata: Object = {"name": "app", "namespace": "test", "uid": "d", "generation": 3, "resourceVersion": "10"}
    if annotations:
        metadata["annotations"] = annotations
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "strategy": strategy,
            "template": template(image),
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            **spec,
        },
        "status": status or {},
    }


def replica_set(
    name: str,
    replicas: int,
    available: int | None = None,
    *,
    image: str = "app:1",
    age: float = 0.0,
    revision: int = 0,
    sizes: tuple[int, int] | None = None,
    annotations: dict[str, str] | None = None,
    **status: Any,
) -> Object:
    """Owned by the Deployment `d`; `age` in seconds before NOW; `sizes` is what it was told when it was scaled."""
    noted = dict(annotations or {})
    if revision:
        noted[REVISION] = str(revision)
    if sizes is not None:
        noted[DESIRED_REPLICAS], noted[MAX_REPLICAS] = map(str, sizes)
    labels = {**LABELS, POD_TEMPLATE_HASH: name}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app", "uid": "d"}
    have = replicas if available is None else available
    counts = {"readyReplicas": have, "availableReplicas": have, "fullyLabeledReplicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "test",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "20",
            "creationTimestamp": timestamp(NOW - age),
            "labels": labels,
            "annotations": noted,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template(image, **{POD_TEMPLATE_HASH: name}),
        },
        "status": {
            "replicas": replicas,
            **{key: value for key, value in counts.items() if value},
            "observedGeneration": 1,
            "terminatingReplicas": 0,
            **status,
        },
    }


def pod(
    name: str,
    *,
    ready: float | None = 0.0,
    age: float = 10.0,
    node: str = "node",
    phase: str = "Running",
    owner: str = "rs",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    deleting: bool = False,
    restarts: int = 0,
    address: str = "127.0.0.1",
    **spec: Any,
) -> Object:
    """`ready`: for how many seconds it has been ready, None when it is not."""
    metadata: Object = {
        "name": name,
        "namespace": "test",
        "uid": f"uid-{name}",
        "resourceVersion": "30",
        "creationTimestamp": timestamp(NOW - age),
        "labels": labels if labels is not None else dict(LABELS),
    }
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": f"uid-{owner}"}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    if annotations:
        metadata["annotations"] = annotations
    if deleting:
        metadata["deletionTimestamp"] = timestamp(NOW)
    condition = {"type": "Ready", "status": "False" if ready is None else "True"}
    if ready is not None:
        condition["lastTransitionTime"] = timestamp(NOW - ready)
    body = {"containers": [{"name": "app", "image": "app:1"}], **copy.deepcopy(spec)}
    if node:
        body["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": body,
        "status": {
            "phase": phase,
            "conditions": [condition],
            "podIPs": [{"ip": address}] if address else [],
            "containerStatuses": [{"name": "app", "restartCount": restarts}],
        },
    }
