"""The sandbox's API server in memory, all controllers, and a node whose pods come up at once: on a virtual clock.

`World.wrap` stands between the controllers and the API server: it may be slow, refuse, or be away.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from virtual_time import now

from coalmine.kube.resources import (
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    Object,
    Resource,
    name_of,
    namespace_of,
)
from coalmine.kube.verbs import MERGE, STRATEGIC, ApiError
from coalmine.model.durations import format_time
from coalmine_sandbox.api import crds
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.assembly import Api
from coalmine_sandbox.api.authentication import Tokens
from coalmine_sandbox.api.authorization import Rbac
from coalmine_sandbox.api.errors import forbidden
from coalmine_sandbox.api.local import LocalApi
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.certificates import signing_key
from coalmine_sandbox.native.manager import Manager

LABELS = {"app": "app"}
_KEY = signing_key()[0]


class Admission:
    """Lets everything pass, unless `refuse` raises, or the namespace is ending."""

    def __init__(self, store: Store) -> None:
        self.refuse: Callable[[Attributes], None] = lambda attributes: None
        self._store = store

    async def mutate(self, attributes: Attributes) -> tuple[Object | None, list[str]]:
        self.refuse(attributes)
        namespace = self._store.get(NAMESPACES, None, attributes.namespace) if attributes.namespace else None
        if attributes.operation == "CREATE" and namespace and namespace["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {attributes.namespace} because it is being terminated"
            raise forbidden(attributes.resource.plural, attributes.name, why)
        return attributes.object, []

    async def validate(self, attributes: Attributes) -> None:
        pass


class Between:
    """An Api whose requests go by `World.before` first."""

    def __init__(self, world: World, api: LocalApi) -> None:
        self._world = world
        self._api = api

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._api, name)
        if name == "watch":
            return self._watch

        async def call(*args: Any, **how: Any) -> Any:
            await self._world.before(name)
            return await found(*args, **how)

        return call

    async def _watch(self, *args: Any, **how: Any) -> AsyncIterator[Any]:
        async for event in self._api.watch(*args, **how):
            await self._world.before("event")
            yield event


class World:
    """`async with World() as world`: everything runs."""

    def __init__(self, *, nodes: int = 1) -> None:
        self.before: Callable[[str], Awaitable[None]] = self._nothing
        self.unready: set[str] = set()  # images whose pods never become ready
        self.silent = False  # the nodes renew no Lease and touch no pod
        self.slept = 0.0  # seconds that the machine stood still: clocks went on, timers did not
        chance = random.Random(5)
        store = Store()
        self.admission = Admission(store)
        self._api = Api(
            store,
            self.admission,
            Tokens(store, _KEY, now, chance),
            Rbac(store),
            crds.judge(now),
            services="127.30.0.0/24",
            address="127.0.0.1:6443",
            clock=now,
            chance=chance,
        )
        self.api = self._api.connect("system:admin")
        self._nodes = [f"node-{number}" for number in range(nodes)]
        self._tasks: list[asyncio.Task[Any]] = []

    async def _nothing(self, _what: str) -> None:
        pass

    async def __aenter__(self) -> World:
        for name in ("default", "kube-system", "kube-node-lease", "test"):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            with contextlib.suppress(ApiError):
                await self.api.create(NAMESPACES, None, body)
        for name in self._nodes:
            await self.add_node(name)

        def connect(user: str) -> Any:
            return Between(self, self._api.connect(user))

        manager = Manager(connect, lambda: now() + self.slept, random.Random(1), "the authority")
        self._tasks = [asyncio.create_task(manager.run()), asyncio.create_task(self._kubelet())]
        await self.until(lambda: self.exists(SERVICE_ACCOUNTS, "default"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        await self._api.close()

    # --- the nodes ---------------------------------------------------------------------------------

    async def add_node(self, name: str) -> None:
        status = {
            "allocatable": {"cpu": "8", "memory": "8Gi", "pods": "50"},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}
        await self.api.create(NODES, None, body)
        await self.api.patch(NODES, None, name, {"status": status}, "status")

    async def _kubelet(self) -> None:
        """All nodes' pods come up, and go when they are told to."""
        address = 0
        while True:
            await asyncio.sleep(0.25)
            if self.silent:
                continue
            for name in self._nodes:
                await self._renew(name)
            for pod in (await self.api.list(PODS))[0]:
                if not pod["spec"].get("nodeName"):
                    continue
                where = namespace_of(pod), name_of(pod)
                if pod["metadata"].get("deletionTimestamp"):
                    await self.api.raw("DELETE", PODS.path(*where), {"gracePeriodSeconds": 0})
                elif (pod.get("status") or {}).get("phase") in (None, "Pending"):
                    address += 1
                    await self._start(where, pod, f"127.1.0.{address % 250 + 1}")

    async def _start(self, where: tuple[str, str], pod: Object, address: str) -> None:
        image = pod["spec"]["containers"][0]["image"]
        ready = "False" if image in self.unready else "True"
        status: Object = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": timestamp(now())}],
        }
        if pod["spec"].get("restartPolicy") == "Never":
            status = {"phase": "Failed" if image in self.unready else "Succeeded"}
        await self.api.patch(PODS, *where, {"status": status}, "status", kind=STRATEGIC)

    async def _renew(self, name: str) -> None:
        spec = {"holderIdentity": name, "renewTime": format_time(now())}
        lease = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        try:
            await self.api.patch(LEASES, "kube-node-lease", name, {"spec": spec}, kind=MERGE)
        except ApiError:
            await self.api.create(LEASES, "kube-node-lease", lease)

    # --- what a test does --------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Awaitable[Any]], seconds: float = 300.0) -> Any:
        """Ask every now and then; the first true answer. The clock is virtual: waiting costs nothing."""
        end = now() + seconds
        while now() < end:
            for task in self._tasks:
                if task.done():
                    task.result()
            if answer := await condition():
                return answer
            await asyncio.sleep(0.1)
        raise AssertionError(f"waited {seconds:g} s in vain")

    async def find(self, resource: Resource, name: str, namespace: str = "test") -> Object | None:
        return await self.api.find(resource, namespace if resource.namespaced else None, name)

    async def exists(self, resource: Resource, name: str) -> bool:
        return await self.find(resource, name) is not None

    async def all(self, resource: Resource, namespace: str = "test") -> list[Object]:
        return (await self.api.list(resource, namespace if resource.namespaced else None))[0]

    async def deploy(self, replicas: int = 3, image: str = "app:1", **spec: Any) -> None:
        body = {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "metadata": {"name": "app"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container(image)]}},
                **spec,
            },
        }
        await self.api.create(DEPLOYMENTS, "test", body)

    async def update(self, patch: Object) -> None:
        await self.api.patch(DEPLOYMENTS, "test", "app", patch)

    async def complete(self) -> None:
        async def done() -> bool:
            found = await self.api.get(DEPLOYMENTS, "test", "app")
            status, wanted = found.get("status") or {}, found["spec"]["replicas"]
            return status.get("observedGeneration") == found["metadata"]["generation"] and (
                all(status.get(field, 0) == wanted for field in ("updatedReplicas", "replicas", "availableReplicas"))
            )

        await self.until(done)

    async def sizes(self) -> dict[str, int]:
        """spec.replicas of the ReplicaSets by their image."""
        return {
            each["spec"]["template"]["spec"]["containers"][0]["image"]: each["spec"]["replicas"]
            for each in await self.all(REPLICA_SETS)
        }


def container(image: str = "app:1") -> Object:
    return {"name": "app", "image": image, "ports": [{"name": "web", "containerPort": 80}]}


def image(text: str) -> Object:
    """A patch to another image."""
    return {"spec": {"template": {"spec": {"containers": [container(text)]}}}}
