"""The example application in a namespace of a lab: its releases, its user, and what that user got."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import yaml

from coalmine.kube.resources import DEPLOYMENTS, PODS, Object, uid_of
from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine.model.rollout import Status
from coalmine_sandbox.lab import EXAMPLES, Answer, Lab, read
from coalmine_sandbox.story.follow import Follower, periods
from coalmine_sandbox.story.ledger import Period, Step, account
from coalmine_sandbox.story.traffic import Traffic

REPOSITORY: Final = "particule/simplecolorapi"
COLOURS: Final = {"1.0": "red", "2.0": "blue", "3.0": "black", "4.0": "green"}
NAME: Final = "colorapi"
MANIFESTS: Final = EXAMPLES / "colorapi" / "manifests"
#: Requests a second. Enough for 1,000 in five seconds, with a control plane on the same two cores.
RATE: Final = 220.0
#: The article's pause is 30 s and its check comes every 5: the proportion is kept.
_CHECKS_PER_PAUSE: Final = 6
_PATIENCE: Final = 240.0


class Application:
    """colorapi in one namespace, followed while `running` is entered."""

    def __init__(
        self,
        lab: Lab,
        namespace: str,
        clock: Callable[[], float],
        dice: random.Random,
        watch: Callable[[Status], None] = lambda _: None,
        *,
        rate: float = RATE,
    ) -> None:
        """`rate` is what its user sends, in requests a second."""
        self.lab = lab
        self.namespace = namespace
        self.traffic: Traffic | None = None
        self._clock = clock
        self._dice = dice
        self._rate = rate
        self._follower = Follower(lab.client, namespace, NAME, clock, watch)
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Application]:
        """Follow the Rollout; the user goes away at the end."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._tasks.append(group.create_task(self._follower.run()))
            yield self
            for task in self._tasks:
                task.cancel()

    async def deploy(self, pace: float, *, user: bool = True) -> None:
        """Apply the example with pauses of `pace` seconds, wait until it is Healthy, let the user begin."""
        await self.lab.apply(paced(MANIFESTS, pace), namespace=self.namespace, manager="kubectl")
        await self.until(lambda s: s.phase.value == "Healthy" and s.replicas.available == s.replicas.desired > 0)
        if user and self._group is not None:
            address = await self.lab.service_address(self.namespace, NAME, 80)
            self.traffic = Traffic(*address, self._rate, self._clock, self._dice)
            self._tasks.append(self._group.create_task(self.traffic.run()))

    @property
    def status(self) -> Status:
        """The Rollout as it was last seen."""
        return self._follower.last

    @property
    def weights(self) -> list[int | float]:
        """Every weight that was ever intended for a canary, in order, without repetition."""
        found: list[int | float] = []
        for _, status in self._follower.history:
            if status.canary is not None and (not found or found[-1] != status.weight.percent):
                found.append(status.weight.percent)
        return found

    async def until(self, condition: Callable[[Status], bool], patience: float = _PATIENCE) -> Status:
        """Wait for a status. Raises TimeoutError that tells what the Rollout says instead."""
        try:
            async with asyncio.timeout(patience):
                return await self._follower.until(condition)
        except TimeoutError:
            self.lab.check()
            raise TimeoutError(f"waited in vain; the Rollout says: {self.status}\n{self.lab.tails()}") from None

    async def kubectl(self, *arguments: str) -> Answer:
        """Run kubectl in the application's namespace."""
        return await self.lab.kubectl("--namespace", self.namespace, *arguments)

    async def set_image(self, release: str) -> Answer:
        """Set the image as a person does: by kubectl, or by our own command line where there is none."""
        if self.tool == "kubectl":
            return await self.kubectl("set", "image", f"deployment/{NAME}", f"{NAME}={REPOSITORY}:{release}")
        return await self.lab.coalmine("-n", self.namespace, "set", "image", NAME, f"{NAME}={REPOSITORY}:{release}")

    async def rollout_status(self, patience: str) -> Answer:
        """Wait for the end of a release as a pipeline does; `patience` is a Go duration."""
        if self.tool == "kubectl":
            return await self.kubectl("rollout", "status", f"deployment/{NAME}", f"--timeout={patience}")
        return await self.lab.coalmine("-n", self.namespace, "status", NAME, f"--timeout={patience}")

    @property
    def tool(self) -> str:
        """The program by which the person of the story works."""
        return "coalmine" if self.lab.control_plane.kubectl is None else "kubectl"

    @property
    def waiting(self) -> str:
        """The words of `rollout_status`, as a person types them."""
        return "coalmine status" if self.lab.control_plane.kubectl is None else "kubectl rollout status"

    async def deployment(self) -> Object:
        return await self.lab.client.get(DEPLOYMENTS, self.namespace, NAME)

    async def fingerprint(self) -> str:
        """Of the Deployment's present template."""
        return fingerprint((await self.deployment())["spec"]["template"])

    async def pods(self) -> list[Object]:
        """The pods of all versions that are not terminating."""
        pods, _ = await self.lab.client.list(PODS, self.namespace, labels=f"app={NAME}")
        return [p for p in pods if not p["metadata"].get("deletionTimestamp")]

    async def stable_pods(self) -> dict[str, int]:
        """uid and restarts of each pod of the stable ReplicaSet."""
        stable = self.status.stable.replica_set
        owned = [p for p in await self.pods() if any(o["name"] == stable for o in p["metadata"]["ownerReferences"])]
        return {uid_of(p): restarts(p) for p in owned}

    def account(self, release: str, mark: str) -> list[Step]:
        """What the user got at each weight of the canary with the fingerprint `mark`."""
        samples = self.traffic.samples if self.traffic else []
        found = merged(periods(self._follower.history, mark, self._clock()))
        return [account(f"{REPOSITORY}:{release}", COLOURS[release], period, samples) for period in found]

    @property
    def failures(self) -> list[str]:
        """What went wrong for the user, so far."""
        return [s.failure for s in self.traffic.samples if s.failure] if self.traffic else []


def merged(found: list[Period]) -> list[Period]:
    """Periods of one weight that follow each other, joined: between them a pod came or went."""
    joined: list[Period] = []
    for period in found:
        if joined and joined[-1].weight == period.weight:
            joined[-1] = Period(period.weight, joined[-1].since, period.until)
        else:
            joined.append(period)
    return joined


def restarts(pod: Object) -> int:
    """Restarts of all containers of a pod."""
    status = pod.get("status") or {}
    every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return sum(int(c.get("restartCount", 0)) for c in every)


def paced(manifests: Path, pace: float) -> list[Object]:
    """The example's objects, with pauses of `pace` seconds and checks in proportion."""
    objects = read(manifests)
    for obj in objects:
        annotations = obj["metadata"].get("annotations") or {}
        if names.CANARY in annotations:
            strategy = yaml.safe_load(annotations[names.CANARY])
            for step in strategy["steps"]:
                if "pause" in step:
                    step["pause"]["duration"] = f"{pace:g}s"
            annotations[names.CANARY] = yaml.safe_dump(strategy, sort_keys=False)
        if obj["kind"] == names.ANALYSIS_TEMPLATE:
            for metric in obj["spec"]["metrics"]:
                metric["interval"] = f"{pace / _CHECKS_PER_PAUSE * 1000:.0f}ms"
    return objects
