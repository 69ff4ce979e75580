"""The pod garbage collector, small: pods whose node is gone. Source: pkg/controller/podgc.

Nobody is left to end them. The real one waits 40 seconds for the node to come back, and so does this one. Pods on
their way out that were never given a node go at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coalmine.kube.cache import Key
from coalmine.kube.resources import NODES, PODS, Object, name_of, namespace_of, uid_of
from coalmine.kube.verbs import STRATEGIC, NotFoundError, Verbs
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.pods import is_terminal
from coalmine_sandbox.native.work import Work

#: quarantineTime.
QUARANTINE_SECONDS: Final = 40.0


class PodGarbageCollector:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._pods = informers.of(PODS)
        self._nodes = informers.of(NODES)
        #: Since when a node that pods name is not there.
        self._missing: dict[str, float] = {}
        self._work: Work[Key] = Work("pod garbage", self._sync)
        self._pods.listen(self._pod_changed)
        self._nodes.listen(self._node_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._pods, self._nodes))
        await self._work.run()

    def _pod_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None and (is_deleting(new) or self._lost(new)):
            self._work.add((namespace_of(new), name_of(new)))

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._missing.pop(name_of(new), None)
        elif old is not None:
            for pod in self._pods.objects():
                if pod["spec"].get("nodeName") == name_of(old):
                    self._work.add((namespace_of(pod), name_of(pod)))

    def _lost(self, pod: Object) -> bool:
        node = pod["spec"].get("nodeName")
        return bool(node) and self._nodes.get("", node) is None

    async def _sync(self, key: Key) -> float | None:
        pod = self._pods.get(*key)
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if is_deleting(pod):
                await self._end(pod)
            return None
        if not self._lost(pod):
            return None
        now = self._clock()
        left = self._missing.setdefault(node, now) + QUARANTINE_SECONDS - now
        if left > 0:
            return left
        if await self._api.find(NODES, None, node) is None:
            await self._end(pod)
        return None

    async def _end(self, pod: Object) -> None:
        """Mark a pod as failed and delete it without waiting for a node to answer."""
        path = PODS.path(namespace_of(pod), name_of(pod))
        try:
            if not is_terminal(pod) and pod["spec"].get("nodeName"):
                told = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                    "lastTransitionTime": timestamp(self._clock()),
                }
                patch = {"metadata": {"uid": uid_of(pod)}, "status": {"phase": "Failed", "conditions": [told]}}
                await self._api.patch(PODS, namespace_of(pod), name_of(pod), patch, "status", kind=STRATEGIC)
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(pod)}}
            await self._api.raw("DELETE", path, options)
        except NotFoundError:
            return
