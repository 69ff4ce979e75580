"""Deployments in every state that the tools tell apart, and what three of them say."""

from __future__ import annotations

from typing import Any

COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
EXCEEDED = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
PAUSED = {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}
AVAILABLE = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}


def deployment(
    *,
    updated: int = 4,
    replicas: int = 4,
    available: int = 4,
    ready: int = 4,
    observed: int = 3,
    progressing: dict[str, str] = COMPLETE,
    is_available: dict[str, str] | None = AVAILABLE,
    **spec: Any,
) -> dict[str, Any]:
    conditions = [progressing, *([is_available] if is_available else [])]
    return {
        "kind": "Deployment",
        "metadata": {"name": "app", "generation": 3},
        "spec": {"replicas": 4, "progressDeadlineSeconds": 600, **spec},
        "status": {
            "observedGeneration": observed,
            "updatedReplicas": updated,
            "replicas": replicas,
            "availableReplicas": available,
            "readyReplicas": ready,
            "conditions": conditions,
        },
    }


TABLE = {
    "complete": (deployment(), "done", "Healthy", "Current"),
    "not seen yet": (deployment(observed=2), "waiting", "Progressing", "InProgress"),
    "too few updated": (deployment(updated=3), "waiting", "Progressing", "InProgress"),
    "old ones left": (deployment(replicas=5), "waiting", "Progressing", "InProgress"),
    "too few exist": (deployment(replicas=3, updated=3), "waiting", "Progressing", "InProgress"),
    "updated but not available": (deployment(available=3), "waiting", "Progressing", "InProgress"),
    "available but not ready": (deployment(ready=3), "done", "Healthy", "InProgress"),
    "deadline exceeded": (deployment(progressing=EXCEEDED, updated=0), "failed", "Degraded", "Failed"),
    "exceeded, but that is an old story": (
        deployment(progressing=EXCEEDED, observed=2),
        "waiting",
        "Progressing",
        "InProgress",
    ),
    "held": (deployment(progressing=PAUSED, updated=0, paused=True), "waiting", "Suspended", "InProgress"),
    "held and aborted": (deployment(progressing=EXCEEDED, updated=0, paused=True), "failed", "Suspended", "Failed"),
    "paused when complete": (deployment(progressing=PAUSED, paused=True), "done", "Suspended", "InProgress"),
    "not complete by its condition": (deployment(progressing=PAUSED), "done", "Healthy", "InProgress"),
    "no deadline, no condition needed": (
        deployment(progressing=PAUSED, progressDeadlineSeconds=2147483647),
        "done",
        "Healthy",
        "Current",
    ),
    "not available": (deployment(is_available=None), "done", "Healthy", "InProgress"),
}
