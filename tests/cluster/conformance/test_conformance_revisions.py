"""Older revisions: hidden, used as a canary, given back; and what kubectl does with revisions and annotations."""

from __future__ import annotations

import pytest
from conformance_app import LABELS, App, came_and_went, template

from coalmine.kube.resources import PODS, Object, annotations_of, controller_of, labels_of, uid_of
from coalmine.model.names import HANDOVER, HIDDEN_LABELS, REVISION
from coalmine_controller import canary_set
from coalmine_controller.convert import deployment_from, replica_set_from

pytestmark = pytest.mark.cluster


async def hide(app: App, name: str) -> None:
    """Both writes by which our controller hides an older revision."""

    def hidden(deployment: Object, replica_set: Object) -> Object:
        d = deployment_from(deployment)
        return canary_set.hide(d, replica_set_from(replica_set, d))

    def referenced(deployment: Object, replica_set: Object) -> Object:
        d = deployment_from(deployment)
        return canary_set.add_reference(d, replica_set_from(replica_set, d))

    await app.patch_set(name, hidden)
    await app.released(name)
    await app.patch_set(name, referenced)


async def history(app: App) -> list[str]:
    """The revisions that kubectl rollout history lists."""
    code, out, err = await app.rollout("history")
    assert code == 0, err
    return [line.split()[0] for line in out.splitlines() if line[:1].isdigit()]


async def test_an_older_revision_is_hidden_used_and_handed_back_without_churn(app: App) -> None:
    """An older revision's ReplicaSet, hidden at 0, scaled and handed over: no pod churns, revision max + 1.

    Going back from v2 to v1 is a canary like any other, in the ReplicaSet that v1 has.
    """
    await app.start(2)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    labels = labels_of(await app.replica_set(first))
    await app.hold("1")
    await hide(app, first)
    await app.settle()
    assert labels_of(await app.replica_set(first)).keys().isdisjoint(LABELS)
    reference = canary_set.reference(deployment_from(await app.get()))
    assert (await app.replica_set(first))["metadata"]["ownerReferences"] == [reference]
    await app.resize(first, 1)
    await app.settle()
    assert await app.sizes() == {first: 1, second: 2}
    await app.resize(first, 2)
    pods, since = await app.uids(first), await app.version()
    await app.relabel(first)
    await app.adopted(first)
    await app.sized({first: 2, second: 0})
    await app.unpause()
    await app.complete()
    assert await app.uids() == pods
    assert came_and_went(await app.history(PODS, since), first) == (set(), set())
    found = await app.replica_set(first)
    assert labels_of(found).items() >= labels.items()
    assert HIDDEN_LABELS not in annotations_of(found)
    assert annotations_of(found)[REVISION] == annotations_of(await app.get())[REVISION] == "3"
    assert await history(app) == ["2", "3"]


async def test_holding_an_older_template_numbers_its_replica_set_at_once(app: App) -> None:
    """A paused Deployment that gets an older revision's template numbers that ReplicaSet max + 1 at once.

    On the way back the canary's ReplicaSet, and the Deployment, already show the revision to come.
    """
    await app.start(1)
    await app.update("2")
    first = await app.of("1")
    await app.hold("1")
    await app.settle()
    assert annotations_of(await app.replica_set(first))[REVISION] == "3"
    assert annotations_of(await app.get())[REVISION] == "3"
    assert await app.sizes() == {first: 0, await app.of("2"): 1}


async def test_a_hidden_older_revision_given_back_at_zero_is_history_again(app: App) -> None:
    """A hidden older revision that gets its labels back at 0 is adopted and stands in the history; no pod is touched.

    An aborted or abandoned way back costs no revision, but numbers move: what was 1 and 2 is 3 and 4.
    """
    await app.start(1)
    await app.update("2")
    first = await app.of("1")
    pods = await app.uids()
    await app.hold("1")
    await app.settle()
    await hide(app, first)
    assert await history(app) == ["2"]
    await app.hold("2")
    await app.patch_set(first, lambda d, r: canary_set.give_back(replica_set_from(r, deployment_from(d))))
    await app.adopted(first)
    await app.unpause()
    await app.complete()

    async def numbered() -> bool:
        return await history(app) == ["3", "4"]

    await app.lab.until(numbered, "both are numbered anew")
    assert await app.uids() == pods


