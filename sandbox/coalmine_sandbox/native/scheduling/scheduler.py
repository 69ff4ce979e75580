"""The scheduler's shell: pods that wait for a node, their binding, and what is told when none fits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from coalmine.kube.cache import Key
from coalmine.kube.resources import NODES, PODS, Object, name_of, namespace_of, uid_of
from coalmine.kube.verbs import STRATEGIC, ApiError, ConflictError, Verbs
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.pods import condition, is_terminal
from coalmine_sandbox.native.scheduling.fit import free_share, misfits, why_nowhere
from coalmine_sandbox.native.work import Work

_NAME: Final = "default-scheduler"


class Scheduler:
    """Call `run`. One pod is placed after the other, each on what the ones before have left."""

    def __init__(
        self, api: Verbs, informers: Informers, recorder: Recorder, clock: Callable[[], float], random: Random
    ) -> None:
        self._api = api
        self._recorder = recorder
        self._clock = clock
        self._random = random
        self._pods = informers.of(PODS)
        self._nodes = informers.of(NODES)
        #: By uid, the node of a pod that was bound and does not show it yet.
        self._assumed: dict[str, str] = {}
        #: Pods that fit nowhere, until something changes.
        self._waiting: set[Key] = set()
        self._work: Work[Key] = Work("scheduler", self._sync, workers=1)
        self._pods.listen(self._pod_changed)
        self._nodes.listen(self._node_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._pods, self._nodes))
        await self._work.run()

    # --- what it is told of --------------------------------------------------------------------

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._assumed.pop(uid_of(old), None)
            self._waiting.discard((namespace_of(old), name_of(old)))
        if new is not None and new["spec"].get("nodeName"):
            self._assumed.pop(uid_of(new), None)
        if new is not None and _waits(new):
            if old is None or uid_of(old) != uid_of(new) or not _waits(old) or old["spec"] != new["spec"]:
                self._work.add((namespace_of(new), name_of(new)))
        elif old is not None and old["spec"].get("nodeName") and (new is None or is_terminal(new)):
            self._try_again()  # there is room

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _offer(old) != _offer(new):
            self._try_again()

    def _try_again(self) -> None:
        for key in self._waiting:
            self._work.add(key)

    # --- one pod -------------------------------------------------------------------------------

    async def _sync(self, key: Key) -> float | None:
        self._waiting.discard(key)
        pod = self._pods.get(*key)
        if pod is None or not _waits(pod) or uid_of(pod) in self._assumed:
            return None
        placed = self._placed()
        nodes = sorted(self._nodes.objects(), key=name_of)
        reasons = [misfits(pod, node, placed.get(name_of(node), [])) for node in nodes]
        fitting = [node for node, found in zip(nodes, reasons, strict=True) if not found]
        if not fitting:
            self._waiting.add(key)
            await self._tell_nowhere(pod, why_nowhere(reasons))
            return None
        shares = [(free_share(pod, node, placed.get(name_of(node), [])), node) for node in fitting]
        best = max(share for share, _ in shares)
        await self._bind(pod, name_of(self._random.choice([node for share, node in shares if share == best])))
        return None

    def _placed(self) -> dict[str, list[Object]]:
        """The pods of each node that have not ended, those just bound included."""
        placed: dict[str, list[Object]] = {}
        for pod in self._pods.objects():
            node = pod["spec"].get("nodeName") or self._assumed.get(uid_of(pod))
            if node and not is_terminal(pod):
                placed.setdefault(node, []).append(pod)
        return placed

    async def _bind(self, pod: Object, node: str) -> None:
        self._assumed[uid_of(pod)] = node
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
            "target": {"kind": "Node", "name": node},
        }
        try:
            await self._api.create(PODS, namespace_of(pod), binding, "binding")
        except ApiError as error:
            self._assumed.pop(uid_of(pod), None)
            if isinstance(error, ConflictError):  # somebody else bound it, or it is another pod: its next event says
                return
            raise
        text = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._recorder.normal(pod, "Scheduled", text)

    async def _tell_nowhere(self, pod: Object, message: str) -> None:
        self._recorder.warning(pod, "FailedScheduling", message)
        current = condition(pod, "PodScheduled") or {}
        if (current.get("reason"), current.get("message")) == ("Unschedulable", message):
            return
        told = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": current.get("lastTransitionTime") or timestamp(self._clock()),
        }
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [told]}}
        await self._api.patch(PODS, namespace_of(pod), name_of(pod), patch, "status", kind=STRATEGIC)


def _waits(pod: Object) -> bool:
    """It has no node and is ours to place."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not is_deleting(pod)
        and not is_terminal(pod)
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", _NAME) == _NAME
    )


def _offer(node: Object) -> tuple[object, ...]:
    """What of a node decides about pods."""
    return node.get("spec"), node["metadata"].get("labels"), (node.get("status") or {}).get("allocatable")
