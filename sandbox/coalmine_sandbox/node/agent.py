"""The node itself: registers, keeps its Lease, and gives each pod bound to it a worker.

Ended with SIGTERM or by kill -9, it takes the processes of its pods along (the kernel sees to
that). Started again, it starts them again, and counts that as a restart of each container:
unlike a kubelet it cannot find its processes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coalmine.kube.client import Client
from coalmine.kube.resources import CONFIG_MAPS, LEASES, NODES, PODS, SECRETS, Object, uid_of
from coalmine.kube.verbs import MERGE, ApiError, ConflictError
from coalmine.model.durations import format_time
from coalmine_sandbox.connect import Names
from coalmine_sandbox.node import addresses
from coalmine_sandbox.node.guard import guarding
from coalmine_sandbox.node.images import Images
from coalmine_sandbox.node.log_server import serving
from coalmine_sandbox.node.logs import RunLog
from coalmine_sandbox.node.pod import Node, PodWorker
from coalmine_sandbox.node.status import timestamp
from coalmine_sandbox.reflector import Key, Reflector

log = logging.getLogger(__name__)

_LEASE_NAMESPACE: Final = "kube-node-lease"
#: A kubelet's: the Lease lasts 40 s and is renewed every 10; the status is written every 5 minutes, or when it is not
#: what it should be.
_LEASE_SECONDS: Final = 40
_RENEW_SECONDS: Final = 10.0
_STATUS_SECONDS: Final = 300.0
#: Room for whatever a test asks for: nothing is limited, so nothing is reserved either.
_CAPACITY: Final = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}


@dataclass(frozen=True, slots=True)
class Options:
    """`pods` is the range of pod addresses; `api` host and port that pods are told (KUBERNETES_SERVICE_*),
    as `names` finds them. `authority` (PEM) signs the API server's client certificate; without it no
    logs are served. `rewrite`: volumes are not mounted, see `rewriting`."""

    name: str
    address: str
    pods: str
    state: Path
    images: Images
    api: tuple[str, int]
    names: Names = field(default_factory=Names)
    authority: bytes = b""
    rewrite: bool = False


class NodeAgent:
    """Call `run` once; it never returns."""

    def __init__(self, client: Client, options: Options, now: Callable[[], float]) -> None:
        self._client = client
        self._options = options
        self._now = now
        self._workers: dict[str, PodWorker] = {}
        self._uids: dict[Key, str] = {}
        #: Pods that are done with, until the watch has told that they are gone.
        self._finished: set[str] = set()
        self._inputs = {
            "ConfigMap": Reflector(client, CONFIG_MAPS, self._input_changed),
            "Secret": Reflector(client, SECRETS, self._input_changed),
        }
        self._pods = Reflector(client, PODS, self._pod_changed, fields=f"spec.nodeName={options.name}")
        self._group: asyncio.TaskGroup | None = None
        self._port = 0
        self._node = Node(
            client=client,
            images=options.images,
            addresses=addresses.Addresses(options.pods),
            address=options.address,
            allocatable=_CAPACITY,
            state=options.state,
            find=lambda kind, namespace, name: self._inputs[kind].objects.get((namespace, name)),
            now=now,
            variables=self._variables,
            rewrite=options.rewrite,
        )

    async def run(self) -> None:
        """Join the cluster and run its pods."""
        options = self._options
        addresses.add(options.address)
        with guarding(options.state / "pods"):
            if not options.authority:
                await self._work()
                return
            logs = serving(options.name, options.address, options.state, options.authority, self, self._now)
            async with logs as self._port:
                await self._work()

    def _variables(self) -> Mapping[str, str]:
        host, port = self._options.names.address(*self._options.api)
        return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}

    def find(self, namespace: str, pod: str, container: str, previous: bool) -> tuple[RunLog, Callable[[], bool]]:
        """The log of a container (`log_server.Logs`). Raises NoLogError and LookupError."""
        worker = self._workers.get(self._uids.get((namespace, pod), ""))
        if worker is None:
            raise LookupError(f'pod "{pod}" does not exist')
        found = next((c for c in worker.containers if c.name == container), None)
        if found is None:
            raise LookupError(f'container "{container}" not found in pod "{pod}"')
        return found.log(previous)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for inputs in self._inputs.values():
                group.create_task(inputs.run())
            uid = await self._register()
            group.create_task(self._renew_lease(uid))
            group.create_task(self._report())
            for inputs in self._inputs.values():
                await inputs.synced.wait()
            group.create_task(self._pods.run())

    # --- pods ----------------------------------------------------------------------------------

    def _pod_changed(self, key: Key, pod: Object | None) -> None:
        uid = self._uids.get(key)
        if uid is not None and (pod is None or uid_of(pod) != uid):
            del self._uids[key]
            self._finished.discard(uid)
            if worker := self._workers.get(uid):
                worker.gone()
        if pod is None:
            return
        self._uids[key] = uid_of(pod)
        if uid_of(pod) in self._finished:
            return
        known = self._workers.get(uid_of(pod))
        if known is not None:
            known.update(pod)
            return
        worker = self._workers[uid_of(pod)] = PodWorker(pod, self._node)
        worker.update(pod)  # it may be on its way out already
        assert self._group is not None
        self._group.create_task(self._run(worker))

    async def _run(self, worker: PodWorker) -> None:
        await worker.run()
        uid = uid_of(worker.pod)
        del self._workers[uid]
        if uid in self._uids.values():
            self._finished.add(uid)

    def _input_changed(self, key: Key, _obj: Object | None) -> None:
        for worker in self._workers.values():
            if worker.pod["metadata"]["namespace"] == key[0]:
                worker.inputs_changed()

    # --- the node ------------------------------------------------------------------------------

    async def _register(self) -> str:
        """Create the Node, or take over the one of an agent before us; its uid."""
        options = self._options
        body: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": options.name,
                "labels": {
                    "kubernetes.io/hostname": options.name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                },
            },
            "status": self._status(),
        }
        while True:
            try:
                with contextlib.suppress(ConflictError):
                    return uid_of(await self._client.create(NODES, None, body))
                return uid_of(await self._write_status())
            except ApiError as error:
                log.warning("the node cannot be registered: %s", error)
                await asyncio.sleep(1.0)

    def _status(self) -> Object:
        now = timestamp(self._now())
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "AgentReady",
            "message": "the node agent runs pods as processes",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        return {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": [ready],
            "addresses": [
                {"type": "InternalIP", "address": self._options.address},
                {"type": "Hostname", "address": self._options.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                "bootID": "",
                "containerRuntimeVersion": "processes://1",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": "v1.36.0-coalmine",
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "this machine",
                "systemUUID": "",
            },
        }

    async def _renew_lease(self, node_uid: str) -> None:
        name = self._options.name
        while True:
            spec: Mapping[str, object] = {
                "holderIdentity": name,
                "leaseDurationSeconds": _LEASE_SECONDS,
                "renewTime": format_time(self._now()),
            }
            try:
                await self._put_lease(name, node_uid, spec)
                await self._contradict()
                await asyncio.sleep(_RENEW_SECONDS)
            except ApiError as error:
                log.warning("the node's lease cannot be renewed: %s", error)
                await asyncio.sleep(1.0)

    async def _put_lease(self, name: str, node_uid: str, spec: Mapping[str, object]) -> None:
        if await self._client.find(LEASES, _LEASE_NAMESPACE, name) is not None:
            await self._client.patch(LEASES, _LEASE_NAMESPACE, name, {"spec": spec})
            return
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": spec,
        }
        await self._client.create(LEASES, _LEASE_NAMESPACE, lease)

    async def _contradict(self) -> None:
        """Say that the node is ready where it is said not to be: nobody heard of us for a while."""
        node = await self._client.find(NODES, None, self._options.name)
        conditions = ((node or {}).get("status") or {}).get("conditions") or ()
        if node is not None and not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            await self._write_status()

    async def _write_status(self) -> Object:
        return await self._client.patch(
            NODES, None, self._options.name, {"status": self._status()}, "status", kind=MERGE
        )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_STATUS_SECONDS)
            try:
                await self._write_status()
            except ApiError as error:
                log.warning("the node's status cannot be written: %s", error)


_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
