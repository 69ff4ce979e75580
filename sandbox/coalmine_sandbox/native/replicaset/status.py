"""A ReplicaSet's status, from its pods. Pure. Source: replica_set_utils.go (calculateStatus)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coalmine.kube.resources import Object, labels_of
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.pods import is_available, is_ready, ready_since

REPLICA_FAILURE: Final = "ReplicaFailure"


def calculate(
    replica_set: Object, active: Sequence[Object], terminating: Sequence[Object], failure: str, now: float
) -> Object:
    """`active` and `terminating` are its pods; `failure` is why pods could not be made or deleted, or ""."""
    old = replica_set.get("status") or {}
    spec = replica_set["spec"]
    seconds = spec.get("minReadySeconds", 0)
    wanted = ((spec["template"].get("metadata") or {}).get("labels") or {}).items()
    counts = {
        "fullyLabeledReplicas": sum(wanted <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(is_available(pod, seconds, now) for pod in active),
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    status: Object = {"replicas": len(active), "terminatingReplicas": len(terminating)}
    status.update({key: value for key, value in counts.items() if value})
    conditions = list(old.get("conditions") or ())
    known = any(each["type"] == REPLICA_FAILURE for each in conditions)
    if failure and not known:
        # the reason of a first failure stays until it is over
        reason = "FailedCreate" if len(active) < spec.get("replicas", 1) else "FailedDelete"
        conditions.append(
            {
                "type": REPLICA_FAILURE,
                "status": "True",
                "lastTransitionTime": timestamp(now),
                "reason": reason,
                "message": failure,
            }
        )
    elif not failure and known:
        conditions = [each for each in conditions if each["type"] != REPLICA_FAILURE]
    if conditions:
        status["conditions"] = conditions
    return status


def next_available(replica_set: Object, active: Sequence[Object], now: float) -> float | None:
    """Seconds until the next ready pod has been so for minReadySeconds; None when none is awaited."""
    seconds = float(replica_set["spec"].get("minReadySeconds", 0))
    since = [ready_since(pod) for pod in active]
    left = [at + seconds - now for at in since if at is not None and at + seconds > now]
    return min(left) if seconds and left else None
