"""The verbs of the command line against a whole installation, under load: what they say is what happens.

The tests of this module share one application, and each leaves it healthy and whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from releases import Stage

from coalmine.kube.resources import annotations_of
from coalmine.model import names
from coalmine.model.rollout import Phase
from coalmine_sandbox.lab import Answer

pytestmark = pytest.mark.cluster

PATIENT = """
steps:
- setWeight: 20
- pause: {duration: 1s}
- setWeight: 50
- pause: {}
scaleDownDelaySeconds: 1
abortScaleDownDelaySeconds: 1
"""


@pytest.fixture
def stage(whole: Stage, run: Any) -> Iterator[Stage]:
    """The application; no request may fail in the test."""
    failed = len(whole.app.failures)
    run(whole.strategy(PATIENT))
    yield whole
    assert whole.app.failures[failed:] == []


async def told(stage: Stage, *arguments: str) -> Answer:
    return await stage.app.lab.coalmine(*arguments, "--namespace", stage.app.namespace)


async def said(stage: Stage, *arguments: str) -> str:
    done = await told(stage, *arguments)
    assert done.code == 0, done.stderr
    return done.stdout


async def image(stage: Stage) -> str:
    deployment = await stage.app.deployment()
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


async def at_fifty(stage: Stage) -> str:
    await stage.app.set_image(stage.next_release())
    mark = await stage.app.fingerprint()
    await stage.app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 50)
    return mark


def test_list_and_version(stage: Stage, run: Any) -> None:
    async def story() -> None:
        row = (await said(stage, "list", "rollouts")).splitlines()[1].split()
        assert row == ["colorapi", "Canary", "✔", "Healthy", "4/4", "100", "5/5", "5", "5", "5"]
        document = json.loads(await said(stage, "list", "rollouts", "-A", "-o", "json"))
        assert [i["name"] for i in document["items"] if i["namespace"] == stage.app.namespace] == ["colorapi"]
        assert (await said(stage, "list", "rollouts", "-o", "name")) == "rollout.coalmine.dev/colorapi\n"
        assert (await said(stage, "version")).startswith("coalmine ")

    run(story())


def test_pause_holds_a_step_that_time_would_end(stage: Stage, run: Any) -> None:
    async def story() -> None:
        # long enough for a person, or a process on a starved machine, to come before its end
        await stage.strategy(PATIENT.replace("1s", "12s"))
        await stage.app.set_image(stage.next_release())
        mark = await stage.app.fingerprint()
        await stage.app.until(lambda s: s.phase is Phase.PAUSED and s.actual_weight.percent == 20)
        assert "is paused at step 1/4" in await said(stage, "pause", "colorapi")
        await stage.app.until(lambda s: s.message.endswith("by a person"))
        assert (await told(stage, "pause", "colorapi")).code == 1
        await asyncio.sleep(13)  # longer than the step: what is shown is that nothing happens
        assert stage.app.status.actual_weight.percent == 20
        await said(stage, "promote", "colorapi")
        await stage.app.until(lambda s: s.actual_weight.percent == 50)
        await said(stage, "promote", "colorapi", "--full")
        await stage.healthy(mark)

    run(story())


def test_undo_of_a_held_canary_goes_back_to_stable(stage: Stage, run: Any) -> None:
    async def story() -> None:
        await stage.app.kubectl("annotate", "--overwrite", "deployment/colorapi", "example.com/owner=me")
        before, pods = await image(stage), await stage.app.stable_pods()
        await at_fifty(stage)
        assert (await stage.app.kubectl("rollout", "undo", "deployment/colorapi")).code != 0, "kubectl's cannot"
        out = await said(stage, "undo", "colorapi")
        assert out.endswith("the template is the stable one again: nothing is held\n")
        await stage.healthy()
        assert await image(stage) == before
        assert await stage.app.stable_pods() == pods, "no pod was touched"
        annotations = annotations_of(await stage.app.deployment())
        assert annotations["example.com/owner"] == "me"
        assert annotations[names.CANARY].strip() == PATIENT.strip()

    run(story())


def test_undo_of_a_finished_release_is_a_canary(stage: Stage, run: Any) -> None:
    async def story() -> None:
        mark = await at_fifty(stage)
        await said(stage, "promote", "colorapi", "--full")
        await stage.healthy(mark)
        newer = await image(stage)
        out = await said(stage, "undo", "colorapi")
        assert "Coalmine holds" in out, "an earlier revision is a canary, too"
        back = await stage.app.fingerprint()
        await stage.app.until(lambda s: s.actual_weight.percent == 50)
        await said(stage, "promote", "colorapi", "--full")
        await stage.healthy(back)
        assert await image(stage) != newer
        deployment = await stage.app.deployment()
        assert names.POD_TEMPLATE_HASH not in deployment["spec"]["template"]["metadata"]["labels"]

    run(story())


def test_restart_is_a_canary_of_the_same_image(stage: Stage, run: Any) -> None:
    async def story() -> None:
        before, pods = await image(stage), await stage.app.stable_pods()
        assert "Coalmine holds" in await said(stage, "restart", "deployment/colorapi")
        mark = await stage.app.fingerprint()
        await stage.app.until(lambda s: s.actual_weight.percent == 50)
        assert "is given up" in await said(stage, "restart", "colorapi")
        again = await stage.app.fingerprint()
        assert again != mark
        await stage.app.until(
            lambda s: s.canary is not None and s.canary.fingerprint == again and s.actual_weight.percent == 50
        )
        await said(stage, "promote", "colorapi", "--full")
        await stage.healthy(again)
        assert await image(stage) == before
        assert not set(await stage.app.stable_pods()) & set(pods), "all pods are new"

    run(story())


def test_an_aborted_release_is_undone(stage: Stage, run: Any) -> None:
    async def story() -> None:
        await at_fifty(stage)
        await said(stage, "abort", "colorapi")
        await stage.app.until(lambda s: s.phase is Phase.DEGRADED)
        refused = await told(stage, "restart", "colorapi")
        assert refused.code == 1
        assert "go back to it first: `coalmine undo colorapi`" in refused.stderr
        await said(stage, "undo", "colorapi")
        await stage.healthy()
        assert (await told(stage, "status", "colorapi")).code == 0

    run(story())
