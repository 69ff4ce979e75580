"""The hidden ReplicaSet: what makes a Deployment claim one, keep it, let it go or leave it alone."""

from __future__ import annotations

import pytest
from conformance_app import LABELS, App, template

from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Object,
    controller_of,
    labels_of,
    name_of,
    uid_of,
)
from coalmine_controller import canary_set
from coalmine_controller.convert import deployment_from, replica_set_from

pytestmark = pytest.mark.cluster


def bystander(name: str, labels: Object, *, owner: Object | None = None, pods: Object | None = None) -> Object:
    """A ReplicaSet at 0 that somebody else made, with `labels` of its own and `pods` for its pods."""
    selector = {**(pods or LABELS), "by": name}
    made = template("9")
    made["metadata"]["labels"] = selector
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner] if owner else []},
        "spec": {"replicas": 0, "selector": {"matchLabels": selector}, "template": made},
    }


async def create(app: App, replica_set: Object) -> str:
    """Make it, and wait until the native controllers have seen it."""
    name = name_of(await app.lab.client.create(REPLICA_SETS, app.namespace, replica_set))
    await app.has(name, 0)
    await app.settle()
    return name


async def test_without_the_selectors_labels_it_is_not_claimed(app: App) -> None:
    """A ReplicaSet whose own labels do not match is not claimed, though its pods match and it names the Deployment.

    The hidden canary: not scaled, not counted in the Deployment's status, its pods its own.
    """
    await app.start(2)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(1)
    await app.settle()
    (reference,) = (await app.replica_set(canary))["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (uid_of(await app.get()), False)
    assert await app.sizes() == {stable: 2, canary: 1}
    status = await app.status()
    assert (status["replicas"], status["availableReplicas"], status.get("updatedReplicas", 0)) == (2, 2, 0)
    assert all(labels_of(pod).items() >= LABELS.items() for pod in await app.pods())
    assert len(await app.uids(stable)) == 2
    assert len(await app.uids(canary)) == 1


async def test_its_pods_stand_behind_the_service(app: App) -> None:
    """Pods of the hidden ReplicaSet are endpoints of the Deployment's Service.

    The canary's pods can be asked without any change to the Service.
    """
    port = {"port": 80, "targetPort": 5000}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": app.name}}
    await app.lab.client.create(SERVICES, app.namespace, {**service, "spec": {"selector": LABELS, "ports": [port]}})
    await app.start(1)
    await app.hold("2")
    await app.canary(1)
    addresses = {pod["status"]["podIP"] for pod in await app.pods()}

    async def both() -> bool:
        slices, _ = await app.lab.client.list(ENDPOINT_SLICES, app.namespace)
        ready = [e for s in slices for e in s.get("endpoints") or () if e["conditions"]["ready"]]
        return {a for e in ready for a in e["addresses"]} == addresses

    await app.lab.until(both, "both pods are endpoints")
    assert len(addresses) == 2


async def test_an_hpa_counts_its_pods(app: App) -> None:
    """The selector that the scale subresource gives to an HPA selects canary pods too; its replicas count does not.

    Why the canary is sized before weight moves, so that the mean that an HPA sees is not diluted by idle pods for long.
    """
    await app.start(2)
    await app.hold("2")
    await app.canary(1)
    scale = await app.lab.client.get(DEPLOYMENTS, app.namespace, app.name, "scale")
    selected, _ = await app.lab.client.list(PODS, app.namespace, labels=scale["status"]["selector"])
    assert scale["status"]["replicas"] == 2
    assert len(selected) == 3


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_deleting_the_deployment_collects_it(app: App, propagation: str) -> None:
    """Deleting the Deployment deletes the hidden ReplicaSet and its pods: the reference need not be a controller's.

    No finalizer on the Deployment, nothing to clean up after it.
    """
    await app.start(1)
    await app.hold("2")
    await app.canary(1)
    await app.lab.client.delete(DEPLOYMENTS, app.namespace, app.name, propagation=propagation)

    async def gone() -> bool:
        return not await app.replica_sets() and not await app.pods()

    await app.lab.until(gone, "ReplicaSets and pods are collected")


async def test_an_orphaning_delete_leaves_it_and_it_is_not_adopted_again(app: App) -> None:
    """After an orphaning delete, a Deployment of the same name adopts the old ReplicaSets, never the hidden one.

    Left-over canaries name their Deployment by uid in an annotation: they are found and swept.
    """
    await app.start(1)
    stable = await app.of("1")
    await app.hold("2")
    canary = await app.canary(1)
    uid = uid_of(await app.get())
    code, _, err = await app.kubectl("delete", "deployment", app.name, "--cascade=orphan")
    assert code == 0, err

    async def orphaned() -> bool:
        every = (await app.replica_sets()).values()
        return not any(r["metadata"].get("ownerReferences") for r in every)

    await app.lab.until(orphaned, "owner references are gone")
    await app.start(1)
    new = await app.get()
    assert uid_of(new) != uid
    assert await app.owner(stable) == uid_of(new)
    await app.settle()
    assert await app.owner(canary) == ""
    assert await app.sizes() == {stable: 1, canary: 1}
    left = replica_set_from(await app.replica_set(canary), deployment_from(new))
    assert (left.hidden, left.ours) == (True, False)


async def test_a_matching_one_without_a_controller_is_adopted(app: App) -> None:
    """A ReplicaSet whose own labels match and which nobody controls is adopted, whatever labels its pods have.

    The handover shows the canary to its Deployment by labels alone.
    """
    await app.start(1)
    await create(app, bystander("stray", LABELS, pods={"app": "other"}))
    await app.adopted("stray")


async def test_adoption_turns_our_reference_into_the_controllers(app: App) -> None:
    """Adoption makes of our reference with `controller: false` the one that controls; no second one is added.

    The reference that lets the garbage collector find the canary is no obstacle to the handover.
    """
    await app.start(1)
    reference = canary_set.reference(deployment_from(await app.get()))
    await create(app, bystander("stray", LABELS, owner=reference))
    await app.adopted("stray")
    (found,) = (await app.replica_set("stray"))["metadata"]["ownerReferences"]
    assert found["controller"] is True


async def test_an_owned_one_that_no_longer_matches_is_released(app: App) -> None:
    """An owned ReplicaSet that loses the selector's labels is released: its reference to the Deployment goes.

    How an older revision is hidden; and why our own reference can be added only after the release.
    """
    await app.start(1)
    await app.update("2")
    old = await app.of("1")
    await app.patch_set(old, lambda _, __: {"metadata": {"labels": dict.fromkeys(LABELS)}})
    await app.released(old)
    assert not (await app.replica_set(old))["metadata"].get("ownerReferences")


async def test_one_with_another_controller_is_ignored(app: App) -> None:
    """A matching ReplicaSet that something else controls is left to it.

    A canary that another tool claimed is not taken away from it by showing its labels.
    """
    await app.start(1)
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    other = await app.lab.client.create(CONFIG_MAPS, app.namespace, settings)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": uid_of(other), "controller": True}
    await create(app, bystander("stray", LABELS, owner=owner))
    assert controller_of(await app.replica_set("stray")) == owner


async def test_a_reference_by_somebody_else_does_not_hide(app: App) -> None:
    """A reference to the Deployment with `controller: false` keeps no ReplicaSet that matches from being claimed.

    It is the labels that hide; the reference only collects.
    """
    await app.start(1)
    reference = canary_set.reference(deployment_from(await app.get()))
    await create(app, bystander("hidden", {}, owner=reference))
    assert await app.owner("hidden") == ""
    await app.patch_set("hidden", lambda _, __: {"metadata": {"labels": LABELS}})
    await app.adopted("hidden")
