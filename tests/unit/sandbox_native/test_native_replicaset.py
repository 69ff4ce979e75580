"""ReplicaSets: which pods go first, what the status says, and how pods are made when they are refused."""

from __future__ import annotations

import asyncio

import pytest
from native_samples import NOW, pod, replica_set

from coalmine.kube.resources import Object, name_of
from coalmine.kube.verbs import ApiError
from coalmine_sandbox.api.selectors import Selector, of_object
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.owners import claims
from coalmine_sandbox.native.pod_control import pod_of, slow_start
from coalmine_sandbox.native.replicaset.ranking import DELETION_COST, to_delete
from coalmine_sandbox.native.replicaset.status import calculate, next_available

FIRST = [
    # the one that goes, the one that stays
    pytest.param(pod("a", node=""), pod("b", ready=None), id="without a node"),
    pytest.param(pod("a", ready=None, phase="Pending"), pod("b", ready=None, restarts=9), id="pending"),
    pytest.param(pod("a", ready=None), pod("b", restarts=9), id="not ready"),
    pytest.param(pod("a", annotations={DELETION_COST: "-5"}), pod("b", ready=1000), id="of lower cost"),
    pytest.param(pod("a"), pod("b", annotations={DELETION_COST: "5"}), id="than one of cost"),
    pytest.param(pod("a", ready=1), pod("b", ready=100), id="ready for a shorter time"),
    pytest.param(pod("a", ready=100, restarts=1), pod("b", ready=100), id="with more restarts"),
    pytest.param(pod("a", ready=None, age=1), pod("b", ready=None, age=100), id="younger"),
    pytest.param(pod("a", ready=90), pod("b", ready=100), id="of about one age by its uid"),
]


@pytest.mark.parametrize(("goes", "stays"), FIRST)
def test_ranking(goes: Object, stays: Object) -> None:
    for pods in ([goes, stays], [stays, goes]):
        assert to_delete(pods, pods, 1, NOW) == [goes]


def test_an_unreadable_cost_is_none() -> None:
    pods = [pod("b", ready=90, annotations={DELETION_COST: "much"}), pod("a", ready=100)]
    assert to_delete(pods, pods, 1, NOW) == [pods[1]]


def test_doubled_up_pods_go_first() -> None:
    one, other = pod("a", node="n1"), pod("b", node="n2")
    related = [one, other, pod("c", node="n2", owner="other")]
    assert to_delete([one, other], related, 1, NOW) == [other]


def test_all_go_when_all_are_to_go() -> None:
    pods = [pod("a"), pod("b")]
    assert to_delete(pods, pods, 3, NOW) == pods


def test_status_counts() -> None:
    rs = replica_set("rs", 4)
    rs["spec"]["minReadySeconds"] = 5
    full = rs["spec"]["template"]["metadata"]["labels"]
    pods = [pod("a", labels=full, ready=9), pod("b", ready=2), pod("c", ready=None)]
    found = calculate(rs, pods, [pod("d", deleting=True)], "", NOW)
    assert found == {
        "replicas": 3,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 1,
    }
    assert next_available(rs, pods, NOW) == 3


def test_nothing_is_awaited_without_min_ready_seconds() -> None:
    assert next_available(replica_set("rs", 1), [pod("a")], NOW) is None


def test_a_failure_is_told_until_it_is_over() -> None:
    rs = replica_set("rs", 2)
    failed = calculate(rs, [pod("a")], [], "exceeded quota: small", NOW)
    (condition,) = failed["conditions"]
    assert (condition["reason"], condition["message"]) == ("FailedCreate", "exceeded quota: small")
    rs["status"] = failed
    assert calculate(rs, [pod("a")], [], "another one", NOW + 9)["conditions"] == [condition]
    assert "conditions" not in calculate(rs, [pod("a"), pod("b")], [], "", NOW)


def test_claims() -> None:
    rs = replica_set("rs", 1)
    labels = rs["spec"]["selector"]["matchLabels"]
    mine, lost = pod("mine", labels=labels), pod("lost", labels={})
    orphan, others = pod("orphan", labels=labels, owner=""), pod("others", labels=labels, owner="x")
    going = pod("going", labels=labels, owner="", deleting=True)
    every = [mine, lost, orphan, others, going, pod("unrelated", owner="")]
    found = claims(rs, of_object(rs["spec"]["selector"]), every)
    assert [list(map(name_of, each)) for each in found] == [["mine"], ["orphan"], ["lost"]]
    assert claims(rs, Selector(), [orphan]).adopt == []
    rs["metadata"]["deletionTimestamp"] = timestamp(NOW)
    found = claims(rs, of_object(rs["spec"]["selector"]), every)
    assert [list(map(name_of, each)) for each in found] == [["mine"], [], []]


def test_a_pod_of_the_template() -> None:
    rs = replica_set("rs", 1)
    rs["spec"]["template"]["metadata"]["annotations"] = {"a": "b"}
    made = pod_of(rs)
    assert made["metadata"]["generateName"] == "rs-"
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert made["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is True
    assert made["spec"] == rs["spec"]["template"]["spec"]
    assert made["spec"] is not rs["spec"]["template"]["spec"]


@pytest.mark.parametrize(("count", "good", "calls"), [(0, 0, 0), (10, 99, 10), (10, 0, 1), (10, 3, 7), (2, 1, 2)])
def test_slow_start(count: int, good: int, calls: int) -> None:
    """Batches of 1, 2, 4: none follows one in which a pod was refused."""
    asked = 0

    async def create() -> ApiError | None:
        nonlocal asked
        asked += 1
        return None if asked <= good else ApiError(403, "Forbidden", "exceeded quota")

    error = asyncio.run(slow_start(count, create))
    assert asked == calls
    assert (error is None) is (good >= count)
