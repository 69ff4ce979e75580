"""`coalmine uninstall`, and the same by hand: under load, with a rollout open, until nothing of Coalmine is left.

Each test installs anew; the last one leaves the session as it found it: installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from releases import PACE, Stage

from coalmine.kube.resources import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    Object,
    annotations_of,
    labels_of,
    name_of,
)
from coalmine.model import names
from coalmine.model.rollout import Phase
from coalmine_sandbox.lab import Answer, Lab
from coalmine_sandbox.lab import run as run_command
from coalmine_sandbox.story.application import MANIFESTS, paced

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PATIENT = """
steps:
- setWeight: 20
- pause: {}
scaleDownDelaySeconds: 1
abortScaleDownDelaySeconds: 1
"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
Story = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture
def told(installed: Lab, run: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[Story], None]]:
    """Tells a story on an installation of its own, which is put back for whoever comes after."""
    name = f"uninstall-{request.node.name.rpartition('test_')[2].replace('_', '-').strip('-')[:40]}"

    def tell(story: Story) -> None:
        run(_told(installed, name, story))

    yield tell
    run(_put_back(installed))


async def _told(lab: Lab, name: str, story: Story) -> None:
    controller = await lab.start_controller(name)
    try:
        async with gentle(lab, name) as stage:
            await stage.strategy(PATIENT)
            await story(stage)
    finally:
        if controller in lab.controllers:
            lab.controllers.remove(controller)
            await controller.stop()


