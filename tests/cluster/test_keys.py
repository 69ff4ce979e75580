"""The signing keys turn, under load and in the middle of a rollout: nothing is refused, no pod is touched.

The lab's node brings a changed ConfigMap to its pods at once; what happens with kubelets that take their time, with
controllers that die and overlap, is told by tests/unit/controller/test_controller_keys_rotation.py.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from releases import Stage

from coalmine.kube.resources import CONFIG_MAPS, SECRETS, Object, annotations_of, name_of, uid_of
from coalmine.model import names
from coalmine.model.rollout import Phase
from coalmine_controller.keys import SigningKey
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster

#: Long enough at 20 % for a turn, which begins at the controller's next look at the Secret.
SLOW = """\
steps:
- setWeight: 20
- pause: {}
- setWeight: 50
- pause: {duration: 2s}
analysis:
  templates: [{templateName: webcheck}]
  args: [{name: host, value: colorapi}]
scaleDownDelaySeconds: 2
"""


async def secret(lab: Lab) -> Object:
    return await lab.client.get(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET)


async def current(lab: Lab) -> str:
    return SigningKey.from_seed(base64.b64decode((await secret(lab))["data"]["ed25519-seed"])).id


async def published(lab: Lab, namespace: str) -> set[str]:
    return set((await lab.client.get(CONFIG_MAPS, namespace, names.KEYS_CONFIGMAP)).get("data") or {})


async def turn(lab: Lab, namespace: str) -> None:
    """Ask as a person does, and wait until the next key signs alone."""
    before = await current(lab)
    patch = {"metadata": {"annotations": {names.ROTATE: "now"}}}
    await lab.client.patch(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET, patch)

    async def turned() -> bool:
        now = await current(lab)
        return now != before and await published(lab, namespace) == {now}

    await lab.until(turned, "the keys have turned")
    assert names.ROTATE not in annotations_of(await secret(lab))


async def sidecars(stage: Stage) -> dict[str, int]:
    """The restarts of each pod's sidecar, by the pod's uid."""
    return {
        uid_of(pod): sum(int(c["restartCount"]) for c in _statuses(pod) if c["name"] == names.SIDECAR_CONTAINER)
        for pod in await stage.app.pods()
    }


def _statuses(pod: Object) -> list[Any]:
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def signed_by(lab: Lab, pod: Object) -> str:
    """The key of the copy from which the pod's sidecar would start again."""
    namespace = pod["metadata"]["namespace"]
    (copy,) = (lab.state / "node" / "pods").glob(f"{namespace}_{name_of(pod)}_*/**/{names.STATE_VOLUME}/config")
    return copy.read_bytes().partition(b":")[0].decode()


def test_in_the_middle_of_a_rollout(whole: Stage, run: Any) -> None:
    async def story() -> None:
        app, lab = whole.app, whole.app.lab
        failed = len(app.failures)
        await whole.strategy(SLOW)
        mark = await whole.begin()
        before = await sidecars(whole)
        await turn(lab, app.namespace)
        assert await sidecars(whole) == before, "no pod is new, no sidecar was started again"
        now = await current(lab)
        assert {signed_by(lab, p) for p in await app.pods()} == {now}, "what they start again from is by the new key"
        assert (app.status.phase, app.status.actual_weight.percent) == (Phase.PAUSED, 20)
        promoted = await lab.coalmine("-n", app.namespace, "promote", "colorapi")
        assert promoted.code == 0, promoted.stderr
        await whole.healthy(mark)
        assert app.failures[failed:] == []
        steps = app.account("2.0", mark)
        assert [s.weight.percent for s in steps] == [20, 50, 100]
        assert [s for s in steps if not s.kept] == []

    run(story())


def test_while_nothing_is_held(whole: Stage, run: Any) -> None:
    """Sidecars that nobody calls otherwise are told once more what they do, so that their copies outlive the key."""

    async def story() -> None:
        app, lab = whole.app, whole.app.lab
        failed, before = len(app.failures), await sidecars(whole)
        await turn(lab, app.namespace)
        assert await sidecars(whole) == before
        assert {signed_by(lab, p) for p in await app.pods()} == {await current(lab)}
        assert app.failures[failed:] == []

    run(story())


def test_another_controller_goes_on_with_a_turn(whole: Stage, controller: Any, run: Any) -> None:
    async def story() -> None:
        app, lab = whole.app, whole.app.lab
        failed, before = len(app.failures), await sidecars(whole)
        patch = {"metadata": {"annotations": {names.ROTATE: "now"}}}
        await lab.client.patch(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET, patch)

        async def begun() -> bool:
            return names.ROTATE not in annotations_of(await secret(lab))

        await lab.until(begun, "the next key is written")
        await controller.restart()

        async def done() -> bool:
            data = (await secret(lab))["data"]
            return list(data) == ["ed25519-seed"] and await published(lab, app.namespace) == {await current(lab)}

        await lab.until(done, "the turn has ended")
        assert await sidecars(whole) == before
        assert app.failures[failed:] == []

    run(story())
