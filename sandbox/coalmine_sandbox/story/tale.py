"""The acts of the story, and whether each of its promises was kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.kube.resources import annotations_of, uid_of
from coalmine.model import names
from coalmine.model.rollout import Phase, Status
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.story.application import REPOSITORY, Application
from coalmine_sandbox.story.ledger import WINDOW, Step
from coalmine_sandbox.story.traffic import Sample

NAMESPACE: Final = "default"
#: What the acts are about, in a few words: one scene each, in this order.
ACTS: Final = ("one annotation", "good release", "bad release", "back again", "pipeline")
#: What `kubectl rollout status` may take.
_LONGEST_RELEASE: Final = "240s"


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
        self._pace = pace
        self._tell = tell
        self._app = Application(lab, NAMESPACE, clock, dice, watch)
        self.report = Report()

    async def run(self) -> Report:
        """Tell it. Raises LabError or DaemonError when the lab itself fails."""
        async with self._app.running():
            await self._opt_in()
            await self._good_release("2.0")
            await self._bad_release("3.0")
            await self._back("2.0")
            await self._release_and_wait("4.0")
            await asyncio.sleep(self._pace / 2)  # the old pods end; the audience sees that nobody notices
        self._close()
        return self.report

    @property
    def status(self) -> Status:
        """The Rollout as it was last seen."""
        return self._app.status

    @property
    def samples(self) -> Sequence[Sample]:
        """What the user of the application got so far, in the order in which it was answered; it grows."""
        return self._app.traffic.samples if self._app.traffic else ()

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
        await self._app.deploy(self._pace)
        pods = await self._app.pods()
        with_sidecar = sum(names.INJECTED in annotations_of(p) for p in pods)
        self._promise(f"{with_sidecar} of {len(pods)} pods came up with a sidecar", with_sidecar == len(pods) == 5)

    async def _good_release(self, release: str) -> None:
        self._tell(
            Scene(f"Release {release} is good", f"set image {release}: held, then 20 %, 50 %, 100 %, handed over")
        )
        stable = {uid_of(p) for p in await self._app.pods()}
        mark = await self._set_image(release)
        await self._app.until(lambda s: s.canary is not None and s.canary.fingerprint == mark)
        held = await self._app.deployment()
        self._promise(
            "the new template was held, and no stable pod was touched",
            bool(held["spec"].get("paused"))
            and annotations_of(held).get(names.HOLD) == mark
            and stable <= {uid_of(p) for p in await self._app.pods()},
        )
        status = await self._ended(mark)
        self._outcome(release, status)
        self._count(release, mark, [20, 50, 100])
        self._promise(f"{release} is Healthy", status.phase is Phase.HEALTHY)

    async def _bad_release(self, release: str) -> None:
        self._tell(Scene(f"Release {release} is not", f"set image {release}: its own health check says nok"))
        mark = await self._set_image(release)
        status = await self._app.until(lambda s: s.phase is Phase.DEGRADED and s.canary is not None)
        waited = await self._app.rollout_status("60s")
        said = (waited.stderr.strip() or waited.stdout.strip()).splitlines()[-1]
        self._promise(f"{self._app.waiting} exits 1: {said}", waited.code == 1)
        await self._app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.hundredths == 0)
        await asyncio.sleep(self._pace / 2)  # the audience sees that stable answers
        self._outcome(release, status)
        self._count(release, mark, [20, 0])
        self._promise(f"{release} is Degraded", self.status.phase is Phase.DEGRADED)

    async def _back(self, release: str) -> None:
        self._tell(Scene(f"Back to {release}", "the stable pods were there all the time"))
        before = await self._app.stable_pods()
        await self._set_image(release)
        status = await self._app.until(lambda s: s.phase is Phase.HEALTHY and s.canary is None)
        after = await self._app.stable_pods()
        kept = sum(1 for uid, count in before.items() if after.get(uid) == count)
        self.report.stable_restarts = len(before) - kept
        self._outcome(release, status)
        self._promise(f"{kept} of {len(before)} stable pods are the same, by uid", kept == len(before) == 5)
        self._promise(f"{release} is Healthy again", status.phase is Phase.HEALTHY)

    async def _release_and_wait(self, release: str) -> None:
        self._tell(Scene("As every pipeline does it", f"{self._app.tool} set image {release} && {self._app.waiting}"))
        mark = await self._set_image(release)
        waited = await self._app.rollout_status(_LONGEST_RELEASE)
        self._promise(f"{self._app.waiting} waited, and exits 0", waited.code == 0)
        status = await self._ended(mark)
        self._outcome(release, status)
        self._count(release, mark, [20, 50, 100])

    def _close(self) -> None:
        assert self._app.traffic is not None
        samples, failures = self._app.traffic.samples, self._app.failures
        self.report.requests = len(samples)
        self.report.failures = failures
        first = f", the first: {failures[0]}" if failures else ""
        self._promise(f"{len(failures):,} of {len(samples):,} requests failed{first}", not failures)
        rate = len(samples) / (samples[-1].ended - samples[0].sent)
        self._promise(f"{rate:.0f} requests a second all along", rate >= 100)

    # --- their means ---------------------------------------------------------------------------

    async def _set_image(self, release: str) -> str:
        """Set the image as a person does; the fingerprint of the new template."""
        done = await self._app.set_image(release)
        said = "; ".join((done.stdout.strip() or done.stderr.strip()).splitlines())
        self._promise(f"{self._app.tool} set image {release}: {said}", done.code == 0)
        return await self._app.fingerprint()

    async def _ended(self, mark: str) -> Status:
        """Wait until the release of `mark` is over, one way or the other."""
        return await self._app.until(
            lambda s: (
                s.phase is Phase.DEGRADED
                or (s.phase is Phase.HEALTHY and s.canary is None and s.stable.fingerprint == mark)
            )
        )

    def _count(self, release: str, mark: str, weights: list[int]) -> None:
        """Tell the steps of a release, and whether they were those of `weights`."""
        steps = self._app.account(release, mark)
        for step in steps:
            self.report.steps.append(step)
            self._tell(step)
            off = (
                f"at most {step.worst:.0f} off in any {WINDOW:,}" if step.requests > WINDOW else f"{step.worst:.0f} off"
            )
            self._promise(
                f"{release} at {step.weight} %: {step.canary:,} of {step.requests:,} requests ({step.share:.1f} %), "
                f"{off}; {step.failed:,} failed",
                step.kept and step.requests > 0,
            )
        went = ", ".join(f"{s.weight} %" for s in steps)
        self._promise(f"{release} went through {went}", [s.weight.percent for s in steps] == weights)

    def _outcome(self, release: str, status: Status) -> None:
        self.report.outcomes.append(Outcome(f"{REPOSITORY}:{release}", status.phase.value, status.message))

    def _promise(self, sentence: str, kept: bool) -> None:
        promise = Promise(sentence, kept)
        self.report.promises.append(promise)
        self._tell(promise)
