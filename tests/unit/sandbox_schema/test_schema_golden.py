"""What is sent, and what a real API server made of it (recorded by tests/cluster/test_schema.py)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.kube.resources import DEPLOYMENTS, Object, Resource
from coalmine_sandbox.api import defaults
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.merge import apply, json_patch, managed, merge_patch, strategic
from coalmine_sandbox.api.schema import builtin, check, decoding
from coalmine_sandbox.api.schema.node import Node

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = Path(__file__).parents[2] / "cluster" / "recorded" / "samples.yaml"
NOW = "2026-01-01T00:00:00Z"
STORED = json.loads((GOLDEN / "defaults.json").read_text())
WRITES = json.loads((GOLDEN / "writes.json").read_text())
#: What is set when an object is stored, or by admission: not by defaulting.
SET_LATER = ("creationTimestamp", "generation", "managedFields", "namespace", "resourceVersion", "uid")
#: The real one records the owner of an empty list before storage forgets that there was one; ours forgets at once.
EMPTY_LISTS = {"EndpointSlice-slice": "f:endpoints", "Role-none": "f:rules"}


def resource_of(obj: Object) -> Resource:
    return Resource(obj["apiVersion"], obj["kind"], "")


def node_of(obj: Object) -> Node:
    node = builtin.structure(resource_of(obj))
    assert node is not None
    return node


def name(entry: Object) -> str:
    return f"{entry['sent']['kind']}-{entry['sent']['metadata']['name']}"


def bare(obj: Object) -> Object:
    """Without what is set later."""
    found = copy.deepcopy(obj)
    metadata, spec, status = found["metadata"], found.get("spec", {}), found.get("status", {})
    for key in SET_LATER:
        metadata.pop(key, None)
    match obj["kind"]:
        case "Service":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(key, None)
        case "Job":
            for key in (
                "batch.kubernetes.io/controller-uid",
                "batch.kubernetes.io/job-name",
                "controller-uid",
                "job-name",
            ):
                for labels in (metadata.get("labels", {}), spec["template"]["metadata"].get("labels", {})):
                    labels.pop(key, None)
            for about in (metadata, spec["template"]["metadata"]):
                if not about.get("labels"):
                    about.pop("labels", None)
            spec.pop("selector", None)
        case "Pod":
            for key in (
                "tolerations",
                "priority",
                "preemptionPolicy",
                "serviceAccount",
                "serviceAccountName",
                "volumes",
            ):
                spec.pop(key, None)
            for container in spec["containers"]:
                container.pop("volumeMounts", None)
            status.clear()
        case "PersistentVolumeClaim":
            metadata.pop("finalizers", None)
        case "CustomResourceDefinition":
            status.clear()
    return found


def test_the_samples_are_those_that_were_recorded() -> None:
    assert [entry["sent"] for entry in STORED] == list(yaml.safe_load_all(SAMPLES.read_text()))


@pytest.mark.parametrize("entry", STORED, ids=name)
def test_objects_are_completed_and_spelled_as_they_are_stored(entry: Object) -> None:
    sent = entry["sent"]
    assert decoding.refusal(node_of(sent), sent["apiVersion"], sent["kind"], sent) is None
    assert check.unknown(node_of(sent), sent) == []
    made = defaults.complete(resource_of(sent), sent)
    assert check.faults(node_of(sent), made) == []
    assert bare(made) == bare(entry["stored"])


@pytest.mark.parametrize("entry", STORED, ids=name)
def test_what_is_stored_is_complete(entry: Object) -> None:
    assert defaults.complete(resource_of(entry["stored"]), entry["stored"]) == entry["stored"]


@pytest.mark.parametrize("entry", STORED, ids=name)
def test_the_creator_owns_what_was_created_with_its_defaults(entry: Object) -> None:
    sent, stored = entry["sent"], entry["stored"]
    made = managed.updated(
        node_of(sent), None, defaults.complete(resource_of(sent), sent), manager="coalmine", time=NOW
    )
    wanted = [found for found in stored["metadata"].get("managedFields", ()) if found["manager"] == "coalmine"]
    if name(entry) in EMPTY_LISTS:
        wanted = [
            {**wanted[0], "fieldsV1": {k: v for k, v in wanted[0]["fieldsV1"].items() if k not in EMPTY_LISTS.values()}}
        ]
        wanted = [found for found in wanted if found["fieldsV1"]]
    assert made["metadata"].get("managedFields", []) == wanted


# --- writes -----------------------------------------------------------------------------------------


def written(step: Object, before: Object | None) -> Object:
    """The Deployment after a write, as the API server puts its parts together."""
    node = node_of({"apiVersion": DEPLOYMENTS.api_version, "kind": DEPLOYMENTS.kind})
    who: Any = {"manager": step["manager"], "subresource": step.get("subresource", ""), "time": NOW}
    media = step["media"].removeprefix("application/").removesuffix("+json").removesuffix("+yaml")
    if media == "apply-patch":
        made = apply.apply(node, before, step["body"], force=step.get("force", False), **who)
        return defaults.complete(DEPLOYMENTS, made)
    assert before is not None
    if media == "json-patch":
        made = json_patch(before, step["body"])
    elif media == "merge-patch":
        made = merge_patch(before, step["body"])
    else:
        made = strategic(node, before, step["body"])
    return managed.updated(node, before, defaults.complete(DEPLOYMENTS, made), **who)


def sorted_entries(obj: Object) -> Object:
    """The recording's order of managedFields, and without what counts writes."""
    found = copy.deepcopy(obj)
    found["metadata"].pop("generation", None)
    entries = found["metadata"].get("managedFields")
    if entries:
        entries.sort(key=lambda entry: json.dumps(entry, sort_keys=True))
    return found


def story() -> list[Any]:
    """Each write with the Deployment before it and after it."""
    answer = []
    before: Object | None = None
    for number, step in enumerate(WRITES):
        after = merge_patch(before or {}, step["changes"]) if step["status"] == 200 else None
        what = f"{number}-{step['media'].rpartition('/')[2].partition('+')[0]}-{step['manager']}"
        answer.append(pytest.param(step, before, after, id=what))
        before = after or before
    return answer


@pytest.mark.parametrize(("step", "before", "after"), story())
def test_writes_leave_what_a_real_api_server_leaves(step: Object, before: Object | None, after: Object | None) -> None:
    if after is None:
        with pytest.raises(StatusError) as refused:
            written(step, before)
        assert (refused.value.code, refused.value.message) == (step["status"], step["message"])
        return
    made = written(step, before)
    if before is None:  # what names it is set when it is stored
        made["metadata"] = {**{k: after["metadata"][k] for k in SET_LATER}, **made["metadata"]}
    assert sorted_entries(made) == sorted_entries(after)
