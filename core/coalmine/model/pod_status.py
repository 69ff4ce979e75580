"""What `kubectl get pods` says of a pod: STATUS, READY and RESTARTS.

Pure. Rules: those of printPod (k8s.io/kubernetes/pkg/printers/internalversion), so that nobody
has to learn a second vocabulary. A native sidecar (an init container with restartPolicy Always)
counts as a container, and no longer stands in the way once it has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PodContainers:
    """Counts over containers and sidecars; `all_ready` is the pod's own condition."""

    ready: int
    total: int
    restarts: int
    all_ready: bool


def pod_containers(pod: _Raw) -> PodContainers:
    """READY and RESTARTS of a raw pod."""
    spec, state = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = _sidecars(spec)
    states = list(state.get("containerStatuses") or ())
    states += [c for c in state.get("initContainerStatuses") or () if c.get("name") in sidecars]
    return PodContainers(
        ready=sum(1 for c in states if c.get("ready")),
        total=len(spec.get("containers") or ()) + len(sidecars),
        restarts=sum(int(c.get("restartCount", 0)) for c in states),
        all_ready=_is_true(state, "Ready"),
    )


def pod_status(pod: _Raw) -> str:
    """STATUS of a raw pod: Running, Pending, CrashLoopBackOff, Init:0/1, Terminating ..."""
    spec, state = pod.get("spec") or {}, pod.get("status") or {}
    text = str(state.get("reason") or state.get("phase") or "Unknown")
    initializing = _initializing(spec, state)
    text = initializing or text
    # a sidecar that crashes later stands beside containers that have long been running
    if initializing is None or _is_true(state, "Initialized"):
        running = False
        for container in reversed(state.get("containerStatuses") or ()):
            now = container.get("state") or {}
            waiting, ended = now.get("waiting") or {}, now.get("terminated")
            if waiting.get("reason"):
                text = str(waiting["reason"])
            elif ended is not None:
                text = _ending(ended)
            elif container.get("ready") and "running" in now:
                running = True
        if text == "Completed" and running:
            text = "Running" if _is_true(state, "Ready") else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if state.get("reason") == "NodeLost" else "Terminating"
    return text


def _initializing(spec: _Raw, state: _Raw) -> str | None:
    """The status while an init container stands in the way, else None."""
    sidecars = _sidecars(spec)
    for index, container in enumerate(state.get("initContainerStatuses") or ()):
        now = container.get("state") or {}
        waiting, ended = now.get("waiting") or {}, now.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if ended is not None:
            return f"Init:{_ending(ended)}"
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(spec.get('initContainers') or ())}"
    return None


def _ending(ended: _Raw) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _sidecars(spec: _Raw) -> set[str]:
    return {str(c["name"]) for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _is_true(state: _Raw, condition: str) -> bool:
    return any(c.get("type") == condition and c.get("status") == "True" for c in state.get("conditions") or ())
