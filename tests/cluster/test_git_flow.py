"""The article's own flow: everything goes through Git, and a loop applies what is there, every second.

`git commit` of another number of replicas, of another image, of a bad one; `git revert`. The loop is what a GitOps tool
with self-healing does: it pulls, and applies the whole folder, whether anything is new or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gitops.ground import namespaced
from releases import Stage

from coalmine.kube.resources import annotations_of
from coalmine.model import names
from coalmine.model.rollout import Phase
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.lab import run as command
from coalmine_sandbox.story.application import MANIFESTS, NAME
from coalmine_sandbox.story.traffic import Traffic

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PERSON = ("-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "init.defaultBranch=main")
#: Seconds between two rounds of the loop: Argo CD's self-heal waits 5, Flux minutes. More often is harder on us.
ROUND = 1.0
#: Requests a second: kubectl and git run beside it all the time.
RATE = 40.0


async def git(folder: Path, *arguments: str) -> str:
    """Raises AssertionError with what git said."""
    done = await command(
        ["git", "-C", str(folder), *PERSON, *arguments], environment={"GIT_CONFIG_GLOBAL": "/dev/null"}
    )
    assert done.code == 0, done.stdout + done.stderr
    return done.stdout.strip()


class Repository:
    """What people push to: the example's folder, as the article has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def begin(self) -> None:
        """The example, with the pauses of a test."""
        deploy = self.folder / "deploy"
        deploy.mkdir(parents=True)
        for name in ("deployment.yaml", "service.yaml", "analysistemplate.yaml"):
            shutil.copy(MANIFESTS / name, deploy)
        await git(self.folder, "init", "--quiet")
        await self.sed("deployment", "duration: 30s", "duration: 2s", commit=False)
        await self.sed("analysistemplate", "interval: 5s", "interval: 300ms", commit=False)
        await git(self.folder, "add", ".")
        await git(self.folder, "commit", "--quiet", "--message", "colorapi 1.0")

    async def sed(self, file: str, old: str, new: str, *, commit: bool = True) -> None:
        """The article's ``sed -i`` and ``git commit -am``."""
        path = self.folder / "deploy" / f"{file}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        if commit:
            await git(self.folder, "commit", "--quiet", "--all", "--message", f"bump: {new}")

    async def release(self, old: str, new: str) -> None:
        await self.sed("deployment", f"simplecolorapi:{old}", f"simplecolorapi:{new}")


class Loop:
    """The GitOps tool: pulls and applies, forever."""

    def __init__(self, stage: Stage, repository: Repository, checkout: Path, how: tuple[str, ...]) -> None:
        self._stage = stage
        self._repository = repository
        self._checkout = checkout
        self._how = how
        #: What each round said of the Deployment, and the commit that it applied.
        self.rounds: list[tuple[str, str]] = []
        self.new = asyncio.Condition()

    async def run(self) -> None:
        await git(self._checkout.parent, "clone", "--quiet", str(self._repository.folder), str(self._checkout))
        while True:
            await git(self._checkout, "pull", "--quiet")
            commit = await git(self._checkout, "rev-parse", "HEAD")
            done = await self._stage.app.kubectl("apply", "-f", str(self._checkout / "deploy"), *self._how)
            assert done.code == 0, done.stderr
            said = re.search(r"^deployment\.apps/colorapi (\S+)$", done.stdout, re.MULTILINE)
            assert said, done.stdout
            async with self.new:
                self.rounds.append((commit, said[1]))
                self.new.notify_all()
            await asyncio.sleep(ROUND)

    async def applied(self) -> None:
        """Wait until the loop has applied the newest commit."""
        head = await git(self._repository.folder, "rev-parse", "HEAD")
        async with self.new:
            await self.new.wait_for(lambda: bool(self.rounds) and self.rounds[-1][0] == head)

    async def again(self, times: int) -> None:
        """Wait for that many further rounds."""
        until = len(self.rounds) + times
        async with self.new:
            await self.new.wait_for(lambda: len(self.rounds) >= until)


