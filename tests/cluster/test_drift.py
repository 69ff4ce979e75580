"""Nothing drifts: at every phase of a rollout the same manifests are applied again in every way, and nothing moves.

The tests of this module are one walk (`gitops.phases`), a test a phase, in their order. UPDATE_GOLDEN=1 on the real
control plane records the objects of each phase, from which docs/gitops.md tells what each tool says of them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from gitops import comparing, recording, scripts
from gitops.ground import empty
from gitops.manifests import Manifests
from gitops.phases import PHASES, Stand, Walker
from gitops.standstill import Standstill, objects
from scenes import Scene

from coalmine.kube.resources import ROLLOUTS
from coalmine.model.rollout import Phase, Status
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.plane.real import RealControlPlane
from coalmine_sandbox.story.application import NAME, Application

pytestmark = [pytest.mark.cluster, pytest.mark.long]


@pytest.fixture(scope="module")
def scene(installed: Lab, run: Any) -> Iterator[Scene]:
    context = empty(installed, "drift")
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    return Manifests(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="module")
def walker(scene: Scene, manifests: Manifests) -> Walker:
    if scene.lab.control_plane.kubectl is None:
        pytest.skip("what a person does with kubectl can only be shown where there is one")
    return Walker(scene, manifests)


@pytest.fixture(scope="module")
def walk(walker: Walker) -> AsyncIterator[Stand]:
    return walker.walk()


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_moves(walker: Walker, walk: AsyncIterator[Stand], run: Any, phase: str) -> None:
    async def story() -> None:
        stand = await anext(walk)
        assert stand.phase == phase, "an earlier phase was not reached"
        found = await objects(walker.app)
        if os.environ.get("UPDATE_GOLDEN") and isinstance(walker.scene.lab.control_plane, RealControlPlane):
            recording.store(phase, found)
        said = recording.verdicts(found)
        assert said == recording.verdicts(recording.load(phase))
        assert said["kubectl rollout status"] == await by_kubectl(walker.app), "the rule is kubectl's own"
        await Standstill(walker.app, walker.manifests).demand(alive=stand.alive)

    run(story())


async def by_kubectl(app: Application) -> str:
    """What kubectl itself says, in the words of `gitops.readiness`."""
    done = await app.kubectl("rollout", "status", f"deployment/{NAME}", "--watch=false")
    if done.code:
        assert "exceeded its progress deadline" in done.stderr
        return "failed"
    return "done" if "successfully rolled out" in done.stdout else "waiting"


def test_a_git_that_says_paused_releases_nothing(walker: Walker, run: Any) -> None:
    """`paused: false` in Git is a difference that stays, and no way around the hold; taking it out of Git neither."""

    async def story() -> None:
        await walker.stand_at("2.0")
        await walker.stand_at("4.0", weight=20)
        still = Standstill(walker.app, walker.manifests)
        before = await still.picture()
        try:
            walker.manifests.paused(False)
            for _ in range(2):
                assert await still.apply() == "configured"
                assert comparing.three_way(walker.manifests.deployment, await walker.app.deployment()) == [
                    "spec.paused"
                ]
                assert await still.picture() == before
        finally:
            walker.manifests.paused(None)
        assert await still.apply() == "configured"
        assert await still.picture() == before
        assert await still.apply() == "unchanged"

    run(story())


def test_a_commit_in_the_handover_is_refused_and_taken_later(walker: Walker, run: Any) -> None:
    """For these seconds no other template is taken; the tool that tries again gets its canary."""

    async def story() -> None:
        await walker.stand_at("2.0")
        await walker.stand_at("4.0", weight=20)
        promoted = await walker.app.fingerprint()
        await walker.stand_in_handover()
        still = Standstill(walker.app, walker.manifests)
        before = await still.picture()
        walker.manifests.release("1.0")
        refused = await walker.app.kubectl("apply", "-f", str(walker.manifests.folder))
        assert refused.code == 1
        assert "handover in progress, try again in a few seconds" in refused.stderr
        assert await still.picture() == before
        walker.scene.controller.start()
        await walker.app.until(lambda s: s.phase is Phase.HEALTHY and s.stable.fingerprint == promoted)
        await walker.stand_at("1.0", weight=20)

    run(story())


def test_the_actions_of_argo_cd_do_what_they_say(walker: Walker, run: Any) -> None:
    """The Lua actions, run as Argo CD runs them, and its merge patch sent to the Rollout."""
    client, namespace = walker.scene.lab.client, walker.app.namespace

    async def click(action: str) -> None:
        rollout = await client.get(ROLLOUTS, namespace, NAME)
        assert action in scripts.offered(rollout)
        await client.patch(ROLLOUTS, namespace, NAME, scripts.acted(action, rollout))

    def paused_at(weight: int) -> Callable[[Status], bool]:
        return lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == weight

    async def story() -> None:
        until = walker.app.until
        await walker.stand_at("2.0")
        await walker.stand_at("4.0", weight=20)
        await click("pause")
        await click("promote")
        await until(paused_at(50))
        await click("abort")
        await until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.percent == 0)
        await click("retry")
        await until(paused_at(20))
        mark = await walker.app.fingerprint()
        await click("promote-full")
        await until(lambda s: s.phase is Phase.HEALTHY and s.canary is None and s.stable.fingerprint == mark)
        assert scripts.offered(await client.get(ROLLOUTS, namespace, NAME)) == []

    run(story())
