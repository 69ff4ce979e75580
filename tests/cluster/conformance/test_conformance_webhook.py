"""Our webhook, installed: the facts about admission again, with the rules and the configuration that ship."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from conformance_app import App, fingerprints
from conformance_app import template as plain_template

from coalmine.kube.resources import PODS, Object, annotations_of, labels_of
from coalmine.kube.verbs import STRATEGIC
from coalmine.model.condition import failed_fingerprint, failure_condition
from coalmine.model.names import (
    CANARY,
    HOLD,
    INJECTED,
    LABEL_TRUE,
    ROLLOUT_LABEL,
    SIDECAR_CONTAINER,
    SIDECAR_LABEL,
    STABLE,
)
from coalmine_sandbox.lab import Lab

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("installed")]
STRATEGY = "steps: [{setWeight: 20}]"


def template(release: str) -> Object:
    made = plain_template(release)
    made["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 5000}]
    return made


def written(app: App, release: str) -> Object:
    """The annotated Deployment as it stands in Git."""
    manifest = app.manifest(1, template=template(release))
    manifest["metadata"]["annotations"] = {CANARY: STRATEGY}
    return manifest


async def apply(app: App, release: str) -> None:
    await app.lab.apply([written(app, release)], namespace=app.namespace, manager="gitops")


async def stable(app: App) -> str:
    """The Deployment is made, complete, and recorded as stable by a touch; the fingerprint of its template."""
    await apply(app, "1")
    await app.complete()
    await app.patch({})
    found = await app.get()
    assert annotations_of(found)[STABLE] == fingerprints(found).pop()
    return annotations_of(found)[STABLE]


async def is_held(app: App) -> bool:
    found = await app.get()
    return found["spec"].get("paused") is True and annotations_of(found).get(HOLD) == fingerprints(found).pop()


async def test_a_made_deployment_is_stamped_and_its_pods_get_sidecars(installed: Lab, app: App) -> None:
    """An annotated Deployment gets its two labels, its pods the sidecar, and a touch records what is complete.

    Opting in is one annotation.
    """
    await stable(app)
    found = await app.get()
    assert labels_of(found)[ROLLOUT_LABEL] == LABEL_TRUE
    assert labels_of(found["spec"]["template"])[SIDECAR_LABEL] == LABEL_TRUE
    (pod,) = await app.pods()
    assert INJECTED in annotations_of(pod)
    assert [c["name"] for c in pod["spec"]["initContainers"]] == [SIDECAR_CONTAINER]
    assert (await app.lab.client.list(PODS, app.namespace, labels=f"{SIDECAR_LABEL}={LABEL_TRUE}"))[0]


async def by_server_side_apply(app: App) -> None:
    await apply(app, "3")


async def by_client_side_apply(app: App) -> None:
    code, out, err = await app.kubectl("apply", "-f", "-", stdin=json.dumps(written(app, "3")))
    assert code == 0, out + err


async def by_replace(app: App) -> None:
    code, out, err = await app.kubectl("replace", "-f", "-", stdin=json.dumps(written(app, "3")))
    assert code == 0, out + err


async def by_resume(app: App) -> None:
    code, out, err = await app.rollout("resume")
    assert code == 0, out + err


async def by_scaling(app: App) -> None:
    await app.scale(2)


async def by_hand(app: App) -> None:
    await app.patch({"metadata": {"annotations": {HOLD: None, STABLE: "x"}}, "spec": {"paused": False}})


@pytest.mark.parametrize(
    "write", [by_server_side_apply, by_client_side_apply, by_replace, by_resume, by_scaling, by_hand]
)
async def test_our_hold_survives(installed: Lab, app: App, write: Callable[[App], Awaitable[None]]) -> None:
    """A new template is held in the write that brings it, and stays held whoever writes and however.

    No template ships without its canary.
    """
    recorded = await stable(app)
    code, out, err = await app.kubectl("set", "image", f"deployment/{app.name}", "app=python:2")
    assert code == 0, out + err
    assert await is_held(app)
    sets = await app.sizes()
    await write(app)
    assert await is_held(app)
    assert annotations_of(await app.get())[STABLE] == recorded
    await app.settle()
    assert (await app.sizes()).keys() == sets.keys()


async def test_our_hold_shows_no_difference_to_a_server_side_diff(installed: Lab, app: App) -> None:
    """kubectl diff --server-side of what is in Git against a Deployment that our webhook holds finds no difference.

    GitOps tools see a held release in sync.
    """
    await stable(app)
    await apply(app, "2")
    assert await is_held(app)
    arguments = ("diff", "--server-side", "--field-manager=gitops", "-f", "-")
    code, out, err = await app.kubectl(*arguments, stdin=json.dumps(written(app, "2")))
    assert (code, out) == (0, ""), err


async def test_going_back_to_stable_is_released_by_the_webhook(installed: Lab, app: App) -> None:
    """The stable template, written over a held one, is released in that write: whole again with no pod touched.

    `kubectl apply` of the old manifest is all that a person needs to take a release back.
    """
    await stable(app)
    pods = await app.uids()
    await apply(app, "2")
    assert await is_held(app)
    await apply(app, "1")
    found = await app.get()
    assert "paused" not in found["spec"]
    assert HOLD not in annotations_of(found)
    await app.complete()
    assert await app.uids() == pods


async def test_set_image_and_rollout_status_after_an_abort(installed: Lab, app: App) -> None:
    """`set image && rollout status` after an abort waits for the new release: the old failure is gone.

    A CI job for a good release does not fail for the one before.
    """
    await stable(app)
    await apply(app, "2")
    held = annotations_of(await app.get())[HOLD]
    condition = failure_condition(held, "the analysis failed", "2026-01-02T03:04:05Z")
    await app.observed()
    await app.patch({"status": {"conditions": [condition]}}, "status", kind=STRATEGIC)
    await app.settle()
    assert failed_fingerprint(await app.condition("Progressing")) == held
    code, _, err = await app.rollout("status", "--timeout=30s")
    assert (code, "exceeded its progress deadline" in err) == (1, True)

    assert (await app.kubectl("set", "image", f"deployment/{app.name}", "app=python:3")).code == 0
    code, out, err = await app.rollout("status", "--watch=false")
    assert code == 0, out + err
    await app.observed()
    code, out, err = await app.rollout("status", "--watch=false")
    assert code == 0, out + err
    assert "new replicas have been updated" in out
    assert (await app.condition("Progressing"))["reason"] == "DeploymentPaused"
