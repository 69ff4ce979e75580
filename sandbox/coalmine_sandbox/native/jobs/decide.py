"""What the Job controller does: a pure function of a Job, its pods and the time. Source: job_controller.go.

Pods carry no finalizer here, so one that somebody deletes before it was counted is not counted: counts only
never go back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.times import seconds_of, timestamp
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.pods import condition, is_active, is_ready, is_terminating, phase

#: DefaultJobPodFailureBackOff and MaxJobPodFailureBackOff.
_FIRST_BACKOFF, _LONGEST_BACKOFF = 10.0, 600.0
_DEFAULT_LIMIT: Final = 6
_REACHED: Final = ("CompletionsReached", "Reached expected number of succeeded pods")
_LIMIT: Final = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_DEADLINE: Final = ("DeadlineExceeded", "Job was active longer than specified deadline")


@dataclass(frozen=True, slots=True)
class Decision:
    """`events` are type, reason and message. `check_after`: seconds until it is to be looked at again."""

    status: Object
    create: int = 0
    delete: tuple[Object, ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    check_after: float | None = None


def finished(job: Object) -> Object | None:
    """The condition Complete or Failed that holds."""
    return _holds(job, "Complete") or _holds(job, "Failed")


def expires(job: Object) -> float | None:
    """Unix time at which a finished Job is to be deleted; None: never."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    ending = finished(job)
    if seconds is None or ending is None:
        return None
    at = (job.get("status") or {}).get("completionTime") or ending.get("lastTransitionTime")
    return (seconds_of(at) or 0.0) + float(seconds)


def decide(job: Object, pods: Sequence[Object], now: float) -> Decision:
    """`pods` are the Job's own, ended ones included. The Job has not finished."""
    before = job.get("status") or {}
    spec = job["spec"]
    suspended = bool(spec.get("suspend"))
    active = [pod for pod in pods if is_active(pod)]
    succeeded = max(int(before.get("succeeded", 0)), sum(phase(pod) == "Succeeded" for pod in pods))
    failed = max(int(before.get("failed", 0)), sum(_failed(pod, suspended) for pod in pods))
    started = before.get("startTime") or (None if suspended else timestamp(now))
    ending = _ending(job, pods, failed, started, now)
    if ending is not None:
        return _end(job, pods, (succeeded, failed, started), ending, now)
    create, delete, wait = (0, list(active), None) if suspended else _replace(job, pods, active, succeeded, now)
    events: list[tuple[str, str, str]] = []
    status = _status(job, pods, (succeeded, failed, started))
    status["active"] = len(active) - len(delete) + create
    status["ready"] = min(int(status["ready"]), status["active"])
    status["terminating"] = int(status["terminating"]) + len(delete)
    if suspended != (_holds(job, "Suspended") is not None):
        told = ("True", "JobSuspended", "Job suspended") if suspended else ("False", "JobResumed", "Job resumed")
        _set(status, "Suspended", *told, now)
        events.append(("Normal", told[1].removeprefix("Job"), told[2]))
        if not suspended:
            status["startTime"] = timestamp(now)
    waits = [each for each in (wait, _deadline_left(job, started, now)) if each is not None and not suspended]
    return Decision(_bare(status), create, tuple(delete), tuple(events), min(waits, default=None))


# --- how it ends -------------------------------------------------------------------------------


def _ending(
    job: Object, pods: Sequence[Object], failed: int, started: str | None, now: float
) -> tuple[str, str, str] | None:
    """The condition by which the Job is about to finish, its reason and message."""
    for kind in ("SuccessCriteriaMet", "FailureTarget"):
        if found := _holds(job, kind):
            return kind, found.get("reason", ""), found.get("message", "")
    limit = job["spec"].get("backoffLimit", _DEFAULT_LIMIT)
    if failed > limit or _restarted_too_often(job, pods, limit):
        return ("FailureTarget", *_LIMIT)
    left = _deadline_left(job, started, now)
    if left is not None and left <= 0:
        return ("FailureTarget", *_DEADLINE)
    succeeded = max((job.get("status") or {}).get("succeeded", 0), sum(phase(pod) == "Succeeded" for pod in pods))
    completions = job["spec"].get("completions")
    enough = succeeded > 0 if completions is None else succeeded >= completions
    if enough and not any(map(is_active, pods)):
        return ("SuccessCriteriaMet", *_REACHED)
    return None


def _end(
    job: Object,
    pods: Sequence[Object],
    counts: tuple[int, int, str | None],
    ending: tuple[str, str, str],
    now: float,
) -> Decision:
    """End what still runs; once nothing does, the Job is Complete or Failed."""
    kind, reason, message = ending
    active = [pod for pod in pods if is_active(pod)]
    status = _status(job, pods, counts)
    status.update(active=0, ready=0, terminating=int(status["terminating"]) + len(active))
    _set(status, kind, "True", reason, message, now)
    events: tuple[tuple[str, str, str], ...] = ()
    if not active and not status["terminating"]:
        if kind == "SuccessCriteriaMet":
            _set(status, "Complete", "True", reason, message, now)
            status["completionTime"] = timestamp(now)
            events = (("Normal", "Completed", "Job completed"),)
        else:
            _set(status, "Failed", "True", reason, message, now)
            events = (("Warning", reason, message),)
    return Decision(_bare(status), delete=tuple(active), events=events)


