"""A pod as a row: its STATUS is the most telling of what its containers say (printPod)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from coalmine.kube.resources import Object
from coalmine_sandbox.api.tables.column import AGE, NAME, NONE, Column, Layout, age_of, aged, wide
from coalmine_sandbox.api.times import seconds_of


class _Standing(NamedTuple):
    reason: str
    ready: int
    restarts: int
    last_restart: str  # "" where unknown


def _finished(status: Object, last: str) -> str:
    """The later of `last` and the end of a container's run before this one."""
    ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
    return ended if (seconds_of(ended) or 0.0) > (seconds_of(last) or 0.0) else last


def _ended(terminated: Object) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _initializing(pod: Object, reason: str) -> tuple[_Standing, bool, int, str]:
    """What the init containers say; whether they are still at it; restarts of the sidecars among them, and the last."""
    specs = {each["name"]: each for each in pod["spec"].get("initContainers") or ()}
    ready = restarts = sidecar_restarts = 0
    last = sidecar_last = ""
    for number, status in enumerate(pod["status"].get("initContainerStatuses") or ()):
        restarts += status.get("restartCount", 0)
        last = _finished(status, last)
        sidecar = (specs.get(status["name"]) or {}).get("restartPolicy") == "Always"
        if sidecar:
            sidecar_restarts += status.get("restartCount", 0)
            sidecar_last = _finished(status, sidecar_last)
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if sidecar and status.get("started"):
            ready += bool(status.get("ready"))
            continue
        if terminated is not None:
            reason = f"Init:{_ended(terminated)}"
        elif waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{number}/{len(specs)}"
        return _Standing(reason, ready, restarts, last), True, sidecar_restarts, sidecar_last
    return _Standing(reason, ready, restarts, last), False, sidecar_restarts, sidecar_last


def _standing(pod: Object) -> _Standing:
    status = pod["status"]
    reason = status.get("reason") or status.get("phase") or ""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    if (conditions.get("PodScheduled") or {}).get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    standing, initializing, restarts, last = _initializing(pod, reason)
    initialized = (conditions.get("Initialized") or {}).get("status") == "True"
    if initializing and not initialized:
        return standing
    reason, ready = standing.reason, standing.ready
    running = False
    failure = ""
    for container in reversed(status.get("containerStatuses") or ()):
        restarts += container.get("restartCount", 0)
        last = _finished(container, last)
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif (terminated := state.get("terminated")) is not None:
            reason = _ended(terminated)
            if terminated.get("exitCode", 0) != 0:
                failure = reason
        elif container.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if reason == "Completed":
        if running and (conditions.get("Ready") or {}).get("status") == "True":
            reason = "Running"
        elif failure:
            reason = failure
        elif running:
            reason = "NotReady"
    return _Standing(reason, ready, restarts, last)


def _cells(pod: Object, now: float) -> list[Any]:
    spec = pod.get("spec") or {}
    status = pod.get("status") or {}
    standing = _standing({**pod, "spec": spec, "status": status})
    reason = standing.reason
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            reason = "Terminating"
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    total = len(spec.get("containers") or ()) + len(sidecars)
    restarts = str(standing.restarts)
    if standing.restarts and standing.last_restart:
        restarts = f"{standing.restarts} ({aged(standing.last_restart, now)} ago)"
    addresses = status.get("podIPs") or ()
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    gates = spec.get("readinessGates") or ()
    open_gates = sum(conditions.get(gate["conditionType"]) == "True" for gate in gates)
    return [
        pod["metadata"]["name"],
        f"{standing.ready}/{total}",
        reason,
        restarts,
        age_of(pod, now),
        addresses[0]["ip"] if addresses else status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{open_gates}/{len(gates)}" if gates else NONE,
    ]


PODS: Final = Layout(
    (
        NAME,
        Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
        Column("Status", description="The aggregate status of the containers in this pod."),
        Column(
            "Restarts",
            description="The number of times the containers in this pod have been restarted "
            "and when the last container in this pod has restarted.",
        ),
        AGE,
        wide("IP"),
        wide("Node"),
        wide("Nominated Node"),
        wide("Readiness Gates"),
    ),
    _cells,
)
