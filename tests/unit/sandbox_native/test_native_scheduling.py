"""Whether a pod fits a node."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from native_samples import pod

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.usage import needed
from coalmine_sandbox.native.scheduling.fit import free_share, misfits, why_nowhere

TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


def node(cpu: str = "2", memory: str = "1Gi", pods: str = "10", **spec: Any) -> Object:
    metadata = {"name": "node", "labels": {"disk": "ssd", "size": "3"}}
    return {"metadata": metadata, "spec": spec, "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}}}


def asking(cpu: str = "0", memory: str = "0", **spec: Any) -> Object:
    container = {"name": "app", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return pod("a", node="", containers=[container], **spec)


def affinity(operator: str, *values: str) -> Object:
    term = {"matchExpressions": [{"key": "size", "operator": operator, "values": list(values)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"nodeAffinity": required}


CASES = [
    (asking(), node(), []),
    (asking("2"), node(), []),
    (asking("2001m"), node(), ["Insufficient cpu"]),
    (asking("3", "2Gi"), node(), ["Insufficient cpu", "Insufficient memory"]),
    (asking(), node(pods="0"), ["Too many pods"]),
    (asking(), node(unschedulable=True), ["node(s) had untolerated taint(s)"]),
    (asking(), node(taints=[TAINT]), ["node(s) had untolerated taint(s)"]),
    (asking(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), []),
    (asking(tolerations=[{"key": "dedicated", "value": "db"}]), node(taints=[TAINT]), []),
    (
        asking(tolerations=[{"key": "dedicated", "value": "web"}]),
        node(taints=[TAINT]),
        ["node(s) had untolerated taint(s)"],
    ),
    (asking(tolerations=[{"operator": "Exists"}]), node(taints=[TAINT]), []),
    (
        asking(tolerations=[{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]),
        node(taints=[TAINT]),
        ["node(s) had untolerated taint(s)"],
    ),
    (asking(nodeSelector={"disk": "ssd"}), node(), []),
    (asking(nodeSelector={"disk": "hdd"}), node(), ["node(s) didn't match Pod's node affinity/selector"]),
    (asking(affinity=affinity("In", "3")), node(), []),
    (asking(affinity=affinity("Gt", "2")), node(), []),
    (asking(affinity=affinity("NotIn", "3")), node(), ["node(s) didn't match Pod's node affinity/selector"]),
]  # fmt: skip


@pytest.mark.parametrize(("each", "on", "expected"), CASES)
def test_fit(each: Object, on: Object, expected: list[str]) -> None:
    assert misfits(each, on, []) == expected


def test_what_is_placed_already_counts() -> None:
    assert misfits(asking("1"), node(), [asking("1")]) == []
    assert misfits(asking("1"), node(), [asking("1"), asking("1m")]) == ["Insufficient cpu"]
    assert misfits(asking(), node(pods="1"), [asking()]) == ["Too many pods"]


def test_host_ports() -> None:
    containers = [{"name": "app", "ports": [{"containerPort": 80, "hostPort": 80}]}]
    one = pod("a", node="", containers=containers)
    assert misfits(one, node(), [one]) == ["node(s) didn't have free ports for the requested pod ports"]


def test_requests_of_init_containers_and_sidecars() -> None:
    def container(cpu: str, **more: str) -> Object:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    def cpu(**spec: Any) -> Fraction:
        return needed(spec, "requests")["cpu"]

    init = [container("1", restartPolicy="Always"), container("5"), container("1", restartPolicy="Always")]
    assert cpu(containers=[container("2")], initContainers=init) == 6
    assert cpu(containers=[container("9")], initContainers=init) == 11
    assert cpu(containers=[container("1")], overhead={"cpu": "250m"}) == Fraction(5, 4)


def test_overhead_sets_no_limit_where_there_is_none() -> None:
    limited = [{"name": "c", "resources": {"limits": {"memory": "1Mi"}}}]
    found = needed({"containers": limited, "overhead": {"cpu": "250m", "memory": "1Mi"}}, "limits")
    assert found == {"memory": 2 << 20}


def test_the_emptier_node_is_better() -> None:
    assert free_share(asking("1"), node(), []) > free_share(asking("1"), node(), [asking("1")])


def test_why_nowhere() -> None:
    assert why_nowhere([]) == "no nodes available to schedule pods"
    reasons = [["Insufficient cpu"], ["Insufficient cpu", "Too many pods"]]
    assert why_nowhere(reasons) == "0/2 nodes are available: 1 Too many pods, 2 Insufficient cpu."