@contextlib.asynccontextmanager
async def gentle(lab: Lab, namespace: str) -> AsyncIterator[Stage]:
    """The application, which answers until it is out of the endpoints: as every one must whose native rolling
    updates are to lose no request. That field is another manager's, so that applying the example leaves it."""

    async def made() -> bool:
        return await lab.client.find(SERVICE_ACCOUNTS, namespace, "default") is not None

    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await lab.client.create(NAMESPACES, None, body)
    await lab.until(made, "the service account is made")
    (deployment,) = (o for o in paced(MANIFESTS, PACE) if o["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    await lab.apply([deployment], namespace=namespace, manager="platform")
    stage = Stage(lab, namespace)
    async with stage.app.running():
        await stage.app.deploy(PACE)
        yield stage
    await lab.client.delete(NAMESPACES, None, namespace)


async def _put_back(lab: Lab) -> None:
    await end(lab)
    await lab.install(controllers=0)


async def end(lab: Lab) -> None:
    """The components are processes here, which an uninstall cannot end: their operator does."""
    for controller in [*lab.controllers]:
        lab.controllers.remove(controller)
        await controller.stop()
    if lab.webhook is not None:
        webhook, lab.webhook = lab.webhook, None
        await webhook.stop()


async def uninstall(stage: Stage, *arguments: str) -> Answer:
    return await stage.app.lab.coalmine("uninstall", *arguments)


@contextlib.asynccontextmanager
async def no_failures(stage: Stage) -> AsyncIterator[None]:
    """Not one of the user's requests fails meanwhile."""
    failed, seen = len(stage.app.failures), len(stage.app.traffic.samples if stage.app.traffic else [])
    yield
    assert stage.app.failures[failed:] == []
    assert len(stage.app.traffic.samples if stage.app.traffic else []) > seen, "the user went on"


async def native(stage: Stage, image: str, *, by_hand: bool = False) -> None:
    """Nothing of ours is left; the application runs `image` natively, and takes a new one."""
    lab, app = stage.app.lab, stage.app
    await nothing_left(stage, by_hand=by_hand)
    deployment = await app.deployment()
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image
    pods = await app.pods()
    assert len(pods) == 5
    assert {p["spec"]["containers"][0]["image"] for p in pods} == {image}
    assert not any("initContainers" in p["spec"] for p in pods), "no sidecar is left"
    new = f"{image.rpartition(':')[0]}:{'4.0' if image.endswith('2.0') else '2.0'}"
    container: Object = {"name": "colorapi", "image": new}
    patch: Object = {"spec": {"template": {"spec": {"containers": [container]}}}}
    await lab.client.patch(DEPLOYMENTS, app.namespace, "colorapi", patch, kind="application/strategic-merge-patch+json")

    async def rolled_out() -> bool:
        found = await app.pods()
        return len(found) == 5 and {p["spec"]["containers"][0]["image"] for p in found} == {new}

    await lab.until(rolled_out, "a new image is rolled out natively")
    assert not (await app.deployment())["spec"].get("paused")


async def nothing_left(stage: Stage, *, by_hand: bool) -> None:
    """By hand, old ReplicaSets keep the annotations that the native controller copied to them."""
    lab, prefix = stage.app.lab, f"{names.GROUP}/"
    found: list[str] = []
    deployments, _ = await lab.client.list(DEPLOYMENTS)
    every, _ = await lab.client.list(PODS)
    pods = [p for p in every if not p["metadata"].get("deletionTimestamp")]
    sets, _ = await lab.client.list(REPLICA_SETS)
    for one in (*deployments, *pods, *([] if by_hand else sets)):
        found += [f"{name_of(one)}: {key}" for key in annotations_of(one) if key.startswith(prefix)]
    for one in (*deployments, *pods):
        found += [f"{name_of(one)}: {key}" for key in labels_of(one) if key.startswith(prefix)]
    for one in deployments:
        template = one["spec"]["template"].get("metadata") or {}
        found += [f"template of {name_of(one)}: {k}" for k in template.get("labels") or () if k.startswith(prefix)]
        assert not one["spec"].get("paused")
    assert found == []
    maps, _ = await lab.client.list(CONFIG_MAPS)
    assert names.KEYS_CONFIGMAP not in {name_of(m) for m in maps}
    for resource in (MUTATING_WEBHOOKS, CLUSTER_ROLES, CRDS):
        items, _ = await lab.client.list(resource)
        assert not [name_of(i) for i in items if "coalmine" in name_of(i)]
    assert await lab.client.find(NAMESPACES, None, names.SYSTEM_NAMESPACE) is None


def image_of(deployment: Object) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def test_refuses_while_a_rollout_is_open_and_takes_it_back_when_told(told: Any) -> None:
    async def story(stage: Stage) -> None:
        before = image_of(await stage.app.deployment())
        mark = await stage.begin()
        refused = await uninstall(stage, "--yes")
        assert refused.code == 1
        assert f"rollouts are open: {stage.app.namespace}/colorapi" in refused.stderr
        assert annotations_of(await stage.app.deployment())[names.HOLD] == mark, "nothing was changed"
        planned = await uninstall(stage, "--abort", "--dry-run", "-o", "json")
        assert planned.code == 0
        assert f"{stage.app.namespace}/colorapi: go back from" in json.loads(planned.stdout)["steps"][0]
        assert (await uninstall(stage, "--abort")).code == 1, "without --yes it only tells"
        assert annotations_of(await stage.app.deployment())[names.HOLD] == mark
        async with no_failures(stage):
            done = await uninstall(stage, "--abort", "--yes")
            assert done.code == 0, done.stdout + done.stderr
        await end(stage.app.lab)
        await native(stage, before)

    told(story)


def test_finishes_what_is_open(told: Any) -> None:
    async def story(stage: Stage) -> None:
        await stage.begin()
        held = image_of(await stage.app.deployment())
        async with no_failures(stage):
            done = await uninstall(stage, "--finish", "--yes")
            assert done.code == 0, done.stdout + done.stderr
        await end(stage.app.lab)
        await native(stage, held)

    told(story)


def test_what_was_taken_back_is_not_promoted(told: Any) -> None:
    async def story(stage: Stage) -> None:
        before = image_of(await stage.app.deployment())
        await stage.begin()
        done = await stage.app.lab.coalmine("abort", "colorapi", "-n", stage.app.namespace)
        assert done.code == 0
        await stage.app.until(lambda s: s.phase is Phase.DEGRADED and s.actual_weight.hundredths == 0)
        done = await uninstall(stage, "--finish", "--yes")
        assert done.code == 0, done.stdout + done.stderr
        await end(stage.app.lab)
        await native(stage, before)

    told(story)


def test_interrupted_and_run_again(told: Any) -> None:
    """Cut off while the first pods change: the next call goes on from what it finds."""

    async def story(stage: Stage) -> None:
        lab, before = stage.app.lab, image_of(await stage.app.deployment())

        async def let_go() -> bool:
            return names.CANARY not in annotations_of(await stage.app.deployment())

        async with no_failures(stage):
            first = asyncio.ensure_future(uninstall(stage, "--yes"))
            await lab.until(let_go, "the Deployment is let go of")
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first
            assert await lab.client.find(NAMESPACES, None, names.SYSTEM_NAMESPACE) is not None
            again = await uninstall(stage, "--yes")
            assert again.code == 0, again.stdout + again.stderr
        await end(lab)
        await native(stage, before)
        once_more = await uninstall(stage, "--yes")
        assert once_more.code == 0, once_more.stderr

    told(story)


def test_without_a_controller(told: Any) -> None:
    """Nobody can finish; going back needs the webhook alone, and what the controller would clean up goes as well."""

    async def story(stage: Stage) -> None:
        lab, before = stage.app.lab, image_of(await stage.app.deployment())
        await stage.begin()
        for controller in [*lab.controllers]:
            lab.controllers.remove(controller)
            await controller.stop()
        refused = await uninstall(stage, "--finish", "--yes")
        assert (refused.code, refused.stderr) == (
            1,
            "coalmine: nobody can finish a rollout: no controller leads; write --abort\n",
        )
        done = await uninstall(stage, "--abort", "--yes")
        assert done.code == 0, done.stdout + done.stderr
        assert "deleted the ReplicaSet" in done.stdout
        await end(lab)
        await native(stage, before)

    told(story)


def test_by_hand(told: Any) -> None:
    """The commands of docs/operations.md, as they stand there."""
    block = DOCUMENT.read_text().partition("<!-- tests/cluster/test_uninstall.py runs this -->\n```sh\n")[2]
    commands = block.partition("```")[0]
    assert commands

    async def story(stage: Stage) -> None:
        lab, before = stage.app.lab, image_of(await stage.app.deployment())
        kubectl = lab.control_plane.kubectl
        if kubectl is None:
            pytest.skip("there is no kubectl on this machine")
        environment = {
            "PATH": f"{Path(kubectl).parent}:{os.defpath}",
            "KUBECONFIG": str(lab.control_plane.admin_kubeconfig),
            "HOME": str(lab.state),
        }
        async with no_failures(stage):
            done = await run_command(["sh", "-eu", "-c", commands], environment=environment)
            assert done.code == 0, done.stdout + done.stderr
        await end(lab)
        await native(stage, before, by_hand=True)

    told(story)
