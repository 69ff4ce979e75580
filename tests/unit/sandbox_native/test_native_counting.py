"""Quotas, budgets and nodes: what is counted and told of them."""

from __future__ import annotations

from typing import Any

import pytest
from native_samples import NOW, pod

from coalmine.kube.resources import CONFIG_MAPS, PODS, Object, uid_of
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native import quota
from coalmine_sandbox.native.disruption import NoControllerError, expected, failed_status, status_of
from coalmine_sandbox.native.nodes import silent, taints


def objects(**found: list[Object]) -> dict[Any, list[Object]]:
    every: dict[Any, list[Object]] = {resource: [] for resource in quota._RESOURCES}
    return every | {PODS: found.get("pods", []), CONFIG_MAPS: found.get("maps", [])}


def asking(name: str, cpu: str, memory: str, **how: Any) -> Object:
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": "1Gi"}}
    return pod(name, containers=[{"name": "app", "resources": resources}], **how)


def test_usage() -> None:
    long_gone = asking("d", "1", "1Gi", deleting=True)
    long_gone["metadata"].update(deletionTimestamp=timestamp(NOW - 5), deletionGracePeriodSeconds=30)
    pods = [asking("a", "250m", "100Mi"), asking("b", "1", "28Mi"), asking("c", "9", "9Gi", phase="Failed"), long_gone]
    names = ("pods", "cpu", "requests.memory", "limits.memory", "configmaps", "count/pods", "requests.storage", "x/gpu")
    one = {"spec": {"hard": dict.fromkeys(names, "9")}}
    assert quota.used(one, objects(pods=pods, maps=[{}]), NOW) == {
        "pods": "2",
        "cpu": "1250m",
        "requests.memory": "128Mi",
        "limits.memory": "2Gi",
        "configmaps": "1",
        "count/pods": "4",
        "requests.storage": "0",
    }


def test_a_scope_counts_what_it_is_about() -> None:
    pods = [asking("a", "250m", "100Mi"), pod("b", containers=[{"name": "app"}])]
    one = {"spec": {"hard": {"pods": "9", "configmaps": "9"}, "scopes": ["BestEffort"]}}
    assert quota.used(one, objects(pods=pods, maps=[{}]), NOW) == {"pods": "1", "configmaps": "0"}


def budget(**spec: Any) -> Object:
    return {"metadata": {"name": "all", "generation": 2}, "spec": spec, "status": {}}


@pytest.mark.parametrize(
    ("spec", "result"),
    [
        ({"minAvailable": 1}, (3, 1)),
        ({"minAvailable": "50%"}, (7, 4)),
        ({"maxUnavailable": 2}, (7, 5)),
        ({"maxUnavailable": "50%"}, (7, 3)),
        ({"maxUnavailable": 9}, (7, 0)),
        ({}, (0, 0)),
    ],
)
def test_expected(spec: dict[str, Any], result: tuple[int, int]) -> None:
    """Two pods of a Deployment that wants 5 and one of a ReplicaSet that wants 2."""
    pods = [pod("a"), pod("b", owner="rs2"), pod("c", owner="rs3"), pod("d", owner="")]
    scales = {uid_of(pods[0]): ("d", 5), uid_of(pods[1]): ("d", 5), uid_of(pods[2]): ("rs3", 2)}
    counted = pods[:3] if isinstance(spec.get("minAvailable"), int) else pods
    assert expected(budget(**spec), counted, scales) == result


def test_an_unknown_controller_is_an_error_only_for_shares() -> None:
    assert expected(budget(minAvailable=1), [pod("a")], {}) == (1, 1)
    with pytest.raises(NoControllerError, match='found no controllers for pod "a"'):
        expected(budget(maxUnavailable=1), [pod("a")], {})


def test_budget_status() -> None:
    one = budget(minAvailable=1)
    pods = [pod("a"), pod("b"), pod("c", ready=None), pod("d", deleting=True), pod("e"), pod("f")]
    one["status"] = {"disruptedPods": {"e": timestamp(NOW - 10), "f": timestamp(NOW - 500), "gone": timestamp(NOW)}}
    found = status_of(one, pods, 6, 1, NOW)
    (condition,) = found.pop("conditions")
    assert found == {
        "currentHealthy": 3,
        "desiredHealthy": 1,
        "disruptionsAllowed": 2,
        "expectedPods": 6,
        "observedGeneration": 2,
        "disruptedPods": {"e": timestamp(NOW - 10)},
    }
    assert (condition["status"], condition["reason"]) == ("True", "SufficientPods")
    again = status_of({**one, "status": {**found, "conditions": [condition]}}, pods, 6, 1, NOW + 30)
    assert again["conditions"] == [condition]


def test_without_pods_nothing_may_be_evicted() -> None:
    found = status_of(budget(minAvailable=0), [], 0, 0, NOW)
    assert found["disruptionsAllowed"] == 0
    assert found["conditions"][0]["reason"] == "InsufficientPods"


def test_a_budget_that_cannot_be_told_allows_nothing() -> None:
    one = budget(maxUnavailable=1)
    one["status"] = {"disruptionsAllowed": 3, "currentHealthy": 4, "desiredHealthy": 1, "expectedPods": 4}
    found = failed_status(one, "no controllers", NOW)
    assert (found["disruptionsAllowed"], found["currentHealthy"]) == (0, 4)
    assert found["conditions"][0]["message"] == "no controllers"


def node(*conditions: tuple[str, str], **spec: Any) -> Object:
    told = [{"type": kind, "status": status} for kind, status in conditions]
    return {"metadata": {"name": "node"}, "spec": spec, "status": {"conditions": told}}


NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
OTHERS = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("one", "expected_taints"),
    [
        (node(("Ready", "True")), []),
        (node(("Ready", "True"), taints=[NOT_READY, OTHERS]), [OTHERS]),
        (node(("Ready", "False")), [NOT_READY, {**NOT_READY, "effect": "NoExecute"}]),
        (
            node(("Ready", "Unknown")),
            [{"key": "node.kubernetes.io/unreachable", "effect": e} for e in ("NoSchedule", "NoExecute")],
        ),
        (
            node(("Ready", "True"), ("DiskPressure", "True")),
            [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}],
        ),
        (
            node(("Ready", "True"), unschedulable=True),
            [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}],
        ),
    ],
)
def test_taints(one: Object, expected_taints: list[Object]) -> None:
    assert taints(one) == expected_taints


def test_taints_keep_their_time() -> None:
    timed = {**NOT_READY, "timeAdded": timestamp(NOW)}
    assert timed in taints(node(("Ready", "False"), taints=[timed]))


def test_a_silent_nodes_conditions_are_unknown() -> None:
    found = silent(node(("Ready", "True")), NOW)
    assert found is not None
    told = {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]}
    assert told["Ready"] == ("Unknown", "NodeStatusUnknown")
    assert told["DiskPressure"] == ("Unknown", "NodeStatusNeverUpdated")
    assert silent({"metadata": {}, "status": found}, NOW + 9) is None