@contextlib.asynccontextmanager
async def looping(
    stage: Stage, controller: Daemon, folder: Path, how: tuple[str, ...]
) -> AsyncIterator[tuple[Repository, Loop]]:
    """The repository, its first commit applied, the loop and a user."""
    repository = Repository(folder / "repository")
    await repository.begin()
    loop = Loop(stage, repository, folder / "checkout", how)
    async with asyncio.TaskGroup() as group:
        # on a machine that is busy it may lose its lead, and is started again as a cluster would
        tasks = [group.create_task(loop.run()), group.create_task(controller.tend())]
        await loop.applied()
        await stage.app.until(lambda s: s.phase is Phase.HEALTHY and s.replicas.available == 5)
        address = await stage.app.lab.service_address(stage.app.namespace, NAME, 80)
        stage.app.traffic = Traffic(*address, RATE, time.monotonic, random.Random(1))
        tasks.append(group.create_task(stage.app.traffic.run()))
        yield repository, loop
        for task in tasks:
            task.cancel()


WAYS = {
    "client-side": (),
    "server-side": ("--server-side", "--field-manager=gitops"),
}


@pytest.mark.timeout(500)
@pytest.mark.parametrize("how", WAYS)
def test_the_articles_flow(installed: Lab, controller: Daemon, run: Any, tmp_path: Path, how: str) -> None:
    if installed.control_plane.kubectl is None or shutil.which("git") is None:
        pytest.skip("the loop needs git and kubectl, and one of them is not here")

    async def story() -> None:
        async with (
            namespaced(installed, f"git-{how}") as stage,
            looping(stage, controller, tmp_path, WAYS[how]) as (repository, loop),
        ):
            await flow(stage, repository, loop)
            if how == "client-side":
                told = [said for _, said in loop.rounds]
                assert told[0] == "created"
                # one commit of replicas, three of the image, one revert
                assert told.count("configured") == 5
                assert set(told) == {"created", "configured", "unchanged"}

    run(story())


async def flow(stage: Stage, repository: Repository, loop: Loop) -> None:
    app = stage.app
    # "our first test will be a modification of our replicas count"
    before = await app.stable_pods()
    await repository.sed("deployment", "replicas: 5", "replicas: 6")
    await loop.applied()
    await app.until(lambda s: s.phase is Phase.HEALTHY and s.replicas.desired == s.replicas.available == 6)
    assert app.weights == [], "replicas are no release"
    assert set(before) < set(await app.stable_pods())

    # "let's do a real application update"
    await repository.release("1.0", "2.0")
    await loop.applied()
    good = await app.fingerprint()
    await app.until(lambda s: s.phase is Phase.HEALTHY and s.canary is None and s.stable.fingerprint == good)
    assert [w for w in app.weights if w] == [20, 50, 100], "applying again releases nothing and sets nothing back"
    stable = await app.stable_pods()
    assert len(stable) == 6

    # "demonstration with the non functional image"
    await repository.release("2.0", "3.0")
    await loop.applied()
    bad = await app.fingerprint()
    await app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.percent == 0)
    await loop.again(3)
    held = await app.deployment()
    assert held["spec"]["paused"] is True
    assert annotations_of(held)[names.HOLD] == annotations_of(held)[names.FAILED] == bad, "no self-healing retries it"
    assert app.status.phase is Phase.DEGRADED
    assert await app.stable_pods() == stable

    # "we can have our Healthy state back"
    await git(repository.folder, "revert", "--no-edit", "HEAD")
    await loop.applied()
    await stage.healthy(good)
    assert await app.stable_pods() == stable, "no pod was touched"

    # a good one after it, taken for what it is
    weights = len(app.weights)
    await repository.release("2.0", "4.0")
    await loop.applied()
    await stage.healthy(await app.fingerprint())
    assert [w for w in app.weights[weights:] if w] == [20, 50, 100]
    await loop.again(2)
    assert app.failures == []
