"""Plays the kubelet of one node: its pods run as soon as they are there, and a canary's is ready once configured.

The node is kept alive by its Lease, as the native node controller asks.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

from bench.scale.sidecars import Sidecars
from coalmine.kube.cache import Cache
from coalmine.kube.client import Client
from coalmine.kube.resources import LEASES, NODES, PODS, Object, annotations_of, name_of, namespace_of, uid_of
from coalmine.kube.verbs import STRATEGIC, ApiError
from coalmine.model import names
from coalmine.model.durations import format_time
from coalmine.model.errors import RemoteError
from coalmine.model.wire import Injection

NODE: Final = "bench"
#: All of it is put on the loopback device by one route.
NETWORK: Final = "10.128.0.0/12"
_WORKERS: Final = 24
_STAMP: Final = "2026-01-01T00:00:00Z"


class Kubelet:
    """Runs pods by writing that they run."""

    def __init__(self, client: Client, sidecars: Sidecars, wall: Callable[[], float]) -> None:
        self._client = client
        self._sidecars = sidecars
        self._wall = wall
        self._addresses: Iterator[ipaddress.IPv4Address] = ipaddress.IPv4Network(NETWORK).hosts()
        self._queue: asyncio.Queue[tuple[Object, str]] = asyncio.Queue()
        self._waiting: dict[str, tuple[Object, str]] = {}
        self._seen: set[str] = set()
        sidecars.on_configured = self._configured

    async def run(self) -> None:
        """Until cancelled."""
        await self._register()
        pods = Cache(self._client, PODS, labels=names.SIDECAR_SELECTOR)
        pods.listen(self._changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            group.create_task(pods.run())
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _register(self) -> None:
        capacity = {"cpu": "10000", "memory": "100Ti", "pods": "100000"}
        node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await self._client.create(NODES, None, node)
        ready = {"type": "Ready", "status": "True", "reason": "Bench", "lastHeartbeatTime": _STAMP}
        status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready | {"lastTransitionTime": _STAMP}]}
        await self._client.patch(NODES, None, NODE, {"status": status}, "status")

    async def _beat(self) -> None:
        lease: Object = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": NODE}}
        namespace = "kube-node-lease"
        made = False
        while True:
            spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": format_time(self._wall())}
            try:
                if made:
                    await self._client.patch(LEASES, namespace, NODE, {"spec": spec})
                else:
                    await self._client.create(LEASES, namespace, {**lease, "spec": spec})
                    made = True
            except ApiError:
                pass  # the namespace is made a moment after the start
            await asyncio.sleep(5)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._seen.discard(uid_of(old))
                self._waiting.pop(uid_of(old), None)
            return
        uid = uid_of(new)
        if uid in self._seen or new["metadata"].get("deletionTimestamp"):
            return
        self._seen.add(uid)
        address = str(next(self._addresses))
        owner = (new["metadata"].get("ownerReferences") or [{"name": ""}])[0]["name"].rpartition("-")[0]
        self._sidecars.pods[address] = (uid, f"{namespace_of(new)}/{owner}")
        self._queue.put_nowait((new, address))

    def _configured(self, uid: str) -> None:
        if uid in self._waiting:
            self._queue.put_nowait(self._waiting.pop(uid))

    async def _work(self) -> None:
        while True:
            pod, address = await self._queue.get()
            waits = _is_canary(pod) and uid_of(pod) not in self._sidecars.configured
            if waits:
                self._waiting[uid_of(pod)] = (pod, address)
            for _ in range(5):
                try:
                    status = _status(pod, address, ready=not waits)
                    where = namespace_of(pod), name_of(pod)
                    await self._client.patch(PODS, *where, {"status": status}, "status", kind=STRATEGIC)
                    break
                except ApiError as error:
                    if error.status == 404:
                        break
                    await asyncio.sleep(0.2)


def _is_canary(pod: Object) -> bool:
    try:
        return Injection.from_json(annotations_of(pod).get(names.INJECTED, "")).canary
    except RemoteError:
        return False


def _status(pod: Object, address: str, *, ready: bool) -> Object:
    def container(name: str) -> Object:
        running = {"running": {"startedAt": _STAMP}}
        told = {"name": name, "image": "none", "imageID": "none", "ready": ready, "restartCount": 0}
        return told | {"started": True, "containerID": f"bench://{uid_of(pod)}", "state": running}

    word = "True" if ready else "False"
    conditions = [
        {"type": kind, "status": word if "eady" in kind else "True", "lastTransitionTime": _STAMP}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    spec = pod["spec"]
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "10.97.0.10",
        "startTime": _STAMP,
        "conditions": conditions,
        "initContainerStatuses": [container(c["name"]) for c in spec.get("initContainers") or ()],
        "containerStatuses": [container(c["name"]) for c in spec["containers"]],
    }
