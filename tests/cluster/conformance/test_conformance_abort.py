"""The abort: the Deployment's own sign of failure, written by us, and how it comes and goes."""

from __future__ import annotations

import pytest
from conformance_app import App, fingerprints

from coalmine.kube.resources import PODS, Object, name_of
from coalmine.kube.verbs import STRATEGIC
from coalmine.model.condition import failed_fingerprint, failure_condition, paused_condition

pytestmark = pytest.mark.cluster
THEN = "2026-01-02T03:04:05Z"


async def report(app: App, condition: Object) -> None:
    """Write a condition as our controller does."""
    await app.patch({"status": {"conditions": [condition]}}, "status", kind=STRATEGIC)


async def aborted(app: App, replicas: int = 1) -> Object:
    """A held Deployment whose canary was aborted; the condition that was written."""
    await app.start(replicas)
    await app.hold("2")
    (fingerprint,) = fingerprints(await app.get())
    condition = failure_condition(fingerprint, "the analysis failed", THEN)
    await report(app, condition)
    return condition


async def test_a_status_patch_merges_conditions_by_type(app: App) -> None:
    """A strategic merge patch of the status with one condition replaces that one and leaves the others.

    We write Progressing and never touch Available.
    """
    await app.start(1)
    available = await app.condition("Available")
    condition = paused_condition(THEN)
    await report(app, condition)
    assert await app.condition("Available") == available
    assert len((await app.status())["conditions"]) == 2


async def test_the_failure_condition_stays_while_paused(app: App) -> None:
    """On a paused Deployment ProgressDeadlineExceeded stays, through syncs, scaling and lost pods.

    An abort is told by the Deployment itself, for as long as it is held.
    """
    condition = await aborted(app)
    stable = await app.of("1")
    await app.settle()
    assert await app.condition("Progressing") == condition
    await app.scale(2)
    await app.has(stable, 2)
    await app.settle()
    assert await app.condition("Progressing") == condition
    (pod, *_) = await app.pods(stable)
    await app.lab.client.delete(PODS, app.namespace, name_of(pod))

    async def another() -> bool:
        return len(await app.uids(stable)) == 2 and name_of(pod) not in map(name_of, await app.pods(stable))

    await app.lab.until(another, "the lost pod is replaced")
    await app.has(stable, 2)
    await app.settle()
    found = await app.condition("Progressing")
    assert found == condition
    assert failed_fingerprint(found) == fingerprints(await app.get()).pop()


async def test_rollout_status_fails_at_once(app: App) -> None:
    """With that condition kubectl rollout status exits 1: "exceeded its progress deadline".

    Helm, Flux and every script that waits on a Deployment learn of an abort in words that they know.
    """
    await aborted(app)
    code, _, err = await app.rollout("status", "--timeout=60s")
    assert code == 1
    assert "exceeded its progress deadline" in err


async def test_rollout_status_of_a_held_deployment_waits(app: App) -> None:
    """While held, kubectl rollout status waits: the new replicas have not been updated.

    `set image && rollout status` waits for the whole canary, not just for a native update.
    """
    await app.start(2)
    await app.hold("2")
    code, out, err = await app.rollout("status", "--watch=false")
    assert code == 0, err
    assert "0 out of 2 new replicas have been updated" in out


async def test_writing_the_paused_condition_back_ends_it(app: App) -> None:
    """Written back by hand to Unknown/DeploymentPaused, it stays so, and rollout status waits again.

    The second write of a retry.
    """
    await aborted(app)
    await report(app, paused_condition(THEN))
    await app.settle()
    assert (await app.condition("Progressing"))["reason"] == "DeploymentPaused"
    code, out, err = await app.rollout("status", "--watch=false")
    assert code == 0, err
    assert "have been updated" in out


async def test_it_would_fail_the_next_release_as_soon_as_that_is_observed(app: App) -> None:
    """The condition stays through a new template, and fails its rollout status once observedGeneration has moved.

    Why the webhook replaces it in the very status write that moves observedGeneration.
    """
    await aborted(app)
    await app.hold("3")  # returns when it is observed
    code, _, err = await app.rollout("status", "--timeout=60s")
    assert code == 1
    assert "exceeded its progress deadline" in err


async def test_unpaused_at_the_stable_template_it_is_whole_again(app: App) -> None:
    """Unpaused at the stable template after an abort, it is complete: no pod touched, the condition gone.

    Taking a release back: 3.0 is aborted, 2.0 is applied again.
    """
    await aborted(app, 2)
    pods = await app.uids()
    await app.hold("1")
    await app.unpause()
    code, out, err = await app.rollout("status", "--timeout=60s")
    assert code == 0, out + err
    await app.complete()
    assert await app.uids() == pods
    assert (await app.condition("Progressing"))["reason"] == "NewReplicaSetAvailable"
