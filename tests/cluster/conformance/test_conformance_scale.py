"""scale(): what the native controller makes of several ReplicaSets, in and outside of the saturated case."""

from __future__ import annotations

import pytest
from conformance_app import LABELS, App, came_and_went, template

from coalmine.kube.resources import PODS, REPLICA_SETS, Object, annotations_of
from coalmine.model.names import DESIRED_REPLICAS, MAX_REPLICAS, POD_TEMPLATE_HASH, REVISION

pytestmark = pytest.mark.cluster


async def test_a_saturated_new_one_takes_the_others_to_zero_even_while_paused(app: App) -> None:
    """A new ReplicaSet with all its sizes equal takes every other owned one to 0, paused or not.

    The handover ends the stable pods before the Deployment is released.
    """
    await app.start(2)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(2)
    await app.relabel(canary)
    await app.sized({stable: 0, canary: 2})
    assert (await app.get())["spec"]["paused"] is True


async def test_two_active_ones_are_both_scaled(app: App) -> None:
    """Two active owned ReplicaSets outside the saturated case are forced to replicas + maxSurge together.

    Why a canary that is smaller than its Deployment is never owned.
    """
    await app.start(4)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(2)
    await app.relabel(canary)
    # 4 + 1 in all; the canary's max-replicas leave it its share, the larger one takes what is left
    await app.sized({stable: 3, canary: 2})


async def test_an_older_revision_that_stays_owned_cannot_be_the_canary(app: App) -> None:
    """An owned older ReplicaSet that is scaled up while paused takes pods from stable.

    Going back to an older revision: its ReplicaSet is hidden before it is scaled.
    """
    await app.start(3)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    await app.hold("1")
    patch = {"spec": {"replicas": 2}}
    await app.lab.client.patch(REPLICA_SETS, app.namespace, first, patch)

    async def scaled() -> bool:
        sizes = await app.sizes()
        return sizes[first] + sizes[second] == 4 and sizes[second] < 3

    await app.lab.until(scaled, "stable is scaled down")


async def test_releasing_the_stable_one_scales_up_an_ancient_one(app: App) -> None:
    """When the stable ReplicaSet is released while paused, an old revision at 0 is scaled up in its place.

    Stable is never hidden nor released: only what is at 0 is.
    """
    await app.start(1)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    await app.hold("3")
    await app.patch_set(second, lambda _, __: {"metadata": {"labels": dict.fromkeys(LABELS)}})
    await app.sized({first: 1, second: 1})


async def test_the_oldest_equal_template_is_the_new_one_whatever_its_name_and_hash(app: App) -> None:
    """Of the owned ReplicaSets with the Deployment's template the oldest is the new one; names and hashes mean nothing.

    The canary's name and pod-template-hash are ours to choose; an older one with the same template must not stand.
    """
    await app.start(1)
    await app.patch({"spec": {"paused": True}})
    stable = await app.of("1")
    older, younger = equal("zz", "anything"), equal("aa", "something")
    await app.lab.client.create(REPLICA_SETS, app.namespace, older)
    await app.next_second("zz")
    await app.lab.client.create(REPLICA_SETS, app.namespace, younger)
    await app.adopted("zz")
    await app.adopted("aa")
    await app.hold("2")
    await app.unpause()
    await app.complete()
    assert await app.sizes() == {stable: 0, "aa": 0, "zz": 1}
    found = await app.replica_sets()
    assert annotations_of(found["zz"])[REVISION] == annotations_of(await app.get())[REVISION]
    assert REVISION not in annotations_of(found["aa"])


def equal(name: str, pod_hash: str) -> Object:
    """A ReplicaSet at 0 with the template of release 2, as the Deployment would claim it."""
    labels = {**LABELS, POD_TEMPLATE_HASH: pod_hash}
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template("2", labels=labels)},
    }


async def test_scaling_writes_the_sizes_into_annotations(app: App) -> None:
    """The native controller notes replicas and replicas + maxSurge on each ReplicaSet that it scales.

    Where the two annotations of the handover patch come from: they say what a native scaling would have said.
    """
    await app.start(2, surge=3)
    await app.scale(3)
    stable = await app.of("1")
    await app.has(stable, 3)
    found = annotations_of(await app.replica_set(stable))
    assert (found[DESIRED_REPLICAS], found[MAX_REPLICAS]) == ("3", "6")


async def test_recreate_knows_no_proportions(app: App) -> None:
    """With the strategy Recreate a Deployment leaves two active owned ReplicaSets as they are while paused.

    What makes two active ones dangerous is RollingUpdate; Recreate is refused for its outage.
    """
    await app.start(2, strategy={"type": "Recreate"})
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(1)
    await app.relabel(canary)
    await app.adopted(canary)
    await app.settle()
    assert await app.sizes() == {stable: 2, canary: 1}


async def test_scaling_down_does_not_look_at_availability(app: App) -> None:
    """Proportional scaling while paused takes available pods for unavailable ones: it counts spec.replicas only.

    Why the preconditions are read in the same breath as the patch: nobody guards what is available.
    """
    await app.start(4)
    stable = await app.of("1")
    await app.hold("2", gated=True)
    await app.next_second(stable)
    canary = await app.canary(4, ready=False)  # none is ready
    since = await app.version()
    await app.relabel(canary)
    await app.sized({stable: 1, canary: 4})
    await app.has(stable, 1)

    async def one() -> bool:
        return bool((await app.status()).get("availableReplicas") == 1)

    await app.lab.until(one, "one pod of four is available")
    _, went = came_and_went(await app.history(PODS, since), stable)
    assert len(went) == 3
