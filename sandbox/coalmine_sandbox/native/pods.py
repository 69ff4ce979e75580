"""What pods are: ready, available, active, terminating. Pure."""

from __future__ import annotations

from coalmine.kube.resources import Object
from coalmine_sandbox.api.times import seconds_of


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def condition(obj: Object, kind: str) -> Object | None:
    """The condition of type `kind` in an object's status."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each["type"] == kind:
            return dict(each)
    return None


def is_terminal(pod: Object) -> bool:
    """It has ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    return not is_terminal(pod) and not pod["metadata"].get("deletionTimestamp")


def is_terminating(pod: Object) -> bool:
    """It is on its way out, and has not ended yet."""
    return not is_terminal(pod) and bool(pod["metadata"].get("deletionTimestamp"))


def is_ready(pod: Object) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def ready_since(pod: Object) -> float | None:
    """Unix time from which on the pod has been ready; None when it is not, or nobody knows since when."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    return seconds_of(found.get("lastTransitionTime"))


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    """It has been ready for as long as its controller asks."""
    if not is_ready(pod):
        return False
    since = ready_since(pod)
    return min_ready_seconds == 0 or (since is not None and since + min_ready_seconds <= now)


def is_native_sidecar(container: Object) -> bool:
    """Of an init container: it runs as long as the pod does."""
    return container.get("restartPolicy") == "Always"
