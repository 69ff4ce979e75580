"""One Deployment, its ReplicaSets and its pods, as the conformance tests write and read them.

Rules: through the API alone, by the lab's client or kubectl, so that the same tests can run against any
control plane that the lab brings up; what our controller would write is made by our controller's own
functions (`coalmine_controller.canary_set`), so that what is proven is what runs.

How a test shows that something does **not** happen: it makes the native controller do something
later that can be seen (`settle`), and looks then. A change to a ReplicaSet is known to have
reached that controller once the ReplicaSet controller has answered it in the status: both are fed by one informer.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Any, cast

from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Object,
    Resource,
    controller_of,
    name_of,
    uid_of,
)
from coalmine.kube.verbs import MERGE, STRATEGIC, ConflictError, Event
from coalmine.model.fingerprint import fingerprint
from coalmine_controller import canary_set
from coalmine_controller.convert import deployment_from, replica_set_from
from coalmine_sandbox.lab import Answer, Lab

LABELS = {"app": "app"}
#: A condition of pods that nobody but the test sets; a template with `gated` waits for it.
GATE = "conformance.coalmine.dev/gate"
_MARKER = "conformance-marker"
_marks = itertools.count(1)


def template(release: str = "1", *, gated: bool = False, labels: Object | None = None) -> Object:
    """A pod template; its release is what a new image is elsewhere."""
    spec: Object = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": f"python:{release}", "command": ["sleep", "86400"]}],
    }
    if gated:
        spec["readinessGates"] = [{"conditionType": GATE}]
    return {"metadata": {"labels": {**LABELS, **(labels or {})}}, "spec": spec}


class App:
    """The Deployment `name` in `namespace`."""

    def __init__(self, lab: Lab, namespace: str, name: str = "app") -> None:
        self.lab = lab
        self.namespace = namespace
        self.name = name

    # --- writing -------------------------------------------------------------------------------

    def manifest(self, replicas: int = 2, *, surge: int = 1, unavailable: int = 0, **spec: Any) -> Object:
        """The Deployment as a person would write it."""
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        return {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": LABELS},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
                "template": template(),
                **spec,
            },
        }

    async def start(self, replicas: int = 2, **how: Any) -> None:
        """Make the Deployment and wait until it is complete."""
        await self.lab.client.create(DEPLOYMENTS, self.namespace, self.manifest(replicas, **how))
        await self.complete()

    async def patch(self, patch: Object, subresource: str | None = None, *, kind: str = MERGE) -> Object:
        return await self.lab.client.patch(DEPLOYMENTS, self.namespace, self.name, patch, subresource, kind=kind)

    async def update(self, release: str) -> None:
        """A native rolling update to `release`, to its end."""
        await self.patch({"spec": {"template": template(release)}})
        await self.complete()

    async def hold(self, release: str = "2", **how: Any) -> None:
        """Change the template and pause in one write, as our webhook makes of a change of the template."""
        await self.patch({"spec": {"paused": True, "template": template(release, **how)}})
        await self.observed()

    async def unpause(self) -> None:
        await self.patch({"spec": {"paused": None}})

    async def scale(self, replicas: int) -> None:
        """As an HPA does: by the scale subresource."""
        await self.patch({"spec": {"replicas": replicas}}, "scale")

    async def canary(self, replicas: int, *, ready: bool = True) -> str:
        """Make the hidden ReplicaSet of the held template and wait for its pods; its name."""
        made = canary_set.hidden_set(deployment_from(await self.get()), replicas)
        name = name_of(await self.lab.client.create(REPLICA_SETS, self.namespace, made))
        await self.has(name, replicas, ready=ready)
        if not ready:
            await self.set_gates(name, "False")
        return name

    async def relabel(self, name: str, *, sizes: bool = True) -> None:
        """The one patch of the handover. Without `sizes` it lacks the annotations about replicas."""

        def shown(deployment: Object, replica_set: Object) -> Object:
            d = deployment_from(deployment)
            patch = canary_set.show(d, replica_set_from(replica_set, d))
            if not sizes:
                keys = [k for k in patch["metadata"]["annotations"] if "kubernetes.io" in k]
                for key in keys:
                    del patch["metadata"]["annotations"][key]
            return patch

        await self.patch_set(name, shown)

    async def patch_set(self, name: str, patch: Callable[[Object, Object], Object]) -> None:
        """Patch a ReplicaSet by a function of the Deployment and the ReplicaSet as they are."""
        while True:
            deployment, replica_set = await self.get(), await self.replica_set(name)
            try:
                await self.lab.client.patch(REPLICA_SETS, self.namespace, name, patch(deployment, replica_set))
                return
            except ConflictError:
                continue  # the ReplicaSet controller wrote its status in between

    async def resize(self, name: str, replicas: int) -> None:
        """Set a ReplicaSet's replicas and wait for its pods."""
        await self.lab.client.patch(REPLICA_SETS, self.namespace, name, {"spec": {"replicas": replicas}})
        await self.has(name, replicas)

    async def set_gates(self, name: str, value: str, count: int | None = None) -> None:
        """Write the gate's condition to the first `count` pods, else all, of a ReplicaSet."""
        condition = {"type": GATE, "status": value}
        for pod in (await self.pods(name))[:count]:
            patch = {"status": {"conditions": [condition]}}
            await self.lab.client.patch(PODS, self.namespace, name_of(pod), patch, "status", kind=STRATEGIC)

    async def open_gates(self, name: str, count: int) -> None:
        """Let `count` pods of a ReplicaSet with a gated template become available."""
        await self.set_gates(name, "True", count)

        async def available() -> bool:
            return bool((await self.replica_set(name))["status"].get("availableReplicas") == count)

        await self.lab.until(available, f"{count} pods of {name} are available")

    async def kubectl(self, *arguments: str, stdin: str = "") -> Answer:
        return await self.lab.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    async def rollout(self, verb: str, *arguments: str) -> Answer:
        """kubectl rollout `verb` on the Deployment."""
        return await self.kubectl("rollout", verb, f"deployment/{self.name}", *arguments)

    # --- reading -------------------------------------------------------------------------------

    async def get(self) -> Object:
        return await self.lab.client.get(DEPLOYMENTS, self.namespace, self.name)

    async def status(self) -> Object:
        return dict((await self.get()).get("status") or {})

    async def condition(self, kind: str) -> Object:
        """A condition of the Deployment; empty when it is not there."""
        conditions = (await self.status()).get("conditions") or ()
        return next((dict(c) for c in conditions if c["type"] == kind), {})

    async def replica_set(self, name: str) -> Object:
        return await self.lab.client.get(REPLICA_SETS, self.namespace, name)

    async def replica_sets(self) -> dict[str, Object]:
        """All ReplicaSets of the namespace by name."""
        items, _ = await self.lab.client.list(REPLICA_SETS, self.namespace)
        return {name_of(item): item for item in items}

    async def of(self, release: str) -> str:
        """The name of the one ReplicaSet with the template of `release`."""
        image = f"python:{release}"
        every = await self.replica_sets()
        (name,) = (n for n, r in every.items() if r["spec"]["template"]["spec"]["containers"][0]["image"] == image)
        return name

    async def sizes(self) -> dict[str, int]:
        """spec.replicas of all ReplicaSets of the namespace."""
        return {name: r["spec"]["replicas"] for name, r in (await self.replica_sets()).items()}

    async def owner(self, name: str) -> str:
        """uid of what controls a ReplicaSet, or ""."""
        return str((controller_of(await self.replica_set(name)) or {}).get("uid", ""))

    async def pods(self, replica_set: str | None = None) -> list[Object]:
        """The pods that are not terminating, of one ReplicaSet or of all."""
        every, _ = await self.lab.client.list(PODS, self.namespace)
        return [
            pod
            for pod in every
            if not pod["metadata"].get("deletionTimestamp")
            and replica_set in (None, (controller_of(pod) or {}).get("name"))
        ]

    async def uids(self, replica_set: str | None = None) -> set[str]:
        return {uid_of(pod) for pod in await self.pods(replica_set)}

    async def version(self, resource: Resource = PODS) -> str:
        """The resourceVersion to ask `history` from."""
        return (await self.lab.client.list(resource, self.namespace))[1]

    @contextlib.asynccontextmanager
    async def watching(self, resource: Resource, since: str) -> AsyncIterator[AsyncIterator[Event]]:
        """A watch that is ended on exit."""
        events = self.lab.client.watch(resource, self.namespace, since)
        try:
            yield events
        finally:
            await cast(AsyncGenerator[Event, None], events).aclose()

    async def history(self, resource: Resource, since: str) -> list[tuple[str, Object]]:
        """Everything that happened to the objects of `resource` since `version` was asked."""
        mark = str(next(_marks))
        items, _ = await self.lab.client.list(resource, self.namespace)
        # one that is on its way out may be gone before it is marked
        one = next(item for item in items if not item["metadata"].get("deletionTimestamp"))
        # a label moves no generation and matches no selector: it only ends the watch
        patch = {"metadata": {"labels": {_MARKER: mark}}}
        await self.lab.client.patch(resource, self.namespace, name_of(one), patch)
        seen: list[tuple[str, Object]] = []
        async with self.watching(resource, since) as events:
            async for event in events:
                if event.type == "BOOKMARK":
                    continue
                if (event.object["metadata"].get("labels") or {}).get(_MARKER) == mark:
                    break
                seen.append((event.type, event.object))
        return seen

    # --- waiting -------------------------------------------------------------------------------

    async def complete(self) -> None:
        """The native controller is done, and no pod of another ReplicaSet is left."""

        async def done() -> bool:
            deployment = await self.get()
            return deployment_from(deployment).complete and not deployment["status"].get("terminatingReplicas")

        await self.lab.until(done, f"Deployment {self.name} is complete")

    async def observed(self) -> Object:
        """The native controller has dealt with the Deployment as it is now."""

        async def seen() -> Object | None:
            deployment = await self.get()
            observed = int((deployment.get("status") or {}).get("observedGeneration") or 0)
            return deployment if observed >= deployment["metadata"]["generation"] else None

        return dict(await self.lab.until(seen, f"Deployment {self.name} is observed"))

    async def settle(self) -> None:
        """Have the native controller go over everything once more, and wait for it.

        What is changed is of no consequence, nor is it copied to ReplicaSets as annotations are.
        """
        seconds = (await self.get())["spec"]["progressDeadlineSeconds"]
        await self.patch({"spec": {"progressDeadlineSeconds": seconds + 1}})
        await self.observed()

    async def next_second(self, name: str) -> None:
        """What is created from now on is younger than a ReplicaSet.

        creationTimestamp counts seconds, and of one second the names decide which of two is the older.
        """
        created = (await self.replica_set(name))["metadata"]["creationTimestamp"]
        probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clock"}}

        async def later() -> bool:
            answer = await self.lab.client.raw("POST", f"{CONFIG_MAPS.path(self.namespace)}?dryRun=All", probe)
            return bool(answer["metadata"]["creationTimestamp"] > created)

        await self.lab.until(later, "the API server's clock has gone on")

    async def has(self, name: str, replicas: int, *, ready: bool = True) -> None:
        """A ReplicaSet has as many pods, available unless `ready` is False, and no more."""

        async def there() -> bool:
            found = await self.replica_set(name)
            status = found["status"]
            return (
                status.get("observedGeneration") == found["metadata"]["generation"]
                and found["spec"]["replicas"] == status["replicas"] == replicas
                and (not ready or status.get("availableReplicas", 0) == replicas)
            )

        await self.lab.until(there, f"ReplicaSet {name} has {replicas} pods")

    async def adopted(self, name: str) -> None:
        """The Deployment controls a ReplicaSet."""
        uid = uid_of(await self.get())

        async def owned() -> bool:
            return await self.owner(name) == uid

        await self.lab.until(owned, f"ReplicaSet {name} is adopted")

    async def released(self, name: str) -> None:
        """Nobody controls a ReplicaSet."""

        async def free() -> bool:
            return not await self.owner(name)

        await self.lab.until(free, f"ReplicaSet {name} is released")

    async def sized(self, wanted: dict[str, int]) -> None:
        """spec.replicas of all ReplicaSets is as `wanted`."""

        async def so() -> bool:
            return await self.sizes() == wanted

        await self.lab.until(so, f"ReplicaSets have {wanted}")


def came_and_went(history: Iterable[tuple[str, Object]], replica_set: str) -> tuple[set[str], set[str]]:
    """The uids of a ReplicaSet's pods that were added, and of those that were deleted or told to end."""
    mine = [(kind, pod) for kind, pod in history if (controller_of(pod) or {}).get("name") == replica_set]
    came = {uid_of(pod) for kind, pod in mine if kind == "ADDED"}
    went = {uid_of(pod) for kind, pod in mine if kind == "DELETED" or pod["metadata"].get("deletionTimestamp")}
    return came, went


def fingerprints(*objects: Object) -> set[str]:
    """The fingerprints of the templates of Deployments and ReplicaSets."""
    return {fingerprint(obj["spec"]["template"]) for obj in objects}