async def test_labels_and_reference_in_one_patch_hide_at_once(app: App) -> None:
    """One patch that drops the labels and makes the reference `controller: false` hides a ReplicaSet at once.

    There need be no moment at which a hidden older revision has no owner at all.
    """
    await app.start(1)
    await app.update("2")
    first = await app.of("1")
    await app.hold("1")
    reference = canary_set.reference(deployment_from(await app.get()))
    patch = {"metadata": {"labels": dict.fromkeys(LABELS), "ownerReferences": [reference]}}
    await app.patch_set(first, lambda _, __: patch)
    await app.resize(first, 1)  # so that the native controllers have seen it for sure
    await app.settle()
    assert await app.sizes() == {first: 1, await app.of("2"): 1}
    assert (await app.replica_set(first))["metadata"]["ownerReferences"] == [reference]


async def test_a_hidden_older_revision_is_rebuilt_when_the_hold_is_lifted_by_hand(app: App) -> None:
    """With its ReplicaSet hidden, an older template that is unpaused gets a ReplicaSet under another name.

    The hash collides with the hidden one's name: the native controller counts on, and never takes it over.
    """
    await app.start(1)
    await app.update("2")
    first, second = await app.of("1"), await app.of("2")
    await app.hold("1")
    await hide(app, first)
    await app.unpause()
    await app.complete()
    sizes = await app.sizes()
    (third,) = sizes.keys() - {first, second}
    assert sizes == {first: 0, second: 0, third: 1}
    assert (await app.status())["collisionCount"] == 1
    assert controller_of(await app.replica_set(first)) is None


@pytest.mark.parametrize("verb", ["undo", "restart"])
async def test_kubectl_refuses_undo_and_restart_while_paused(app: App, verb: str) -> None:
    """kubectl rollout undo and restart refuse a paused Deployment.

    Why our command line has its own, which work while held.
    """
    await app.start(1)
    await app.update("2")
    await app.hold("3")
    before = (await app.get())["spec"]["template"]
    code, _, err = await app.rollout(verb)
    assert code == 1
    assert "paused" in err
    assert (await app.get())["spec"]["template"] == before


async def test_undo_replaces_all_annotations_with_the_old_replica_sets(app: App) -> None:
    """kubectl rollout undo gives the Deployment the annotations of the old ReplicaSet, and removes those that it lacks.

    Why the webhook carries our keys over from oldObject, and refuses to lose the user's with a template change.
    """
    await app.start(1)
    await app.patch({"metadata": {"annotations": {"note": "old", "gone": "x"}}})
    await app.observed()
    changed = {"note": "new", "gone": None, "added": "y"}
    await app.patch({"metadata": {"annotations": changed}, "spec": {"template": template("2")}})
    await app.complete()
    code, out, err = await app.rollout("undo")
    assert code == 0, out + err
    found = annotations_of(await app.observed())
    assert {k: v for k, v in found.items() if k != REVISION} == {"note": "old", "gone": "x"}


async def test_annotations_once_copied_stay_on_the_replica_set(app: App) -> None:
    """An annotation taken off a Deployment stays on the ReplicaSet that it was copied to, and comes back with an undo.

    Our own keys of an earlier hold or handover can come back so: they count on oldObject only.
    """
    await app.start(1)
    await app.patch({"metadata": {"annotations": {HANDOVER: "x"}}})
    await app.observed()
    await app.patch({"metadata": {"annotations": {HANDOVER: None}}})
    await app.update("2")
    assert HANDOVER not in annotations_of(await app.get())
    assert annotations_of(await app.replica_set(await app.of("1")))[HANDOVER] == "x"
    code, out, err = await app.rollout("undo")
    assert code == 0, out + err
    assert annotations_of(await app.get())[HANDOVER] == "x"


async def test_set_image_works_while_held(app: App) -> None:
    """kubectl set image changes the template of a paused Deployment, and still no ReplicaSet is made.

    A new release in the middle of a rollout needs no command of ours.
    """
    await app.start(1)
    stable = await app.of("1")
    await app.hold("2")
    code, out, err = await app.kubectl("set", "image", f"deployment/{app.name}", "app=python:3")
    assert code == 0, out + err
    await app.observed()
    assert await app.sizes() == {stable: 1}
    assert (await app.get())["spec"]["template"]["spec"]["containers"][0]["image"] == "python:3"


async def test_a_hidden_one_is_no_revision(app: App) -> None:
    """kubectl rollout history does not list the hidden ReplicaSet, and undo cannot choose it.

    A version that was never released cannot be gone back to.
    """
    await app.start(1)
    await app.update("2")
    await app.hold("3")
    canary = await app.canary(1)
    assert await history(app) == ["1", "2"]
    owners = (await app.replica_set(canary))["metadata"]["ownerReferences"]
    assert [o["uid"] for o in owners] == [uid_of(await app.get())]
    code, _, err = await app.rollout("undo", "--to-revision=3", "--dry-run=client")
    assert code == 1, err
