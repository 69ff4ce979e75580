"""The API server: what our writes, our order of events and our fingerprint lean on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conformance_app import LABELS, App, fingerprints

from coalmine.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Object, Resource, name_of, resource_version_of
from coalmine.kube.verbs import MERGE, STRATEGIC, ApiError, ConflictError
from coalmine.model.names import POD_TEMPLATE_HASH
from coalmine_controller.convert import deployment_from, replica_set_from

pytestmark = pytest.mark.cluster
QUOTAS = Resource("v1", "ResourceQuota", "resourcequotas")
BUDGETS = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")

RICH: Object = {
    "metadata": {"labels": {**LABELS, "tier": "web"}, "annotations": {"note": "ünïcode & <tags>"}},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "serviceAccountName": "default",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 2000, "sysctls": []},
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "labelSelector": {"matchLabels": LABELS},
                            "topologyKey": "kubernetes.io/hostname",
                        },
                    }
                ]
            }
        },
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": LABELS},
            }
        ],
        "volumes": [
            {"name": "work", "emptyDir": {"sizeLimit": "0.5Gi"}},
            {"name": "settings", "configMap": {"name": "settings", "optional": True}},
            {"name": "about", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "both", "projected": {"sources": [{"configMap": {"name": "settings", "optional": True}}]}},
        ],
        "initContainers": [
            {"name": "before", "image": "python:1", "command": ["true"]},
            {"name": "beside", "image": "python:1", "command": ["sleep", "86400"], "restartPolicy": "Always"},
        ],
        "containers": [
            {
                "name": "app",
                "image": "python:1",
                "command": ["sleep", "86400"],
                "ports": [{"name": "web", "containerPort": 5000}, {"containerPort": 5001, "protocol": "UDP"}],
                "env": [
                    {"name": "A", "value": ""},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings", "optional": True}}],
                "resources": {"requests": {"cpu": "0.01", "memory": "16Mi"}, "limits": {"cpu": "1000m"}},
                "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 60},
                "lifecycle": {"preStop": {"sleep": {"seconds": 0}}},
                "securityContext": {"capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}},
                "volumeMounts": [{"name": "work", "mountPath": "/work"}, {"name": "settings", "mountPath": "/etc/s"}],
            }
        ],
    },
}


async def test_the_fingerprint_is_that_of_the_native_controllers_template(app: App) -> None:
    """The stored templates of a Deployment and of the ReplicaSet that the native controller makes have one fingerprint.

    Defaults, quantities and empty fields are spelled alike on both: raw JSON can be compared.
    """
    rich: Any = RICH
    await app.lab.client.create(DEPLOYMENTS, app.namespace, app.manifest(1, template=rich))
    await app.observed()
    (native,) = (await app.replica_sets()).values()
    deployment = await app.get()
    assert len(fingerprints(deployment, native)) == 1
    assert POD_TEMPLATE_HASH in native["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["template"]["spec"]["tolerations"] == RICH["spec"]["tolerations"]


async def test_the_fingerprint_survives_a_round_trip_through_our_replica_set(app: App) -> None:
    """The ReplicaSet that we make from the stored JSON is stored with the same template, so that it is the new one.

    Working on raw JSON loses no field: the native controller's comparison will hold.
    """
    await app.start(1)
    rich: Any = RICH
    await app.patch({"spec": {"paused": True, "template": {**rich, "spec": {**rich["spec"], "initContainers": []}}}})
    await app.observed()
    canary = await app.canary(1)
    assert len(fingerprints(await app.get(), await app.replica_set(canary))) == 1
    await app.relabel(canary)
    await app.adopted(canary)
    await app.unpause()
    await app.complete()
    assert (await app.sizes())[canary] == 1
    assert len(await app.sizes()) == 2


async def test_any_change_of_the_template_changes_the_fingerprint(app: App) -> None:
    """Two templates that the native controller holds different have different stored JSON.

    `hold` names exactly the template that would make a new ReplicaSet.
    """
    await app.start(1)
    seen = fingerprints(await app.get())
    changes: list[Object] = [
        {"metadata": {"annotations": {"at": "noon"}}},
        {"spec": {"terminationGracePeriodSeconds": 0}},
        {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}},
    ]
    for number, change in enumerate(changes, start=2):
        await app.patch({"spec": {"template": change}})
        await app.observed()
        seen |= fingerprints(await app.get())
        assert len(seen) == len(await app.replica_sets()) == number


async def test_resource_versions_of_a_resource_are_numbers_in_order(app: App) -> None:
    """resourceVersions are numbers that grow with each write, within a resource and between a list and its objects.

    What the controller has written itself is not overwritten by an older event from its watch.
    """
    await app.start(1)
    versions = []
    for number in range(3):
        found = await app.patch({"metadata": {"labels": {"n": str(number)}}})
        versions.append(int(resource_version_of(found)))
    assert versions == sorted(set(versions))
    _, listed = await app.lab.client.list(DEPLOYMENTS, app.namespace)
    assert int(listed) >= versions[-1]


@pytest.mark.parametrize(("kind", "subresource"), [(MERGE, None), (STRATEGIC, None), (STRATEGIC, "status")])
async def test_a_patch_with_a_stale_resource_version_is_refused(app: App, kind: str, subresource: str | None) -> None:
    """A patch with an older metadata.resourceVersion gets 409 and changes nothing; with the current one it passes.

    Every guarded write of the controller: the handover's three, status, scaling.
    """
    await app.start(1)
    await app.settle()
    stale = resource_version_of(await app.get())
    current = await app.patch({"metadata": {"labels": {"n": "1"}}})
    patch: Object = {"spec": {"minReadySeconds": 1}}
    if subresource:
        condition = {"type": "Progressing", "status": "Unknown", "reason": "Test"}
        patch = {"status": {"conditions": [condition]}}
    with pytest.raises(ConflictError) as refused:
        await app.patch({"metadata": {"resourceVersion": stale}, **patch}, subresource, kind=kind)
    assert refused.value.status == 409
    assert await app.get() == current
    await app.patch({"metadata": {"resourceVersion": resource_version_of(current)}, **patch}, subresource, kind=kind)


async def test_annotations_move_the_generation_and_labels_do_not(app: App) -> None:
    """A change of a Deployment's annotations moves metadata.generation, and the native controller observes it.

    Each annotation that we write makes a status stale for a moment: `complete` waits for observedGeneration.
    """
    await app.start(1)
    before = (await app.get())["metadata"]["generation"]
    labelled = await app.patch({"metadata": {"labels": {"n": "1"}}})
    assert labelled["metadata"]["generation"] == before
    annotated = await app.patch({"metadata": {"annotations": {"n": "1"}}})
    assert annotated["metadata"]["generation"] == before + 1
    await app.observed()


async def test_an_empty_patch_changes_nothing(app: App) -> None:
    """An empty merge patch that no webhook adds to leaves the object as it was, resourceVersion included.

    The controller's touch is free where nothing is to be recorded.
    """
    await app.start(1)
    await app.settle()
    before = await app.get()
    assert await app.patch({}) == before


async def test_a_delete_holds_only_for_the_uid_that_it_names(app: App) -> None:
    """A delete with a precondition on another uid gets 409 and deletes nothing.

    A ReplicaSet made again under the same name is not swept by mistake.
    """
    await app.start(1)
    name = await app.of("1")
    with pytest.raises(ConflictError):
        await app.lab.client.delete(REPLICA_SETS, app.namespace, name, uid="another")
    assert "deletionTimestamp" not in (await app.replica_set(name))["metadata"]


async def test_a_quota_shows_as_replica_failure(app: App) -> None:
    """Pods that a quota refuses show as the ReplicaSet's condition ReplicaFailure with the refusal's text.

    "No room for the canary" is told in the quota's own words.
    """
    await app.start(1)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "1"}},
    }
    await app.lab.client.create(QUOTAS, app.namespace, quota)

    async def counted() -> bool:
        found = await app.lab.client.get(QUOTAS, app.namespace, "small")
        return bool((found.get("status") or {}).get("used") == {"pods": "1"})

    await app.lab.until(counted, "the quota is counted")
    await app.hold("2")
    made = await app.canary(0)
    await app.lab.client.patch(REPLICA_SETS, app.namespace, made, {"spec": {"replicas": 1}})

    async def failed() -> str:
        deployment = deployment_from(await app.get())
        return replica_set_from(await app.replica_set(made), deployment).failure

    text = await app.lab.until(failed, "the canary ReplicaSet has failed")
    assert "exceeded quota: small" in text


async def test_an_eviction_respects_the_disruption_budget(app: App) -> None:
    """An eviction that a PodDisruptionBudget forbids gets 429, and the pod stays.

    Stable pods without a sidecar are evicted, never deleted.
    """
    await app.start(1)
    spec = {"minAvailable": 1, "selector": {"matchLabels": LABELS}}
    budget = {"apiVersion": BUDGETS.api_version, "kind": BUDGETS.kind, "metadata": {"name": "all"}, "spec": spec}
    await app.lab.client.create(BUDGETS, app.namespace, budget)

    async def known() -> bool:
        found = await app.lab.client.get(BUDGETS, app.namespace, "all")
        return bool((found.get("status") or {}).get("currentHealthy") == 1)

    await app.lab.until(known, "the budget knows its pod")
    (pod,) = await app.pods()
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name_of(pod)}}
    with pytest.raises(ApiError) as refused:
        await app.lab.client.create(PODS, app.namespace, eviction, "eviction")
    assert refused.value.status == 429
    assert await app.uids() == {pod["metadata"]["uid"]}


async def test_a_watch_goes_on_where_a_list_ended(app: App) -> None:
    """A watch from a list's resourceVersion brings every later change once, and none that the list had.

    The controller's picture of the world is whole.
    """
    await app.start(1)
    _, since = await app.lab.client.list(DEPLOYMENTS, app.namespace)
    for number in range(3):
        await app.patch({"metadata": {"labels": {"n": str(number)}}})

    async def three() -> list[str]:
        seen: list[str] = []
        async with app.watching(DEPLOYMENTS, since) as events:
            async for event in events:
                if event.type == "MODIFIED":
                    seen.append(event.object["metadata"]["labels"]["n"])
                if len(seen) == 3:
                    break
        return seen

    assert await asyncio.wait_for(three(), 60) == ["0", "1", "2"]
