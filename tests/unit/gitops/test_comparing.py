"""The rules by which GitOps tools compare, on small objects."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from gitops.comparing import LAST_APPLIED, flux, server_side, structured_merge, three_way

GIT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app", "labels": {"app": "a"}},
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80, "name": "web"}]}]},
        },
    },
}


def live(**metadata: Any) -> dict[str, Any]:
    """What the API server makes of it: defaults, and what others have added."""
    obj = copy.deepcopy(GIT)
    obj["metadata"] |= {"uid": "u", "generation": 1, "resourceVersion": "7", "annotations": {}} | metadata
    obj["metadata"]["annotations"][LAST_APPLIED] = json.dumps(GIT)
    obj["spec"]["progressDeadlineSeconds"] = 600
    obj["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    obj["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    obj["status"] = {"replicas": 2}
    return obj


def held() -> dict[str, Any]:
    """As the webhook leaves it: a pause, a label in the template, annotations of its own."""
    obj = live()
    obj["spec"]["paused"] = True
    obj["spec"]["template"]["metadata"]["labels"]["coalmine.dev/sidecar"] = "true"
    obj["metadata"]["labels"]["coalmine.dev/rollout"] = "true"
    obj["metadata"]["annotations"]["coalmine.dev/hold"] = "0123456789abcdef"
    return obj


def test_what_git_does_not_set_is_no_difference() -> None:
    assert three_way(GIT, held()) == []
    assert structured_merge(GIT, held(), "argocd-controller") == []


def git(path: str, value: Any) -> dict[str, Any]:
    """Git, with another value at `path`; None removes it."""
    obj = copy.deepcopy(GIT)
    at: Any = obj
    *parents, last = (int(p) if p.isdigit() else p for p in path.split("/"))
    for key in parents:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return obj


IMAGE = "spec/template/spec/containers/0/image"


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("spec/replicas", 3, ["spec.replicas"]),
        ("spec/paused", False, ["spec.paused"]),
        ("spec/paused", True, []),
        (IMAGE, "i:2", ["spec.template.spec.containers.c.image"]),
        ("spec/template/spec/containers/0/ports/0/name", "http", ["spec.template.spec.containers.c.ports.80.name"]),
        ("metadata/labels/team", "x", ["metadata.labels.team"]),
        ("metadata/labels/app", None, ["metadata.labels.app"]),
        ("metadata/labels", None, ["metadata.labels"]),
        ("spec/template/spec/containers/0/ports", [], ["spec.template.spec.containers.c.ports.80"]),
        ("spec/template/spec/containers/0/ports", None, ["spec.template.spec.containers.c.ports"]),
    ],
)
def test_what_git_changes_is_found_by_the_three_way_merge(path: str, value: Any, found: list[str]) -> None:
    assert three_way(git(path, value), held()) == found


def test_without_the_annotation_only_what_git_sets_is_compared() -> None:
    bare = held()
    del bare["metadata"]["annotations"][LAST_APPLIED]
    assert three_way(git("metadata/labels/app", None), bare) == []
    assert three_way(git("spec/replicas", 3), bare) == ["spec.replicas"]


OWNED = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:image": {},
                        "f:name": {},
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:name": {}}},
                    }
                }
            }
        },
    },
}


def entry(fields: Any, manager: str = "argocd-controller", operation: str = "Apply") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


@pytest.mark.parametrize(
    ("config", "managed", "found"),
    [
        (GIT, entry(OWNED), []),
        (git("metadata/labels/app", None), entry(OWNED), ["metadata.labels.app"]),
        (git("metadata/labels/app", None), entry(OWNED, manager="flux"), []),
        (git("metadata/labels/app", None), entry(OWNED, operation="Update"), []),
        (
            git("spec/template/spec/containers/0/ports", []),
            entry(OWNED),
            ['spec.template.spec.containers.{"name":"c"}.ports.{"containerPort":80,"protocol":"TCP"}'],
        ),
        (GIT, entry({"f:spec": {"f:paused": {}}}), ["spec.paused"]),
        (git("metadata/finalizers", ["a"]), entry({"f:metadata": {"f:finalizers": {'v:"b"': {}}}}), None),
    ],
)
def test_what_a_manager_owned_and_git_no_longer_sets(config: Any, managed: Any, found: list[str] | None) -> None:
    expected = ["metadata.finalizers", 'metadata.finalizers."b"'] if found is None else found
    assert structured_merge(config, live(managedFields=[managed]), "argocd-controller") == expected


def test_a_dry_run_that_comes_back_the_same_is_in_sync() -> None:
    dry = held()
    dry["metadata"] |= {"managedFields": [entry(OWNED)], "resourceVersion": "8"}
    assert server_side(dry, held()) == []
    assert flux(dry, held()) == []


@pytest.mark.parametrize(
    ("key", "argo", "fluxcd"),
    [
        ("spec.paused", ["spec.paused"], ["spec.paused"]),
        ("metadata.generation", ["metadata.generation"], []),
        ("status.replicas", ["status.replicas"], []),
        (
            "metadata.annotations.coalmine.dev/hold",
            ["metadata.annotations.coalmine.dev/hold"],
            ["metadata.annotations.coalmine.dev/hold"],
        ),
        ("metadata.labels.app", ["metadata.labels.app"], ["metadata.labels.app"]),
    ],
)
def test_a_webhook_that_answers_differently_would_be_found(key: str, argo: list[str], fluxcd: list[str]) -> None:
    dry = held()
    section, name, *rest = key.split(".", 2)
    at = dry[section][name] if rest else dry[section]
    at[rest[0] if rest else name] = "other"
    assert (server_side(dry, held()), flux(dry, held())) == (argo, fluxcd)
