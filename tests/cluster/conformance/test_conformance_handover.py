"""The handover: one patch makes the canary's pods the Deployment's own; and what its preconditions are for."""

from __future__ import annotations

import pytest
from conformance_app import App, came_and_went, fingerprints

from coalmine.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Object, annotations_of, name_of
from coalmine.model.names import DESIRED_REPLICAS, MAX_REPLICAS, REVISION

pytestmark = pytest.mark.cluster


async def sizes_of(app: App, replica_set: str, since: str) -> list[int]:
    """The values that spec.replicas of a ReplicaSet went through."""
    history = await app.history(REPLICA_SETS, since)
    found = [obj["spec"]["replicas"] for _, obj in history if name_of(obj) == replica_set]
    return [n for i, n in enumerate(found) if i == 0 or n != found[i - 1]]


async def handed_over(app: App, replicas: int) -> tuple[str, str]:
    """Stable at 0, the canary owned and complete, the Deployment still paused; both names."""
    await app.start(replicas)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(replicas)
    await app.relabel(canary)
    await app.sized({stable: 0, canary: replicas})
    await app.adopted(canary)
    return stable, canary


async def test_with_the_two_annotations_not_one_canary_pod_is_added_or_removed(app: App) -> None:
    """The handover patch: adopted, found saturated, stable to 0; of ten canary pods none is added or removed.

    The heart of the design: what was judged is what serves afterwards, by uid.
    """
    await app.start(10, surge=3)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(10)
    pods, since, sets = await app.uids(canary), await app.version(), await app.version(REPLICA_SETS)
    await app.relabel(canary)
    await app.adopted(canary)
    await app.has(stable, 0)
    await app.unpause()
    await app.complete()
    assert await app.uids() == pods
    assert came_and_went(await app.history(PODS, since), canary) == (set(), set())
    assert await sizes_of(app, canary, sets) == [10]
    found = annotations_of(await app.replica_set(canary))
    assert (found[DESIRED_REPLICAS], found[MAX_REPLICAS]) == ("10", "13")


async def test_without_the_two_annotations_the_canary_churns(app: App) -> None:
    """Without the two annotations the same patch takes the canary from 10 to 13 and back: pods come and go.

    Why the two annotations are part of the one patch.
    """
    await app.start(10, surge=3)
    stable = await app.of("1")
    await app.hold("2")
    await app.next_second(stable)
    canary = await app.canary(10)
    since, sets = await app.version(), await app.version(REPLICA_SETS)
    await app.relabel(canary, sizes=False)
    await app.adopted(canary)
    await app.has(stable, 0)
    await app.has(canary, 10)
    assert await sizes_of(app, canary, sets) == [10, 13, 10]
    came, went = came_and_went(await app.history(PODS, since), canary)
    assert (len(came), len(went)) == (3, 3)


async def test_the_revision_is_max_plus_one_before_the_release(app: App) -> None:
    """The native controller numbers the adopted ReplicaSet, max + 1, and the Deployment likewise, while still paused.

    Revisions are never ours to set.
    """
    await app.start(1)
    await app.update("2")
    await app.hold("3")
    canary = await app.canary(1)
    assert REVISION not in annotations_of(await app.replica_set(canary))
    await app.relabel(canary)
    await app.adopted(canary)

    async def numbered() -> bool:
        return annotations_of(await app.get())[REVISION] == "3"

    await app.lab.until(numbered, "the Deployment is at revision 3")
    assert annotations_of(await app.replica_set(canary))[REVISION] == "3"
    assert (await app.get())["spec"]["paused"] is True


async def test_the_release_touches_no_pod_and_kubectl_finds_a_finished_rollout(app: App) -> None:
    """Unpaused after the handover: rollout status succeeds, history has the revision, nothing is made or ended.

    To everybody else it was an ordinary rolling update.
    """
    stable, canary = await handed_over(app, 2)
    pods, since = await app.uids(canary), await app.version()
    await app.unpause()
    code, out, err = await app.rollout("status", "--timeout=30s")
    assert code == 0, out + err
    assert "successfully rolled out" in out
    code, out, _ = await app.rollout("history")
    assert [line.split()[0] for line in out.splitlines() if line[:1].isdigit()] == ["1", "2"]
    assert set(await app.sizes()) == {stable, canary}
    assert await app.uids(canary) == pods
    assert came_and_went(await app.history(PODS, since), canary) == (set(), set())


async def test_rollout_undo_works_after_the_handover(app: App) -> None:
    """kubectl rollout undo goes back from a handed-over revision to the one before, in its own ReplicaSet.

    A handed-over revision is a revision like any other.
    """
    stable, canary = await handed_over(app, 1)
    await app.unpause()
    await app.complete()
    code, out, err = await app.rollout("undo")
    assert code == 0, out + err
    await app.complete()
    assert await app.sizes() == {stable: 1, canary: 0}
    assert annotations_of(await app.replica_set(stable))[REVISION] == "3"


async def test_replicas_changed_between_patch_and_release_move_the_new_one(app: App) -> None:
    """Once the others are at 0, a scaling before the release moves the adopted ReplicaSet alone, paused or not.

    An HPA in the last seconds of a handover does no harm; the release still finds a finished rollout.
    """
    stable, canary = await handed_over(app, 2)
    await app.scale(3)
    await app.has(canary, 3)
    await app.scale(1)
    await app.has(canary, 1)
    await app.unpause()
    await app.complete()
    assert await app.sizes() == {stable: 0, canary: 1}


