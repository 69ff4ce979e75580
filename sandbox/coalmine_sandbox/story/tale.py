"""The acts of the story, and whether each of its promises was kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from coalmine.kube.resources import DEPLOYMENTS, PODS, SERVICES, Object, annotations_of, uid_of
from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine.model.rollout import Phase, Status
from coalmine_sandbox.lab import EXAMPLES, Lab, read
from coalmine_sandbox.story.follow import Follower, periods
from coalmine_sandbox.story.ledger import Period, Step, account
from coalmine_sandbox.story.traffic import Traffic

REPOSITORY: Final = "particule/simplecolorapi"
COLOURS: Final = {"1.0": "red", "2.0": "blue", "3.0": "black", "4.0": "green"}
NAME: Final = "colorapi"
NAMESPACE: Final = "default"
#: Requests a second. Enough for 1,000 in five seconds, with a control plane on the same two cores.
RATE: Final = 220.0
#: The article's pause is 30 s and its check comes every 5: the proportion is kept.
_CHECKS_PER_PAUSE: Final = 6
_LONGEST_ACT: Final = 240.0


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence, and whether it held."""

    sentence: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a release ended."""

    image: str
    phase: str
    message: str


@dataclass(slots=True)
class Report:
    """What the story measured."""

    steps: list[Step] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    stable_restarts: int = 0
    requests: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.promises) and all(p.kept for p in self.promises)

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "steps": [s.to_json() for s in self.steps],
            "outcomes": [{"image": o.image, "phase": o.phase, "message": o.message} for o in self.outcomes],
            "stable_restarts": self.stable_restarts,
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """Something that the audience is told: a title and a sentence."""

    title: str
    sentence: str


class Tale:
    """Tells the story on `lab`. `tell` gets scenes, steps and promises as they come; `watch` each status."""

    def __init__(
        self,
        lab: Lab,
        pace: float,
        clock: Callable[[], float],
        dice: random.Random,
        tell: Callable[[Scene | Step | Promise], None],
        watch: Callable[[Status], None],
    ) -> None:
        self._lab = lab
        self._pace = pace
        self._clock = clock
        self._dice = dice
        self._tell = tell
        self._follower = Follower(lab.client, NAMESPACE, NAME, clock, watch)
        self.report = Report()
        self.traffic: Traffic | None = None

    async def run(self) -> Report:
        """Tell it. Raises LabError or DaemonError when the lab itself fails."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follower.run())
            await self._opt_in()
            address = await self._service()
            self.traffic = Traffic(address, 80, RATE, self._clock, self._dice)
            sending = group.create_task(self.traffic.run())
            await self._good_release("2.0")
            await self._bad_release("3.0")
            await self._back("2.0")
            await self._release_and_wait("4.0")
            sending.cancel()
            following.cancel()
        self._close()
        return self.report

    @property
    def status(self) -> Status:
        """The Rollout as it was last seen."""
        return self._follower.last

    @property
    def at_rest(self) -> bool:
        """Whether the rollout waits at a weight, or is over."""
        status = self.status
        return status.phase is not Phase.PROGRESSING and status.weight == status.actual_weight

    # --- the acts ------------------------------------------------------------------------------

    async def _opt_in(self) -> None:
        self._tell(
            Scene(
                "An ordinary Deployment, with one annotation", "apply examples/colorapi: five pods of release 1.0, red"
            )
        )
        await self._lab.apply(paced(EXAMPLES / "colorapi" / "manifests", self._pace), manager="kubectl")
        await self._phase(lambda s: s.phase is Phase.HEALTHY and s.replicas.available == 5)
        pods = await self._pods()
        with_sidecar = sum(names.INJECTED in annotations_of(p) for p in pods)
        self._promise(f"{with_sidecar} of {len(pods)} pods came up with a sidecar", with_sidecar == len(pods) == 5)

    async def _good_release(self, release: str) -> None:
        self._tell(
            Scene(f"Release {release} is good", f"set image {release}: held, then 20 %, 50 %, 100 %, handed over")
        )
        stable = {uid_of(p) for p in await self._pods()}
        mark = await self._set_image(release)
        await self._phase(lambda s: s.canary is not None and s.canary.fingerprint == mark)
        held = await self._lab.client.get(DEPLOYMENTS, NAMESPACE, NAME)
        self._promise(
            "the new template was held, and no stable pod was touched",
            bool(held["spec"].get("paused"))
            and annotations_of(held).get(names.HOLD) == mark
            and stable <= {uid_of(p) for p in await self._pods()},
        )
        status = await self._ended(mark)
        steps = self._count(release, mark)
        self._outcome(release, status)
        weights = [s.weight.percent for s in steps]
        self._promise(f"{release} went through {', '.join(f'{w} %' for w in weights)}", weights == [20, 50, 100])
        self._promise(f"{release} is Healthy", status.phase is Phase.HEALTHY)

    async def _bad_release(self, release: str) -> None:
        self._tell(Scene(f"Release {release} is not", f"set image {release}: its own health check says nok"))
        mark = await self._set_image(release)
        status = await self._phase(lambda s: s.phase is Phase.DEGRADED and s.canary is not None)
        waited = await self._lab.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=60s")
        self._promise(
            f"kubectl rollout status exits 1: {(waited.stderr.strip() or waited.stdout.strip()).splitlines()[-1]}",
            waited.code == 1,
        )
        await self._phase(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.hundredths == 0)
        await asyncio.sleep(self._pace / 2)  # the audience sees that stable answers
        self._outcome(release, status)
        steps = self._count(release, mark)
        weights = [s.weight.percent for s in steps]
        self._promise(f"{release} got 20 %, then nothing", weights == [20, 0] and steps[-1].canary == 0)
        self._promise(f"{release} is Degraded", self._follower.last.phase is Phase.DEGRADED)

    async def _back(self, release: str) -> None:
        self._tell(Scene(f"Back to {release}", "the stable pods were there all the time"))
        before = {uid_of(p): _restarts(p) for p in await self._stable_pods()}
        await self._set_image(release)
        status = await self._phase(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        after = {uid_of(p): _restarts(p) for p in await self._stable_pods()}
        kept = sum(1 for uid, count in before.items() if after.get(uid) == count)
        self.report.stable_restarts = len(before) - kept
        self._outcome(release, status)
        self._promise(f"{kept} of {len(before)} stable pods are the same, by uid", kept == len(before) == 5)
        self._promise(f"{release} is Healthy again", status.phase is Phase.HEALTHY)

    async def _release_and_wait(self, release: str) -> None:
        self._tell(Scene("As every pipeline does it", f"kubectl set image {release} && kubectl rollout status"))
        mark = await self._set_image(release)
        waited = await self._lab.kubectl("rollout", "status", f"deployment/{NAME}", f"--timeout={_LONGEST_ACT:.0f}s")
        self._promise("kubectl rollout status waited, and exits 0", waited.code == 0)
        status = await self._ended(mark)
        self._outcome(release, status)
        weights = [s.weight.percent for s in self._count(release, mark)]
        self._promise(f"{release} went through 20 %, 50 %, 100 %", weights == [20, 50, 100])

    def _close(self) -> None:
        assert self.traffic is not None
        samples = self.traffic.samples
        self.report.requests = len(samples)
        self.report.failures = [s.failure for s in samples if s.failure]
        self._promise(
            f"{len(self.report.failures)} of {len(samples)} requests failed"
            + (f", the first: {self.report.failures[0]}" if self.report.failures else ""),
            not self.report.failures,
        )
        seconds = samples[-1].ended - samples[0].sent
        self._promise(f"{len(samples) / seconds:.0f} requests a second all along", len(samples) / seconds >= 100)

    # --- their means ---------------------------------------------------------------------------

    async def _set_image(self, release: str) -> str:
        """Set the image as a person does; the fingerprint of the new template."""
        done = await self._lab.kubectl("set", "image", f"deployment/{NAME}", f"{NAME}={REPOSITORY}:{release}")
        self._promise(f"kubectl set image {release}: {done.stdout.strip() or done.stderr.strip()}", done.code == 0)
        deployment = await self._lab.client.get(DEPLOYMENTS, NAMESPACE, NAME)
        return fingerprint(deployment["spec"]["template"])

    async def _phase(self, condition: Callable[[Status], bool]) -> Status:
        try:
            async with asyncio.timeout(_LONGEST_ACT):
                return await self._follower.until(condition)
        except TimeoutError:
            self._lab.check()
            raise TimeoutError(
                f"waited in vain; the Rollout says: {self._follower.last}\n{self._lab.tails()}"
            ) from None

    async def _ended(self, mark: str) -> Status:
        """Wait until the release of `mark` is over, one way or the other."""
        await self._phase(
            lambda s: (
                s.phase is Phase.DEGRADED
                or (s.phase is Phase.HEALTHY and s.canary is None and s.stable.fingerprint == mark)
            )
        )
        return self._follower.last

    def _count(self, release: str, mark: str) -> list[Step]:
        """Tell the steps of a release: those periods in which the user sent anything."""
        assert self.traffic is not None
        steps: list[Step] = []
        for period in merged(periods(self._follower.history, mark, self._clock())):
            step = account(f"{REPOSITORY}:{release}", COLOURS[release], period, self.traffic.samples)
            steps.append(step)
            self.report.steps.append(step)
            self._tell(step)
            self._promise(
                f"{release} at {step.weight} %: {step.canary} of {step.requests} requests ({step.share:.1f} %), "
                f"at most {step.worst:.0f} off in any 1,000; {step.failed} failed",
                step.kept and step.requests > 0,
            )
        return steps

    def _outcome(self, release: str, status: Status) -> None:
        self.report.outcomes.append(Outcome(f"{REPOSITORY}:{release}", status.phase.value, status.message))

    def _promise(self, sentence: str, kept: bool) -> None:
        promise = Promise(sentence, kept)
        self.report.promises.append(promise)
        self._tell(promise)

    async def _service(self) -> str:
        service = await self._lab.client.get(SERVICES, NAMESPACE, NAME)
        return str(service["spec"]["clusterIP"])

    async def _pods(self) -> list[Object]:
        pods, _ = await self._lab.client.list(PODS, NAMESPACE, labels=f"app={NAME}")
        return [p for p in pods if not p["metadata"].get("deletionTimestamp")]

    async def _stable_pods(self) -> list[Object]:
        stable = self._follower.last.stable.replica_set
        return [p for p in await self._pods() if any(o["name"] == stable for o in p["metadata"]["ownerReferences"])]


def merged(found: list[Period]) -> list[Period]:
    """Periods of one weight that follow each other, joined: between them a pod came or went."""
    joined: list[Period] = []
    for period in found:
        if joined and joined[-1].weight == period.weight:
            joined[-1] = Period(period.weight, joined[-1].since, period.until)
        else:
            joined.append(period)
    return joined


def _restarts(pod: Object) -> int:
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
