"""A Deployment's status: counts, conditions, progress and its deadline. Pure.

Source: sync.go (calculateStatus), progress.go and deployment_util.go. Counts that are 0 are absent, as
Go's omitempty leaves them; `terminatingReplicas` is a pointer and is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coalmine.kube.resources import Object, name_of
from coalmine.model.condition import FAILURE_REASON, PAUSED_MESSAGE, PAUSED_REASON, PROGRESSING
from coalmine_sandbox.api.times import seconds_of, timestamp
from coalmine_sandbox.native.deployment.sizes import count, counted, max_unavailable, replicas, total

AVAILABLE: Final = "Available"
REPLICA_FAILURE: Final = "ReplicaFailure"
RESUMED_REASON: Final = "DeploymentResumed"
CREATED_REASON: Final = "NewReplicaSetCreated"
FOUND_REASON: Final = "FoundNewReplicaSet"
UPDATED_REASON: Final = "ReplicaSetUpdated"
DONE_REASON: Final = "NewReplicaSetAvailable"
CREATE_ERROR_REASON: Final = "ReplicaSetCreateError"
#: "No deadline" is also written as the largest int32.
_NO_LIMIT: Final = 2**31 - 1


def has_deadline(deployment: Object) -> bool:
    return bool(deployment["spec"].get("progressDeadlineSeconds", _NO_LIMIT) != _NO_LIMIT)


def history_limit(deployment: Object) -> int | None:
    """How many old ReplicaSets are kept; None: all."""
    limit = deployment["spec"].get("revisionHistoryLimit", _NO_LIMIT)
    return None if limit == _NO_LIMIT else int(limit)


def condition_of(status: Object, kind: str) -> Object | None:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), None)


def new_condition(kind: str, status: str, reason: str, message: str, now: float) -> Object:
    at = timestamp(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": at,
        "lastTransitionTime": at,
        "reason": reason,
        "message": message,
    }


def set_condition(status: Object, condition: Object) -> None:
    """Put a condition into `status`, unless it says nothing new (SetDeploymentCondition)."""
    current = condition_of(status, condition["type"])
    if current is not None and current["status"] == condition["status"]:
        if current.get("reason") == condition["reason"]:
            return
        condition = {**condition, "lastTransitionTime": current.get("lastTransitionTime")}
    remove_condition(status, condition["type"])
    status["conditions"] = [*(status.get("conditions") or ()), condition]


def remove_condition(status: Object, kind: str) -> None:
    left = [each for each in status.get("conditions") or () if each["type"] != kind]
    status.pop("conditions", None)
    if left:
        status["conditions"] = left


def paused_condition(deployment: Object, status: Object, now: float) -> Object | None:
    """The condition that tells of a pause that began or ended; None when that is told, or is not to be told."""
    if not has_deadline(deployment):
        return None
    current = condition_of(status, PROGRESSING)
    reason = (current or {}).get("reason")
    if reason == FAILURE_REASON:  # a lack of progress stays told
        return None
    if deployment["spec"].get("paused"):
        if reason != PAUSED_REASON:
            return new_condition(PROGRESSING, "Unknown", PAUSED_REASON, PAUSED_MESSAGE, now)
    elif reason == PAUSED_REASON:
        return new_condition(PROGRESSING, "Unknown", RESUMED_REASON, "Deployment is resumed", now)
    return None


def calculate(deployment: Object, replica_sets: Sequence[Object], new: Object | None, now: float) -> Object:
    """The status that the ReplicaSets give the Deployment (`replica_sets`: all, the new one included)."""
    old: Object = deployment.get("status") or {}
    available = counted(replica_sets, "availableReplicas")
    counts: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": counted(replica_sets, "replicas"),
        "updatedReplicas": count(new, "replicas") if new is not None else 0,
        "readyReplicas": counted(replica_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(replica_sets) - available),
    }
    status = {key: value for key, value in counts.items() if value}
    terminating = _terminating(replica_sets)
    if terminating is not None:
        status["terminatingReplicas"] = terminating
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    if old.get("conditions"):
        status["conditions"] = list(old["conditions"])
    if available >= replicas(deployment) - max_unavailable(deployment):
        found = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        found = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    set_condition(status, new_condition(AVAILABLE, *found, now))
    return status


def _terminating(replica_sets: Sequence[Object]) -> int | None:
    """Pods on their way out; None while a ReplicaSet that has been looked at does not say."""
    found = 0
    for each in replica_sets:
        status = each.get("status") or {}
        if "terminatingReplicas" in status:
            found += status["terminatingReplicas"]
        elif status.get("observedGeneration"):
            return None
    return found


def is_complete(deployment: Object, status: Object) -> bool:
    """All replicas are updated and available, and no old one is left (DeploymentComplete)."""
    wanted = replicas(deployment)
    return (
        all(status.get(field, 0) == wanted for field in ("updatedReplicas", "replicas", "availableReplicas"))
        and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    )  # fmt: skip


def _progresses(old: Object, new: Object) -> bool:
    """More new pods, fewer old ones, more that are ready or available (DeploymentProgressing)."""

    def outdated(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grows = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return outdated(new) < outdated(old) or any(new.get(field, 0) > old.get(field, 0) for field in grows)


def _timed_out(deployment: Object, status: Object, now: float) -> bool:
    condition = condition_of(status, PROGRESSING)
    if condition is None or condition.get("reason") == DONE_REASON:
        return False
    if condition.get("reason") == FAILURE_REASON:
        return True
    since = seconds_of(condition.get("lastUpdateTime")) or 0.0
    return bool(since + deployment["spec"]["progressDeadlineSeconds"] < now)


def progress(deployment: Object, old: Object, replica_sets: Sequence[Object], new: Object | None, now: float) -> Object:
    """The status during a rollout (syncRolloutStatus): as `calculate`, with the sign of progress or its lack.

    `old` is the status before.
    """
    status = calculate(deployment, replica_sets, new, now)
    current = condition_of(old, PROGRESSING)
    if not has_deadline(deployment):
        remove_condition(status, PROGRESSING)
    elif not _was_complete(status, current):
        _tell_progress(deployment, old, status, new, now)
    failure = _failure(replica_sets, new)
    if failure is not None:
        set_condition(status, failure)
    else:
        remove_condition(status, REPLICA_FAILURE)
    return status


def _was_complete(status: Object, current: Object | None) -> bool:
    """A look at what is done: no progress is to be made."""
    done = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return done and current is not None and current.get("reason") == DONE_REASON


def _tell_progress(deployment: Object, old: Object, status: Object, new: Object | None, now: float) -> None:
    what = f'ReplicaSet "{name_of(new)}"' if new is not None else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        text = f"{what} has successfully progressed."
        set_condition(status, new_condition(PROGRESSING, "True", DONE_REASON, text, now))
    elif _progresses(old, status):
        # told with its time even when it was told before: the deadline counts from here
        condition = new_condition(PROGRESSING, "True", UPDATED_REASON, f"{what} is progressing.", now)
        current = condition_of(old, PROGRESSING)
        if current is not None:
            if current["status"] == "True":
                condition["lastTransitionTime"] = current.get("lastTransitionTime")
            remove_condition(status, PROGRESSING)
        set_condition(status, condition)
    elif _timed_out(deployment, status, now):
        text = f"{what} has timed out progressing."
        set_condition(status, new_condition(PROGRESSING, "False", FAILURE_REASON, text, now))


def _failure(replica_sets: Sequence[Object], new: Object | None) -> Object | None:
    """A ReplicaSet's ReplicaFailure as the Deployment's; the new one's goes before those of the others."""
    for each in [*([new] if new is not None else []), *replica_sets]:
        found = condition_of(each.get("status") or {}, REPLICA_FAILURE)
        if found is not None:
            at = found.get("lastTransitionTime")
            return {**found, "lastUpdateTime": at}
    return None


def next_check(deployment: Object, old: Object, new: Object, now: float) -> float | None:
    """In how many seconds a rollout that stands still is to be looked at for its deadline; None: not at all."""
    current = condition_of(old, PROGRESSING)
    if not has_deadline(deployment) or current is None:
        return None
    if is_complete(deployment, new) or current.get("reason") in (FAILURE_REASON, DONE_REASON):
        return None  # told for good: no time changes it
    since = seconds_of(current.get("lastUpdateTime")) or 0.0
    left = since + float(deployment["spec"]["progressDeadlineSeconds"]) - now
    # times are kept in whole seconds: a second more is surely after it
    return max(left, 0.0) + 1.0
