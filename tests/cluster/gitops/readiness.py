"""How tools tell whether a Deployment is rolled out: their documented rules as pure functions.

Sources, each read in its own repository:

- `kubectl`: k8s.io/kubectl, polymorphichelpers/rollout_status.go.
- `argo`: Argo CD, gitops-engine/pkg/health/health_deployment.go; `sync_wave`: gitops-engine/pkg/sync/sync_context.go.
- `kstatus`: kubernetes-sigs/cli-utils, pkg/kstatus/status (core.go, generic.go): Flux, and Helm 4 by default.
- `helm3`: Helm, pkg/kube/ready.go with PausedAsReady(true), which `--wait` passes; Helm 4's ``--wait=legacy``.
- `helm4`: Helm, pkg/kube/statuswait.go: a Deployment that its own write came back with as paused is not waited for.

They know nothing of Coalmine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

Object = Mapping[str, Any]

_EXCEEDED: Final = "ProgressDeadlineExceeded"
#: progressDeadlineSeconds that stands for "none" (the native controller's MaxInt32).
_NO_DEADLINE: Final = (1 << 31) - 1


def kubectl(deployment: Object) -> str:
    """``kubectl rollout status``: done (exit 0), waiting, or failed (exit 1)."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    if deployment["metadata"]["generation"] > status.get("observedGeneration", 0):
        return "waiting"
    if _reason(deployment) == _EXCEEDED:
        return "failed"
    updated = status.get("updatedReplicas", 0)
    if (
        updated < spec["replicas"]
        or status.get("replicas", 0) > updated
        or status.get("availableReplicas", 0) < updated
    ):
        return "waiting"
    return "done"


def argo(deployment: Object) -> str:
    """Argo CD's built-in health of a Deployment."""
    if deployment["metadata"].get("deletionTimestamp"):
        return "Progressing"
    if deployment["spec"].get("paused"):
        return "Suspended"
    return {"done": "Healthy", "waiting": "Progressing", "failed": "Degraded"}[kubectl(deployment)]


def sync_wave(health: str) -> str:
    """What an Argo CD sync with several waves or with hooks does about a resource of that health."""
    return {"Healthy": "goes on", "Degraded": "fails"}.get(health, "waits")


def kstatus(obj: Object) -> str:
    """Current, InProgress, Failed or Terminating: first the rules for every kind, then those for a Deployment."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata.get("generation"):
        return "InProgress"
    for condition in status.get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    return _kstatus_deployment(obj) if obj["kind"] == "Deployment" else "Current"


def _kstatus_deployment(deployment: Object) -> str:
    spec, status = deployment["spec"], deployment.get("status") or {}
    if _reason(deployment) == _EXCEEDED:
        return "Failed"
    wanted = spec.get("replicas", 1)
    updated, existing = status.get("updatedReplicas", 0), status.get("replicas", 0)
    if existing != wanted or updated < wanted:
        return "InProgress"
    if status.get("availableReplicas", 0) < updated or status.get("readyReplicas", 0) < wanted:
        return "InProgress"
    progressing = _condition(deployment, "Progressing")
    complete = (progressing.get("status"), progressing.get("reason")) == ("True", "NewReplicaSetAvailable")
    if not complete and spec.get("progressDeadlineSeconds", _NO_DEADLINE) != _NO_DEADLINE:
        return "InProgress"
    return "Current" if _condition(deployment, "Available").get("status") == "True" else "InProgress"


def helm3(deployment: Object, new_replica_set: Object | None) -> str:
    """Whether ``helm upgrade --wait`` returns: ready or waiting. It has no word for failed.

    `new_replica_set` is the owned one with the Deployment's template, if there is one.
    """
    if deployment["spec"].get("paused"):
        return "ready"
    if new_replica_set is None:
        return "waiting"
    status = deployment.get("status") or {}
    wanted = deployment["spec"]["replicas"]
    ready = (new_replica_set.get("status") or {}).get("readyReplicas", 0)
    observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return "ready" if observed and ready >= wanted - max_unavailable(deployment) else "waiting"


def helm4(written: Object, live: Object) -> str:
    """Helm 4's ``--wait``: `written` is the Deployment as the answer to Helm's own write showed it."""
    if written["spec"].get("paused"):
        return "ready"
    return {"Current": "ready", "Failed": "failed"}.get(kstatus(live), "waiting")


def max_unavailable(deployment: Object) -> int:
    """deployment/util MaxUnavailable: percentages round down; at least 1 if surge is 0 as well; none at 0 replicas."""
    replicas = int(deployment["spec"]["replicas"])
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    unavailable = math.floor(_share(rolling.get("maxUnavailable", "25%"), replicas))
    surge = math.ceil(_share(rolling.get("maxSurge", "25%"), replicas))
    if unavailable == surge == 0:
        unavailable = 1
    return min(unavailable, replicas)


def _share(value: int | str, of: int) -> float:
    return of * int(value.removesuffix("%")) / 100 if isinstance(value, str) else value


def _condition(deployment: Object, kind: str) -> Object:
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})


def _reason(deployment: Object) -> str:
    return str(_condition(deployment, "Progressing").get("reason", ""))
