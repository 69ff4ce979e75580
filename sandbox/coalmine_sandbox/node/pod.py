"""One pod on this node, from the first container to the deletion of its object.

Order of starting: init containers and sidecars one after the other, each sidecar started (its
startupProbe passed) before what follows; then all application containers. Order of ending: every
preStop hook at once; application containers get SIGTERM after their own; a sidecar only once
all application containers and the sidecars after it have ended. Then the object is deleted.

Status writes are level-based: whatever changed since the last write goes out in the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from coalmine.kube.client import Client
from coalmine.kube.resources import (
    PODS,
    SERVICE_ACCOUNTS,
    Object,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from coalmine.kube.verbs import STRATEGIC, ApiError, ConflictError, NotFoundError
from coalmine_sandbox.node.addresses import Addresses
from coalmine_sandbox.node.container import Container, Surroundings
from coalmine_sandbox.node.environment import MissingError, PodFacts
from coalmine_sandbox.node.images import Images
from coalmine_sandbox.node.status import Kind, PodView, Terminated, Waiting, pod_status
from coalmine_sandbox.node.volumes import Volumes

log = logging.getLogger(__name__)

#: Seconds before a write that failed is tried again.
_WRITE_AGAIN: Final = 0.5
_LOOK_AGAIN: Final = 10.0
#: A token is renewed when this much of its life is over, as a kubelet does.
_RENEW_AT: Final = 0.8


@dataclass(frozen=True, slots=True)
class Node:
    """What the pods of this node share."""

    client: Client
    images: Images
    addresses: Addresses
    address: str
    allocatable: Mapping[str, str]
    state: Path
    #: kind, namespace, name -> object.
    find: Callable[[str, str, str], Object | None]
    now: Callable[[], float]
    variables: Callable[[], Mapping[str, str]]
    #: Volumes are not mounted: paths in specs are changed to where they are.
    rewrite: bool = False


class PodWorker:
    """Call `run` in a task, `update` for each change of the object, `gone` when it was removed."""

    def __init__(self, pod: Object, node: Node) -> None:
        self.pod = pod
        self._node = node
        self._directory = node.state / "pods" / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"
        self._volumes = Volumes(self._directory / "volumes", node.state / "v" if node.rewrite else None)
        self._inputs_changed = asyncio.Event()
        self._dirty = asyncio.Event()
        self._asked_to_end = asyncio.Event()
        self._ending = asyncio.Event()
        self._removed = False
        self._tokens: dict[str, str] = {}
        self._volumes_ready = False
        self._address = ""
        self._began = node.now()
        self._ended = False
        self._written: Object = {}
        self._version = 0  # of the object, as we wrote it last
        self._conditions: list[Object] = list((pod.get("status") or {}).get("conditions") or ())
        self._deadline: float | None = None
        self._tasks: dict[Container, asyncio.Task[int]] = {}
        self.containers = self._make_containers()

    # --- told by the agent ---------------------------------------------------------------------

    def update(self, pod: Object) -> None:
        """The object changed: a deletion, a shorter grace, labels, a readiness gate."""
        before = self.pod
        self.pod = pod
        for condition in (pod.get("status") or {}).get("conditions") or ():
            # those that are not ours (readiness gates, PodScheduled) are read here
            if not any(c["type"] == condition["type"] for c in self._conditions):
                self._conditions.append(condition)
                self._dirty.set()
            elif condition["type"] in self._gates():
                self._conditions = [condition if c["type"] == condition["type"] else c for c in self._conditions]
                self._dirty.set()
        if int(resource_version_of(pod)) > self._version and self._contradicts(pod):
            self._written = {}
            self._dirty.set()
        if pod["metadata"].get("deletionTimestamp"):
            self._asked_to_end.set()
            self._shorten()
        if labels_of(before) != labels_of(pod) or annotations_of(before) != annotations_of(pod):
            self.inputs_changed()

    def gone(self) -> None:
        """The object was removed by somebody else: end what runs."""
        self._removed = True
        self._asked_to_end.set()

    def inputs_changed(self) -> None:
        """A ConfigMap or Secret of its namespace changed."""
        self._inputs_changed.set()
        if self._volumes_ready:
            try:
                self._volumes.refresh(self._facts(), self._tokens)
            except MissingError as error:
                log.warning("%s: volumes stay as they are: %s", name_of(self.pod), error)

    # --- the pod's life ------------------------------------------------------------------------

    async def run(self) -> None:
        """Returns once the pod's processes have ended and its object is gone."""
        if (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            await self._asked_to_end.wait()
            await self._delete()
            return
        try:
            self._address = self._node.addresses.take(str((self.pod.get("status") or {}).get("podIP") or ""))
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write_for_ever())
                self._changed()
                await self._live(group)
                writer.cancel()
            if not self._removed:
                await self._write_once()
            if not self._asked_to_end.is_set():  # it completed: its object stays until somebody deletes it
                self._release()
                await self._asked_to_end.wait()
            await self._delete()
        finally:
            self._release()

    async def _live(self, group: asyncio.TaskGroup) -> None:
        if self._asked_to_end.is_set():  # it was on its way out before we saw it
            self._ended = True
            return
        bringing_up = group.create_task(self._bring_up(group))
        asked = group.create_task(self._asked_to_end.wait())
        over = group.create_task(self._over(bringing_up))
        renewing = group.create_task(self._renew_tokens())
        await asyncio.wait({asked, over}, return_when=asyncio.FIRST_COMPLETED)
        for task in (bringing_up, asked, over, renewing):
            task.cancel()
        await asyncio.gather(bringing_up, asked, over, renewing, return_exceptions=True)
        await self._end_containers(group)
        self._ended = self._asked_to_end.is_set()
        self._changed()

    async def _bring_up(self, group: asyncio.TaskGroup) -> bool:
        """Start everything in order; False when an init container has failed for good."""
        await self._prepare_volumes()
        policy = str(self.pod["spec"].get("restartPolicy", "Always"))
        for container in self.containers:
            task = self._tasks[container] = group.create_task(container.supervise(policy))
            if container.kind is Kind.SIDECAR:
                await container.started.wait()
            elif container.kind is Kind.INIT and await asyncio.shield(task) != 0:
                return False
            if container is self.containers[-1] or container.kind is Kind.APP:
                continue
            following = self.containers[self.containers.index(container) + 1]
            if following.kind is Kind.APP:
                for app in self.containers:
                    if app.kind is Kind.APP:
                        app.state = Waiting("ContainerCreating")
                self._changed()
        return True

    async def _over(self, bringing_up: asyncio.Task[bool]) -> None:
        """Returns when no application container will run any more."""
        if await asyncio.shield(bringing_up):
            for container in self.containers:
                if container.kind is Kind.APP:
                    await container.stopped.wait()

    async def _end_containers(self, group: asyncio.TaskGroup) -> None:
        self._ending.set()
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._grace()
        running: list[Container] = []
        for container in self.containers:
            if container.process is not None:
                running.append(container)
                continue
            if task := self._tasks.get(container):
                task.cancel()
            container.stopped.set()
        sidecars = [c for c in running if c.kind is Kind.SIDECAR]
        for container in running:
            waits_for = [c for c in running if c.kind is not Kind.SIDECAR]
            if container in sidecars:
                waits_for += sidecars[sidecars.index(container) + 1 :]
            turn = partial(_all_stopped, waits_for) if container in sidecars else None
            group.create_task(container.terminate(self._deadline, turn))
        for container in running:
            await container.stopped.wait()
        for container in self.containers:
            if self._asked_to_end.is_set() and not isinstance(container.state, Terminated) and container.last is None:
                now = self._node.now()
                message = "The container could not be located when the pod was terminated"
                container.state = Terminated(137, "ContainerStatusUnknown", now, now, message)

    def _grace(self) -> float:
        spec = self.pod["spec"].get("terminationGracePeriodSeconds")
        asked = self.pod["metadata"].get("deletionGracePeriodSeconds")
        seconds = asked if asked is not None else 30 if spec is None else spec
        return max(1.0, float(seconds))

    def _shorten(self) -> None:
        if self._deadline is None:
            return
        deadline = asyncio.get_running_loop().time() + self._grace()
        if deadline < self._deadline:
            self._deadline = deadline
            for container in self.containers:
                container.shorten(deadline)

    async def _delete(self) -> None:
        self._release()
        if not self._removed:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(self.pod)}}
            path = PODS.path(namespace_of(self.pod), name_of(self.pod))
            while True:
                try:
                    await self._node.client.raw("DELETE", path, options)
                    break
                except (NotFoundError, ConflictError):
                    break
                except ApiError as error:
                    log.warning("%s cannot be deleted: %s", name_of(self.pod), error)
                    await asyncio.sleep(_WRITE_AGAIN)
        self._volumes.remove()

    def _release(self) -> None:
        self._node.addresses.give_back(self._address)

    # --- what containers need ------------------------------------------------------------------

    def _make_containers(self) -> list[Container]:
        status = self.pod.get("status") or {}
        before = {
            s["name"]: s
            for s in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        }
        made = []
        spec = self.pod["spec"]
        for container in spec.get("initContainers") or ():
            kind = Kind.SIDECAR if container.get("restartPolicy") == "Always" else Kind.INIT
            made.append((container, kind))
        made += [(container, Kind.APP) for container in spec["containers"]]
        containers = [Container(c, kind, self._surroundings(c), before.get(c["name"])) for c, kind in made]
        waiting = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
        for each in containers:
            each.state = Waiting(waiting)
        return containers

    def _surroundings(self, container: Object) -> Surroundings:
        return Surroundings(
            facts=self._facts,
            volumes=self._volumes,
            images=self._node.images,
            directory=self._directory / "containers" / str(container["name"]),
            inputs_changed=self._inputs_changed,
            ending=self._ending,
            changed=self._changed,
            now=self._node.now,
            variables=self._node.variables,
            rewrite=self._node.rewrite,
        )

    def _facts(self) -> PodFacts:
        namespace = namespace_of(self.pod)
        return PodFacts(
            pod=self.pod,
            address=self._address,
            host_address=self._node.address,
            allocatable=self._node.allocatable,
            find=lambda kind, name: self._node.find(kind, namespace, name),
        )

    async def _prepare_volumes(self) -> None:
        await self._request_tokens()
        while not self._volumes_ready:
            self._inputs_changed.clear()
            try:
                self._volumes.refresh(self._facts(), self._tokens)
                self._volumes_ready = True
            except MissingError as error:
                for container in self.containers:
                    container.state = Waiting("ContainerCreating", f"MountVolume.SetUp failed: {error}")
                self._changed()
                try:
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await self._inputs_changed.wait()
                except TimeoutError:
                    continue

    def _token_sources(self) -> list[Mapping[str, Any]]:
        return [
            source["serviceAccountToken"]
            for volume in self.pod["spec"].get("volumes") or ()
            for source in (volume.get("projected") or {}).get("sources") or ()
            if "serviceAccountToken" in source
        ]

    async def _request_tokens(self) -> None:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name_of(self.pod), "uid": uid_of(self.pod)}
        account = str(self.pod["spec"].get("serviceAccountName") or "default")
        for source in self._token_sources():
            audience = str(source.get("audience", ""))
            spec: Object = {
                "boundObjectRef": reference,
                "expirationSeconds": int(source.get("expirationSeconds") or 3600),
                "audiences": [audience] if audience else [],
            }
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            path = SERVICE_ACCOUNTS.path(namespace_of(self.pod), account, "token")
            while True:
                try:
                    answer = await self._node.client.raw("POST", path, request)
                    break
                except ApiError as error:
                    log.warning("%s: no token: %s", name_of(self.pod), error)
                    if error.status == 403:  # its namespace ends: so does the pod, and with it this task
                        await asyncio.Event().wait()
                    await asyncio.sleep(_WRITE_AGAIN)
            self._tokens[audience] = str(answer["status"]["token"])

    async def _renew_tokens(self) -> None:
        lives = [int(source.get("expirationSeconds") or 3600) for source in self._token_sources()]
        while lives:
            await asyncio.sleep(min(lives) * _RENEW_AT)
            await self._request_tokens()
            self.inputs_changed()

    # --- status --------------------------------------------------------------------------------

    def _gates(self) -> set[str]:
        return {str(g["conditionType"]) for g in self.pod["spec"].get("readinessGates") or ()}

    def _contradicts(self, pod: Object) -> bool:
        """Somebody else wrote a condition of ours: who does not hear of a node calls its pods unready."""
        ours = {c["type"]: c["status"] for c in self._written.get("conditions") or ()}
        conditions = (pod.get("status") or {}).get("conditions") or ()
        return any(ours.get(c["type"], c["status"]) != c["status"] for c in conditions)

    def _changed(self) -> None:
        self._dirty.set()

    async def _write_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            await self._write_once()

    async def _write_once(self) -> None:
        """Write the status if it differs from the last one written."""
        while True:
            self._dirty.clear()
            view = PodView(
                tuple(c.view() for c in self.containers),
                self._address,
                self._node.address,
                self._began,
                ended=self._ended,
            )
            status = pod_status(self.pod, view, self._conditions, self._node.now())
            if status == self._written:
                return
            body = {"metadata": {"uid": uid_of(self.pod)}, "status": status}
            try:
                answer = await self._node.client.patch(
                    PODS, namespace_of(self.pod), name_of(self.pod), body, "status", kind=STRATEGIC
                )
                self._version = int(resource_version_of(answer))
            except (NotFoundError, ConflictError):
                pass  # removed, or another pod of that name: the watch will tell
            except ApiError as error:
                log.warning("%s: status cannot be written: %s", name_of(self.pod), error)
                await asyncio.sleep(_WRITE_AGAIN)
                continue
            self._written = status
            mine = {c["type"] for c in status["conditions"]}
            self._conditions = [c for c in self._conditions if c["type"] not in mine] + status["conditions"]
            return


async def _all_stopped(containers: list[Container]) -> None:
    for container in containers:
        await container.stopped.wait()
