"""The hold: what a paused Deployment does, and what it goes on doing."""

from __future__ import annotations

import pytest
from conformance_app import App

from coalmine.kube.resources import REPLICA_SETS, name_of

pytestmark = pytest.mark.cluster


async def test_paused_makes_no_replica_set_for_a_template_change(app: App) -> None:
    """A paused Deployment makes no new ReplicaSet for a new template, and touches no pod.

    The hold itself: `spec.paused`, set in the write that changes the template, is all that it takes.
    """
    await app.start(2)
    before, pods = await app.replica_sets(), await app.uids()
    await app.hold("2")
    await app.settle()
    assert (await app.replica_sets()).keys() == before.keys()
    assert await app.uids() == pods


async def test_held_shows_all_ready_and_none_up_to_date(app: App) -> None:
    """A held Deployment shows all its pods ready and available, and none up to date.

    `kubectl get deployment` goes on telling the truth to who knows nothing of Coalmine.
    """
    await app.start(2)
    await app.hold("2")
    await app.canary(1)
    await app.settle()
    code, out, _ = await app.kubectl("get", "deployment", app.name, "--no-headers")
    assert code == 0
    assert out.split()[:4] == [app.name, "2/2", "0", "2"]


async def test_paused_still_scales_its_one_active_replica_set(app: App) -> None:
    """A write to the scale subresource moves the stable ReplicaSet while held, and not the hidden canary.

    An HPA works all through a rollout; the canary's size is ours alone.
    """
    await app.start(2)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(1)
    await app.scale(3)
    await app.has(stable, 3)
    await app.settle()
    assert await app.sizes() == {stable: 3, canary: 1}
    await app.scale(1)
    await app.has(stable, 1)
    await app.settle()
    assert await app.sizes() == {stable: 1, canary: 1}


async def test_progressing_of_a_paused_deployment_is_unknown(app: App) -> None:
    """While paused, Progressing is Unknown with the reason DeploymentPaused.

    A held Deployment never runs into its own progress deadline; a retry writes the same condition back.
    """
    await app.start(1)
    await app.hold("2")
    found = await app.condition("Progressing")
    assert (found["status"], found["reason"], found["message"]) == (
        "Unknown",
        "DeploymentPaused",
        "Deployment is paused",
    )


async def test_scale_up_from_zero_takes_the_newest_not_the_stable_one(app: App) -> None:
    """Held at 0 and scaled up, the Deployment brings up its newest ReplicaSet, be it stable or not.

    Why a Deployment at 0 is not held for a new template, and why a scale-up of a held one is watched.
    """
    await app.start(1)
    first = await app.of("1")
    await app.next_second(first)
    await app.update("2")
    second = await app.of("2")
    await app.update("1")  # stable is the older object now
    await app.sized({first: 1, second: 0})
    await app.hold("3")
    await app.scale(0)
    await app.has(first, 0)
    await app.scale(1)
    await app.sized({first: 0, second: 1})


async def test_scale_up_from_zero_takes_the_one_that_matches(app: App) -> None:
    """Held at 0 and scaled up, the Deployment brings up the ReplicaSet of its template when it owns one.

    Going back to the stable template at 0 is safe, whatever else is newer.
    """
    await app.start(1)
    first = await app.of("1")
    await app.next_second(first)
    await app.update("2")
    second = await app.of("2")
    await app.scale(0)
    await app.has(second, 0)
    await app.hold("1")
    await app.scale(1)
    await app.sized({first: 1, second: 0})


async def test_history_limit_zero_loses_the_stable_replica_set_at_zero(app: App) -> None:
    """With revisionHistoryLimit 0 a held Deployment at 0 loses its stable ReplicaSet, and a scale-up brings nothing.

    Why the stable template must be kept elsewhere before a held Deployment goes to 0.
    """
    await app.start(1, revisionHistoryLimit=0)
    await app.hold("2")
    await app.settle()
    assert set(await app.sizes()) == {await app.of("1")}  # safe while it has pods
    await app.scale(0)
    await app.sized({})
    await app.scale(1)
    await app.settle()
    assert await app.sizes() == {}
    assert await app.pods() == []


async def test_held_the_stable_one_counts_as_history(app: App) -> None:
    """While held, the stable ReplicaSet counts as history: the oldest revision is cleaned up one release early.

    A hold can cost the last entry of `kubectl rollout history`; never one with pods.
    """
    await app.start(1, revisionHistoryLimit=1)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    assert await app.sizes() == {first: 0, second: 1}
    await app.hold("3")
    await app.sized({second: 1})


async def test_held_the_one_that_matches_does_not_count_as_history(app: App) -> None:
    """While held, the ReplicaSet at 0 that has the held template is not cleaned up.

    Going back to an older revision finds its ReplicaSet, to hide it and use it as the canary.
    """
    await app.start(1, revisionHistoryLimit=1)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    await app.hold("1")
    await app.settle()
    assert await app.sizes() == {first: 0, second: 1}


async def test_unpausing_before_the_relabel_builds_a_third_replica_set(app: App) -> None:
    """Unpaused while the canary is hidden, the Deployment builds a ReplicaSet of its own and ships the template.

    Never release a template before its ReplicaSet is handed over; never release one that failed, whoever writes.
    """
    await app.start(1)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(1)
    await app.unpause()
    await app.complete()
    sizes = await app.sizes()
    (third,) = sizes.keys() - {stable, canary}
    assert sizes == {stable: 0, canary: 1, third: 1}


@pytest.mark.parametrize("value", [None, False])
async def test_unpaused_leaves_no_field_behind(app: App, value: bool | None) -> None:
    """`paused: null` and `paused: false` in a merge patch both leave no field, nor a manager of one.

    What a release writes cannot be seen afterwards: no drift for GitOps.
    """
    await app.start(1)
    await app.patch({"spec": {"paused": True}})
    await app.patch({"spec": {"paused": value}})
    found = await app.get()
    assert "paused" not in found["spec"]
    managed = [m.get("fieldsV1", {}).get("f:spec", {}) for m in found["metadata"]["managedFields"]]
    assert not any("f:paused" in fields for fields in managed)


async def test_back_at_the_stable_template_no_pod_is_touched(app: App) -> None:
    """Unpaused with the template that its ReplicaSet has, a held Deployment is complete with no pod touched.

    Going back to stable in the middle of a rollout: the canary is all that goes.
    """
    await app.start(2)
    pods = await app.uids()
    await app.hold("2")
    canary = await app.canary(1)
    await app.lab.client.delete(REPLICA_SETS, app.namespace, canary)
    since = await app.version(REPLICA_SETS)
    await app.hold("1")
    await app.unpause()
    await app.complete()
    code, out, err = await app.rollout("status", "--timeout=30s")
    assert code == 0, out + err
    assert await app.uids(await app.of("1")) == pods
    made = {name_of(obj) for kind, obj in await app.history(REPLICA_SETS, since) if kind == "ADDED"}
    assert made == set()
