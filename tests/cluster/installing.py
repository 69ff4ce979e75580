"""What tests of the installation share: kubectl on a lab, what it changed, what is left, the base as a lab needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import yaml

from coalmine.kube.resources import (
    CRDS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    PODS,
    Object,
    Resource,
    name_of,
)
from coalmine.kube.verbs import ApiError
from coalmine.model.names import SYSTEM_NAMESPACE
from coalmine_sandbox.lab import IMAGE, MANIFESTS, Answer, Lab

OURS: Final = "app.kubernetes.io/part-of=coalmine"
#: Deleting waits for the namespace, and the namespace for its pods' grace.
DELETED: Final = "--timeout=120s"


async def kubectl(lab: Lab, *arguments: str) -> Answer:
    """What kubectl answers; it must not fail."""
    done = await lab.kubectl(*arguments)
    assert done.code == 0, done.stderr
    return done


def others(answer: Answer, wanted: str) -> list[str]:
    """What kubectl says that it did, of what is not `wanted`: created, configured, unchanged."""
    return [line for line in answer.stdout.splitlines() if not line.endswith(f" {wanted}")]


async def unchanged(lab: Lab, folder: str) -> None:
    """Apply it again: nothing is another than before."""
    before = await specs(lab)
    again = await kubectl(lab, "apply", "-k", folder)
    # a budget's selector has the patch strategy `replace`, so kubectl writes it each time, as it is
    assert [line for line in others(again, "unchanged") if not line.startswith("poddisruptionbudget")] == []
    assert await specs(lab) == before


async def specs(lab: Lab) -> dict[str, Any]:
    """What was asked for, of every object of ours that has a generation: it counts the changes of that."""
    found = {}
    for resource in (DEPLOYMENTS, DISRUPTION_BUDGETS, MUTATING_WEBHOOKS, CRDS):
        for each in (await lab.client.list(resource, labels=OURS))[0]:
            found[f"{each['kind']} {name_of(each)}"] = each["metadata"]["generation"]
    return found


async def has_pods(lab: Lab, wanted: int) -> bool:
    """Whether there are that many of ours."""
    found, _ = await lab.client.list(PODS, SYSTEM_NAMESPACE, labels=OURS)
    return len(found) >= wanted


async def left_of(lab: Lab) -> list[str]:
    """What is still there of ours, of every kind that is served."""
    found = []
    versions = [
        "v1",
        *(g["preferredVersion"]["groupVersion"] for g in (await lab.client.raw("GET", "/apis"))["groups"]),
    ]
    for version in versions:
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        for each in (await lab.client.raw("GET", root))["resources"]:
            if "/" not in each["name"] and "list" in each["verbs"]:
                resource = Resource(version, each["kind"], each["name"], each["namespaced"])
                try:
                    items, _ = await lab.client.list(resource, labels=OURS)
                except ApiError:
                    continue  # a kind that went in between
                found += [f"{each['kind']} {name_of(item)}" for item in items]
    if await lab.client.find(NAMESPACES, None, SYSTEM_NAMESPACE) is not None:
        found.append("the namespace")
    return found


def overlay(folder: Path, below: Path = MANIFESTS / "base") -> Path:
    """The base as the lab needs it: its own image, and pods that listen on their own address, as its node gives
    them addresses but no network of their own."""

    def container(name: str, *changes: tuple[str, Any]) -> Object:
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        path = "/spec/template/spec/containers/0"
        patch = [{"op": "add", "path": f"{path}/env/-", "value": address}]
        patch += [{"op": "replace", "path": f"{path}/args/{at}", "value": value} for at, value in changes]
        return {"target": {"kind": "Deployment", "name": f"coalmine-{name}"}, "patch": yaml.safe_dump(patch)}

    image = {"kind": "Deployment", "name": "coalmine-webhook"}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(below, folder)],
        "images": [{"name": "coalmine", "newTag": IMAGE.partition(":")[2]}],
        "patches": [
            container("webhook", ("2", "$(POD_IP):9443"), ("4", "$(POD_IP):8080")),
            container("controller", ("2", "$(POD_IP):8080")),
        ],
        "replacements": [
            {
                "source": {**image, "fieldPath": "spec.template.spec.containers.[name=webhook].image"},
                "targets": [
                    {
                        "select": image,
                        "fieldPaths": [
                            "spec.template.spec.containers.[name=webhook].env.[name=COALMINE_IMAGE].value",
                        ],
                    }
                ],
            }
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization, sort_keys=False))
    return folder


async def available(lab: Lab, *names: str) -> None:
    """Returns once both pods of each Deployment are available."""

    async def ready(name: str) -> bool:
        found = await lab.client.get(DEPLOYMENTS, SYSTEM_NAMESPACE, name)
        return bool(found.get("status", {}).get("availableReplicas") == 2)

    for name in names:
        await lab.until(lambda name=name: ready(name), f"{name} is available")  # type: ignore[misc]
