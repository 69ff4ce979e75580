"""The node lifecycle controller, small: taints that say what a node's conditions say, and nodes that fall silent.

A node's signs of life are its Lease and the time in its condition Ready. When neither moves for as long as the
real one waits, the node's conditions become Unknown and its pods not ready; that they are ready again is for the
node to say. No pod is evicted for it.
Source: pkg/controller/nodelifecycle.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

from coalmine.kube.resources import LEASES, NODES, PODS, Object, name_of, namespace_of, uid_of
from coalmine.kube.verbs import STRATEGIC, NotFoundError, Verbs
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.pods import condition, is_ready
from coalmine_sandbox.native.work import Work

#: nodeMonitorGracePeriod: a kubelet renews its Lease every 10 seconds.
GRACE_SECONDS: Final = 50.0
#: Later than this we are never, unless this process or the machine stood still: then nothing could be heard of nodes.
_LATE: Final = 10.0
_LEASE_NAMESPACE: Final = "kube-node-lease"
_PREFIX: Final = "node.kubernetes.io/"
#: Which status of which condition is which taint.
_TAINTS: Final = {
    ("Ready", "False"): "not-ready",
    ("Ready", "Unknown"): "unreachable",
    ("MemoryPressure", "True"): "memory-pressure",
    ("DiskPressure", "True"): "disk-pressure",
    ("NetworkUnavailable", "True"): "network-unavailable",
    ("PIDPressure", "True"): "pid-pressure",
}
_UNSCHEDULABLE: Final = "unschedulable"
_OURS: Final = frozenset(_PREFIX + name for name in (*_TAINTS.values(), _UNSCHEDULABLE))
#: These end pods, too, for who tolerates them only for a while.
_EVICTING: Final = frozenset({"not-ready", "unreachable"})
_CONDITIONS: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def taints(node: Object) -> list[Object]:
    """The taints that the node is to have: others' as they are, and ours by its conditions. Pure."""
    spec = node.get("spec") or {}
    kept = [each for each in spec.get("taints") or () if each["key"] not in _OURS]
    found = []
    for each in (node.get("status") or {}).get("conditions") or ():
        name = _TAINTS.get((each["type"], each["status"]))
        if name is not None:
            found += [(name, effect) for effect in ("NoSchedule", "NoExecute") if _has(name, effect)]
    if spec.get("unschedulable"):
        found.append((_UNSCHEDULABLE, "NoSchedule"))
    before = {(each["key"], each["effect"]): each for each in spec.get("taints") or ()}
    ours = [before.get((_PREFIX + name, effect), {"key": _PREFIX + name, "effect": effect}) for name, effect in found]
    return [*kept, *ours]


def _has(name: str, effect: str) -> bool:
    return effect == "NoSchedule" or name in _EVICTING


def silent(node: Object, now: float) -> Object | None:
    """The status of a node that gives no sign of life; None when it says so already. Pure."""
    status = copy.deepcopy(node.get("status") or {})
    conditions = status.setdefault("conditions", [])
    changed = False
    for kind in _CONDITIONS:
        current = next((each for each in conditions if each["type"] == kind), None)
        if current is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            current = {"type": kind, "lastHeartbeatTime": node["metadata"].get("creationTimestamp")}
            conditions.append(current)
        elif current["status"] == "Unknown":
            continue
        else:
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
        current.update(status="Unknown", reason=reason, message=message, lastTransitionTime=timestamp(now))
        changed = True
    return status if changed else None


class NodeLifecycleController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._api = api
        self._recorder = recorder
        self._clock = clock
        self._nodes = informers.of(NODES)
        self._leases = informers.of(LEASES)
        self._pods = informers.of(PODS)
        #: When a node last gave a sign of life, by our own clock.
        self._seen: dict[str, float] = {}
        self._work: Work[str] = Work("node", self._sync)
        self._nodes.listen(self._node_changed)
        self._leases.listen(self._lease_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._nodes, self._leases, self._pods))
        await self._work.run()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._seen.pop(name_of(old), None)
            self._recorder.normal(old, "RemovingNode", f"Node {name_of(old)} event: Removing Node from Controller")
            return
        if old is None or uid_of(old) != uid_of(new):
            name = name_of(new)
            self._seen[name] = self._clock()
            self._recorder.normal(new, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        elif _heartbeat(old) != _heartbeat(new):
            self._seen[name_of(new)] = self._clock()
        self._work.add(name_of(new))

    def _lease_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and namespace_of(new) == _LEASE_NAMESPACE and name_of(new) in self._seen:
            was_silent = self._clock() >= self._seen[name_of(new)] + GRACE_SECONDS
            self._seen[name_of(new)] = self._clock()
            if was_silent:
                self._work.add(name_of(new))

    async def _sync(self, name: str) -> float | None:
        node = self._nodes.get("", name)
        if node is None:
            return None
        now = self._clock()
        left = self._seen.get(name, now) + GRACE_SECONDS - now
        if left < -_LATE and is_ready(node):
            self._seen[name], left = now, GRACE_SECONDS
        if left <= 0 and (status := silent(node, now)) is not None:
            if is_ready(node):
                self._recorder.normal(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            node = await self._api.replace(NODES, None, {**node, "status": status}, "status")
            self._nodes.remember(node)
        wanted = taints(node)
        if wanted != ((node.get("spec") or {}).get("taints") or []):
            patch = {
                "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
                "spec": {"taints": wanted or None},
            }
            node = await self._api.patch(NODES, None, name, patch)
            self._nodes.remember(node)
        if left > 0:
            return left + 1.0
        # it is looked at again when it gives a sign of life
        await self._mark_pods(name)
        return None

    async def _mark_pods(self, name: str) -> None:
        """The pods of a silent node are not ready either."""
        for pod in list(self._pods.objects()):
            if pod["spec"].get("nodeName") != name or not is_ready(pod):
                continue
            told = {"type": "Ready", "status": "False", "lastTransitionTime": timestamp(self._clock())}
            patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [told]}}
            try:
                await self._api.patch(PODS, namespace_of(pod), name_of(pod), patch, "status", kind=STRATEGIC)
            except NotFoundError:
                continue
            self._recorder.warning(pod, "NodeNotReady", "Node is not ready")


def _heartbeat(node: Object) -> str:
    return str((condition(node, "Ready") or {}).get("lastHeartbeatTime"))
