"""The example as a team runs it on a cluster: in a namespace that enforces `restricted`, with its user.

Its manifests are the example's own, and three things more, none of which is about us: what `restricted` asks for; no
pull, as there is no registry; and a preStop sleep, without which a pod that ends loses requests on any cluster: it
closes its port while kube-proxy still sends to it (docs/limits.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Final

import yaml
from node_lab import PATIENCE, NodeLab

from coalmine.kube.resources import NAMESPACES, SERVICE_ACCOUNTS, Object, uid_of
from coalmine.model.names import CANARY, SIDECAR_CONTAINER
from coalmine_sandbox.story.application import MANIFESTS, NAME, Application, paced
from coalmine_sandbox.story.ledger import Step
from coalmine_sandbox.story.traffic import Traffic

#: Requests a second: the node, its pods and the control plane share two cores with the user.
RATE: Final = 60.0
#: Seconds that an ending pod goes on serving: kube-proxy has written its rules long before.
LINGER: Final = 3
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}


class Shop:
    """The application in a namespace of the node, asked all the time, by the address of its Service."""

    def __init__(self, lab: NodeLab, namespace: str) -> None:
        self.lab = lab
        self.namespace = namespace
        self.app = Application(lab, namespace, time.monotonic, random.Random(1))
        #: What was done to it, and when.
        self.done: list[tuple[float, str]] = [(time.monotonic(), "deployed")]

    @contextlib.asynccontextmanager
    async def open(self, pace: float, *, canary: bool = True) -> AsyncIterator[Shop]:
        """Deploy it and let its user begin; without `canary` it is an ordinary Deployment."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": RESTRICTED}}
        await self.lab.client.create(NAMESPACES, None, body)
        await self.lab.until(self._account_made, "the service account is made", PATIENCE)
        async with self.app.running():
            await self.lab.apply(objects(pace, canary=canary), namespace=self.namespace, manager="kubectl")
            await self.lab.available(self.namespace, NAME)
            if canary:
                await self.healthy()
            address = await self.lab.service_address(self.namespace, NAME, 80)
            await self.lab.until(lambda: _answers(*address), "kube-proxy knows the pods", PATIENCE)
            self.app.traffic = Traffic(*address, RATE, time.monotonic, random.Random(2))
            async with asyncio.TaskGroup() as group:
                user = group.create_task(self.app.traffic.run())
                yield self
                user.cancel()
        await self.lab.client.delete(NAMESPACES, None, self.namespace)

    async def healthy(self, mark: str | None = None) -> None:
        """Wait until nothing is held; with `mark`, until that template is stable."""
        await self.app.until(
            lambda s: (
                s.phase.value == "Healthy"
                and s.canary is None
                and s.replicas.available == s.replicas.desired > 0
                and mark in (None, s.stable.fingerprint)
            )
        )

    async def release(self, version: str) -> str:
        """Set the image, as a person does; the fingerprint of the template."""
        done = await self.app.set_image(version)
        assert done.code == 0, done.stderr
        return await self.app.fingerprint()

    async def strategy(self, *steps: Object) -> None:
        """Write other steps on the Deployment."""
        deployment = await self.app.deployment()
        strategy = yaml.safe_load(deployment["metadata"]["annotations"][CANARY])
        strategy["steps"] = list(steps)
        done = await self.app.kubectl(
            "annotate", "--overwrite", f"deployment/{NAME}", f"{CANARY}={yaml.safe_dump(strategy)}"
        )
        assert done.code == 0, done.stderr

    async def at(self, weight: int) -> None:
        """Wait until every sidecar has acknowledged a weight."""
        await self.app.until(lambda s: s.weight == s.actual_weight and s.weight.percent == weight)

    async def stable_pods(self) -> list[Object]:
        """The pods of the stable ReplicaSet, oldest first."""
        return await self._pods_of(self.app.status.stable.replica_set)

    async def canary_pods(self) -> list[Object]:
        """The pods of the canary ReplicaSet."""
        canary = self.app.status.canary
        return [] if canary is None else await self._pods_of(canary.replica_set)

    async def settled(self, pods: int) -> None:
        """Wait until there are so many pods, all Ready, none terminating."""

        async def there() -> bool:
            answer = await self.lab.kubectl("-n", self.namespace, "get", "pods", "-l", f"app={NAME}", "-o", "yaml")
            found = yaml.safe_load(answer.stdout)["items"]
            return len(found) == pods and all(ready(p) and "deletionTimestamp" not in p["metadata"] for p in found)

        await self.lab.until(there, f"{pods} pods are Ready and none ends", PATIENCE)

    async def asked(self, requests: int) -> list[str]:
        """Wait for so many more answers; what failed of them."""
        samples = self.traffic.samples
        since = len(samples)

        async def answered() -> bool:
            return len(samples) >= since + requests

        await self.lab.until(answered, f"{requests} more requests are answered", PATIENCE)
        return [s.failure for s in samples[since:] if s.failure]

    def mark(self, what: str) -> None:
        """Remember that something is done to it now."""
        self.done.append((time.monotonic(), what))

    def failed(self) -> list[tuple[str, float, str]]:
        """Each request that failed: after what, how many seconds after, how."""
        found = []
        for sample in self.traffic.samples:
            if sample.failure:
                when, what = max((d for d in self.done if d[0] <= sample.ended), default=self.done[0])
                found.append((what, round(sample.ended - when, 2), sample.failure))
        return found

    @property
    def traffic(self) -> Traffic:
        assert self.app.traffic is not None, "the user came when everything was there"
        return self.app.traffic

    def account(self, release: str, mark: str) -> list[Step]:
        return self.app.account(release, mark)

    async def _account_made(self) -> bool:
        return await self.lab.client.find(SERVICE_ACCOUNTS, self.namespace, "default") is not None

    async def _pods_of(self, replica_set: str) -> list[Object]:
        pods = await self.app.pods()
        mine = [p for p in pods if any(o["name"] == replica_set for o in p["metadata"].get("ownerReferences") or ())]
        return sorted(mine, key=lambda p: (p["metadata"]["creationTimestamp"], uid_of(p)))


async def _answers(host: str, port: int) -> bool:
    """Whether connections are accepted, one after another: kube-proxy writes its rules up to a second after pods are
    Ready, and until then refuses for a Service that it knows no pods of."""
    try:
        for _ in range(10):
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return True


def ready(pod: Object) -> bool:
    """Whether the kubelet says that it is."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def sidecar(pod: Object) -> Object:
    """The sidecar's container in the pod's spec, as the webhook injected it natively."""
    return next(c for c in pod["spec"]["initContainers"] if c["name"] == SIDECAR_CONTAINER)


def sidecar_status(pod: Object) -> Object:
    """What the kubelet says of it."""
    return next(s for s in pod["status"]["initContainerStatuses"] if s["name"] == SIDECAR_CONTAINER)


def objects(pace: float, *, canary: bool) -> list[Object]:
    """The example's objects with pauses of `pace` seconds, as this namespace admits them."""
    found = paced(MANIFESTS, pace)
    for obj in found:
        if obj["kind"] != "Deployment":
            continue
        if not canary:
            obj["metadata"].pop("annotations")
        pod = obj["spec"]["template"]["spec"]
        pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for container in pod["containers"]:
            container["imagePullPolicy"] = "IfNotPresent"
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": LINGER}}}
            container["securityContext"] = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    return found