def _restarted_too_often(job: Object, pods: Sequence[Object], limit: int) -> bool:
    """Of a Job whose containers are started again in their pods: each start counts as a try."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in pods:
        if phase(pod) in ("Running", "Pending"):
            status = pod.get("status") or {}
            for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
                restarts += int(each.get("restartCount", 0))
    return restarts > 0 if limit == 0 else restarts >= limit


def _deadline_left(job: Object, started: str | None, now: float) -> float | None:
    seconds = job["spec"].get("activeDeadlineSeconds")
    if seconds is None or started is None:
        return None
    return (seconds_of(started) or now) + float(seconds) - now


# --- pods --------------------------------------------------------------------------------------


def _failed(pod: Object, suspended: bool) -> bool:
    """It has failed, or was deleted and so never will succeed. A pod of a suspended Job was ended by us."""
    return phase(pod) == "Failed" or (is_deleting(pod) and phase(pod) != "Succeeded" and not suspended)


def _replace(
    job: Object, pods: Sequence[Object], active: Sequence[Object], succeeded: int, now: float
) -> tuple[int, list[Object], float | None]:
    """How many pods to make, which to end, and in how many seconds to look again."""
    spec = job["spec"]
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    if completions is None:
        wanted = len(active) if succeeded > 0 else parallelism
    else:
        wanted = max(0, min(parallelism, int(completions) - succeeded))
    surplus = len(active) - wanted
    if surplus > 0:
        least = sorted(active, key=lambda pod: (is_ready(pod), phase(pod) == "Running"))
        return 0, least[:surplus], None
    terminating = sum(map(is_terminating, pods)) if spec.get("podReplacementPolicy") == "Failed" else 0
    missing = wanted - len(active) - terminating
    if missing <= 0:
        return 0, [], None
    wait = _backoff_left(pods, now)
    return (0, [], wait) if wait > 0 else (missing, [], None)


def _backoff_left(pods: Sequence[Object], now: float) -> float:
    """Seconds until a pod may follow those that failed since the last success."""
    successes = [_ended(pod) for pod in pods if phase(pod) == "Succeeded"]
    since = max(successes, default=0.0)
    failures = [at for pod in pods if phase(pod) == "Failed" and (at := _ended(pod)) > since]
    if not failures:
        return 0.0
    wait: float = min(_FIRST_BACKOFF * 2 ** min(len(failures) - 1, 16), _LONGEST_BACKOFF)
    return max(failures) + wait - now


def _ended(pod: Object) -> float:
    """When the last of a pod's containers ended, by whatever tells of it (getFinishedTime)."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    ends = [seconds_of(((each.get("state") or {}).get("terminated") or {}).get("finishedAt")) for each in statuses]
    known = [at for at in ends if at is not None]
    if known and len(known) == len(ends):
        return max(known)
    metadata = pod["metadata"]
    others = (
        (condition(pod, "Ready") or {}).get("lastTransitionTime"),
        metadata.get("deletionTimestamp"),
        metadata.get("creationTimestamp"),
    )
    return next((at for at in map(seconds_of, others) if at is not None), 0.0)


# --- the status --------------------------------------------------------------------------------


def _status(job: Object, pods: Sequence[Object], counts: tuple[int, int, str | None]) -> Object:
    succeeded, failed, started = counts
    before = job.get("status") or {}
    status: Object = {
        "active": sum(map(is_active, pods)),
        "ready": sum(is_active(pod) and is_ready(pod) for pod in pods),
        "terminating": sum(map(is_terminating, pods)),
        "succeeded": succeeded,
        "failed": failed,
        "conditions": list(before.get("conditions") or ()),
        "uncountedTerminatedPods": {},
    }
    if started:
        status["startTime"] = started
    return status


def _bare(status: Object) -> Object:
    """Without what Go's omitempty leaves out; `ready` and `terminating` are pointers."""
    kept = ("ready", "terminating", "uncountedTerminatedPods")
    return {key: value for key, value in status.items() if value or key in kept}


def _holds(job: Object, kind: str) -> Object | None:
    found = condition(job, kind)
    return found if found is not None and found["status"] == "True" else None


def _set(status: Object, kind: str, value: str, reason: str, message: str, now: float) -> None:
    current = next((each for each in status["conditions"] if each["type"] == kind), None)
    if current is not None and current["status"] == value:
        return
    at = timestamp(now)
    told = {
        "type": kind,
        "status": value,
        "lastProbeTime": at,
        "lastTransitionTime": at,
        "reason": reason,
        "message": message,
    }
    status["conditions"] = [*(each for each in status["conditions"] if each["type"] != kind), told]
