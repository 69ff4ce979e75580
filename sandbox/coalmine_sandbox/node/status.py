"""What a pod's status says, from the states of its containers: pure.

The rules are the kubelet's (getPhase, GeneratePodReadyCondition and their like): phase,
conditions and container statuses as controllers, EndpointSlices and people read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from coalmine.kube.resources import Object

_CONDITIONS: Final = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")


@dataclass(frozen=True, slots=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    started: float


@dataclass(frozen=True, slots=True)
class Terminated:
    code: int
    reason: str
    started: float
    finished: float
    message: str = ""


State = Waiting | Running | Terminated


class Kind(Enum):
    INIT = "init"
    SIDECAR = "sidecar"
    APP = "app"


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container as the status tells it."""

    name: str
    kind: Kind
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    identity: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    """Everything that the status depends on, besides the pod object."""

    containers: tuple[ContainerView, ...]
    address: str
    host_address: str
    start_time: float
    #: All its containers have ended for good, as the pod is being deleted.
    ended: bool = False


def timestamp(moment: float) -> str:
    """metav1.Time: whole seconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(view: PodView, restart_policy: str) -> str:
    """Pending, Running, Succeeded or Failed."""
    apps = [c for c in view.containers if c.kind is Kind.APP]
    if view.ended:
        return "Failed" if any(_exit_code(c) for c in apps) else "Succeeded"
    for container in view.containers:
        if container.kind is Kind.INIT and _stopped(container) and _exit_code(container) and restart_policy == "Never":
            return "Failed"
    # an application container was started, so every init container was done with
    begun = any(not isinstance(c.state, Waiting) or c.last for c in apps)
    if not begun:
        return "Pending"
    if any(isinstance(c.state, Waiting) and c.last is None for c in apps):
        return "Pending"
    if any(isinstance(c.state, Running) for c in apps) or restart_policy == "Always":
        return "Running"
    if all(_exit_code(c) == 0 for c in apps):
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def pod_status(pod: Object, view: PodView, previous: Sequence[Object], now: float) -> Object:
    """The status to write; `previous` are the conditions that stand, whose times are kept."""
    current = phase(view, pod["spec"].get("restartPolicy", "Always"))
    conditions = []
    for kind, (ok, reason, message) in _conditions(pod, view, current, previous).items():
        conditions.append(_condition(kind, ok, reason, message, previous, now, pod))
    status: Object = {
        "phase": current,
        "observedGeneration": pod["metadata"].get("generation", 0),
        "conditions": conditions,
        "hostIP": view.host_address,
        "hostIPs": [{"ip": view.host_address}],
        "startTime": timestamp(view.start_time),
        "containerStatuses": [_container(c) for c in view.containers if c.kind is Kind.APP],
        "initContainerStatuses": [_container(c) for c in view.containers if c.kind is not Kind.APP],
    }
    if view.address:
        status["podIP"] = view.address
        status["podIPs"] = [{"ip": view.address}]
    return status


Verdict = tuple[bool, str, str]


def _conditions(pod: Object, view: PodView, current: str, previous: Sequence[Object]) -> dict[str, Verdict]:
    over = current in ("Succeeded", "Failed")
    finished = "PodCompleted" if current == "Succeeded" else "PodFailed"
    incomplete = [c.name for c in view.containers if not _initialised(c)]
    begun = any(c.kind is Kind.APP and (not isinstance(c.state, Waiting) or c.last) for c in view.containers)
    if begun or current == "Succeeded" or not incomplete:
        initialised: Verdict = (True, "PodCompleted" if current == "Succeeded" else "", "")
    else:
        initialised = (
            False,
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(incomplete)}]",
        )
    unready = [c.name for c in view.containers if c.kind is not Kind.INIT and not c.ready]
    if over:
        containers: Verdict = (False, finished, "")
    elif unready:
        containers = (False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    else:
        containers = (True, "", "")
    ready = containers
    if containers[0]:
        held = [
            gate["conditionType"]
            for gate in pod["spec"].get("readinessGates") or ()
            if not any(c["type"] == gate["conditionType"] and c["status"] == "True" for c in previous)
        ]
        if held:
            ready = (False, "ReadinessGatesNotReady", f"readiness gates are not met: {', '.join(held)}")
    values = ((bool(view.address) and not view.ended, "", ""), initialised, containers, ready)
    return dict(zip(_CONDITIONS, values, strict=True))


def _initialised(container: ContainerView) -> bool:
    if container.kind is Kind.INIT:
        return isinstance(container.state, Terminated) and container.state.code == 0
    return container.kind is Kind.APP or container.started


def _condition(
    kind: str, ok: bool, reason: str, message: str, previous: Sequence[Object], now: float, pod: Object
) -> Object:
    status = "True" if ok else "False"
    before = next((c for c in previous if c["type"] == kind), None)
    since = before.get("lastTransitionTime") if before and before["status"] == status else None
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": since or timestamp(now),
        "lastProbeTime": None,
        "observedGeneration": pod["metadata"].get("generation", 0),
        # null removes what an earlier status said: conditions are merged by type
        "reason": reason or None,
        "message": message or None,
    }


def _container(container: ContainerView) -> Object:
    status: dict[str, Any] = {
        "name": container.name,
        "image": container.image,
        "imageID": f"sandbox://{container.image}" if container.identity else "",
        "restartCount": container.restarts,
        "ready": container.ready,
        "started": container.started,
        "state": state_json(container.state, container.identity),
        "lastState": state_json(container.last, container.identity) if container.last else {},
    }
    if container.identity:
        status["containerID"] = f"sandbox://{container.identity}"
    return status


def state_json(state: State, identity: str) -> Object:
    """A ContainerState."""
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    if isinstance(state, Running):
        return {"running": {"startedAt": timestamp(state.started)}}
    terminated: Object = {
        "exitCode": state.code,
        "reason": state.reason,
        "startedAt": timestamp(state.started),
        "finishedAt": timestamp(state.finished),
        "containerID": f"sandbox://{identity}",
    }
    if state.message:
        terminated["message"] = state.message
    return {"terminated": terminated}


def _stopped(container: ContainerView) -> bool:
    return isinstance(container.state, Terminated)


def _exit_code(container: ContainerView) -> int:
    ended = container.state if isinstance(container.state, Terminated) else container.last
    return ended.code if ended else 0