async def test_an_unready_canary_pod_at_the_patch_shrinks_stable_to_the_surge(app: App) -> None:
    """With one canary pod of ten not available at the patch, stable is left with maxSurge pods, and stays there.

    Why available = replicas is a precondition; and why such a Deployment is released at once, to be healed.
    """
    await app.start(10, surge=3)
    stable = await app.of("1")
    await app.hold("2", gated=True)
    await app.next_second(stable)
    canary = await app.canary(10, ready=False)
    await app.open_gates(canary, 9)
    await app.relabel(canary)
    await app.sized({stable: 3, canary: 10})
    await app.settle()
    assert await app.sizes() == {stable: 3, canary: 10}


async def test_released_early_the_native_update_heals_it(app: App) -> None:
    """Released after a patch that found a canary pod unready, the native update finishes, and availability holds.

    The way out of a handover that was cut short: never fewer than replicas - maxUnavailable available.
    """
    await app.start(4)
    stable = await app.of("1")
    await app.hold("2", gated=True)
    await app.next_second(stable)
    canary = await app.canary(4, ready=False)
    await app.open_gates(canary, 3)
    since = await app.version(DEPLOYMENTS)
    await app.relabel(canary)
    await app.sized({stable: 1, canary: 4})
    await app.unpause()
    await app.observed()
    assert (await app.sizes())[stable] == 1  # waits for the last canary pod
    await app.open_gates(canary, 4)
    await app.complete()
    assert await app.sizes() == {stable: 0, canary: 4}
    available = [obj["status"]["availableReplicas"] for _, obj in await app.history(DEPLOYMENTS, since)]
    assert min(available) >= 4


async def test_replicas_lowered_before_the_patch_cut_the_canary(app: App) -> None:
    """With the canary larger than the Deployment at the patch, the canary is cut, and good pods with it.

    Why canary = stable = spec.replicas is a precondition: an HPA may have taken the Deployment from 10 to 8.
    """
    await app.start(10, surge=2)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(10)
    await app.scale(8)
    await app.has(stable, 8)
    await app.relabel(canary)
    await app.sized({stable: 8, canary: 2})


async def test_replicas_raised_before_the_patch_leave_stable_the_smaller(app: App) -> None:
    """With the canary smaller than the Deployment at the patch, both are scaled until their sum is replicas + maxSurge.

    The same precondition, when an HPA scales up.
    """
    await app.start(3)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(3)
    await app.scale(4)
    await app.has(stable, 4)
    await app.relabel(canary)

    async def forced() -> bool:
        sizes = await app.sizes()
        return sizes[canary] + sizes[stable] == 5 and sizes[stable] < 4

    await app.lab.until(forced, "four and one pods in all")


async def test_min_ready_seconds_that_differ_count_canary_pods_as_not_available(app: App) -> None:
    """The Deployment gives the adopted ReplicaSet its own minReadySeconds: pods that were available no longer are.

    Why equal minReadySeconds is a precondition: stable goes to 0 while nothing counts as available.
    """
    await app.start(2, minReadySeconds=0)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(2)
    await app.patch({"spec": {"minReadySeconds": 500}})
    await app.observed()
    await app.relabel(canary)
    await app.sized({stable: 0, canary: 2})

    async def none() -> bool:
        return not (await app.status()).get("availableReplicas")

    await app.lab.until(none, "no pod counts as available")
    assert (await app.replica_set(canary))["spec"]["minReadySeconds"] == 500


async def test_a_template_that_differs_is_not_the_new_one(app: App) -> None:
    """An adopted ReplicaSet whose template has one label more is just another old one; the release builds a third.

    Why no role label may stand in the canary's template, and why the stored templates are compared before the patch.
    """
    await app.start(1)
    await app.hold("2", labels={"role": "canary"})
    canary = await app.canary(1)
    await app.hold("2")
    # a merge patch leaves a label that it does not name
    await app.patch({"spec": {"template": {"metadata": {"labels": {"role": None}}}}})
    assert len(fingerprints(await app.get(), await app.replica_set(canary))) == 2
    await app.relabel(canary)
    await app.adopted(canary)
    await app.unpause()
    await app.complete()
    assert (await app.sizes())[canary] == 0
    assert len(await app.sizes()) == 3


async def test_an_older_owned_one_with_the_same_template_takes_its_place(app: App) -> None:
    """With an older owned ReplicaSet of the same template, the canary is not the new one, and never saturated.

    Why such a one forbids the handover, and is itself used as the canary.
    """
    await app.start(2)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    await app.next_second(first)
    await app.hold("1")
    canary = await app.canary(2)
    await app.relabel(canary)
    await app.adopted(canary)

    async def forced() -> bool:
        sizes = await app.sizes()
        return sizes[canary] + sizes[second] == 3

    await app.lab.until(forced, "both are scaled together")
    await app.settle()
    assert (await app.sizes())[first] == 0


async def test_the_canarys_annotations_are_those_that_adoption_would_copy(app: App) -> None:
    """On its new ReplicaSet the native controller copies the Deployment's annotations, all but its own and kubectl's.

    The hidden ReplicaSet is made with the same ones: `rollout undo` to it brings back what a native one would.
    """
    await app.start(1)
    texts: Object = {"note": "kept", "deployment.kubernetes.io/desired-replicas": "7"}
    texts["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    await app.patch({"metadata": {"annotations": texts}})
    await app.hold("2")
    canary = await app.canary(1)
    made = annotations_of(await app.replica_set(canary))
    assert {k: v for k, v in made.items() if not k.startswith("coalmine.dev/")} == {"note": "kept"}
    await app.relabel(canary)
    await app.adopted(canary)
    await app.unpause()
    await app.complete()
    adopted = annotations_of(await app.replica_set(canary))
    assert adopted == {"note": "kept", REVISION: "2", DESIRED_REPLICAS: "1", MAX_REPLICAS: "2"}
