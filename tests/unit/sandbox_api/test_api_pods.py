"""pods/binding and pods/eviction."""

from __future__ import annotations

from typing import Any

from api_stand import Stand, pod

from coalmine.kube.resources import PODS as RESOURCE
from coalmine.kube.resources import Object
from coalmine_sandbox.api.kinds import BUDGETS

PODS = RESOURCE.path("default")
RUNNING: Object = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def binding(node: str = "here") -> Object:
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "one"}, "target": target}


def eviction(**options: Any) -> Object:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}, **options}


async def running(stand: Stand, allowed: int) -> None:
    """A running pod under a budget that allows so many disruptions."""
    sent = pod(nodeName="here")
    sent["metadata"]["labels"] = {"app": "web"}
    await stand.ask("POST", PODS, sent)
    await stand.patch(f"{PODS}/one/status", {"status": RUNNING})
    path = BUDGETS.path("default")
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await stand.ask("POST", path, {"metadata": {"name": "b"}, "spec": spec})
    status = {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1}
    await stand.patch(f"{path}/b/status", {"status": status})


async def test_a_pod_is_bound_once(stand: Stand) -> None:
    await stand.ask("POST", PODS, pod())
    await stand.ask("POST", f"{PODS}/one/binding", binding(), status=201)
    found = await stand.ask("GET", f"{PODS}/one")
    assert found["spec"]["nodeName"] == "here"
    assert [(c["type"], c["status"]) for c in found["status"]["conditions"]] == [("PodScheduled", "True")]
    refused = await stand.ask("POST", f"{PODS}/one/binding", binding("there"), status=409)
    assert 'pod one is already assigned to node "here"' in refused["message"]


async def test_a_budget_that_allows_nothing_refuses_with_429(stand: Stand) -> None:
    await running(stand, 0)
    refused = await stand.ask("POST", f"{PODS}/one/eviction", eviction(), status=429)
    assert refused["reason"] == "TooManyRequests"
    assert refused["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert (
        refused["details"]["causes"][0]["message"] == "The disruption budget b needs 1 healthy pods and has 1 currently"
    )
    assert "deletionTimestamp" not in (await stand.ask("GET", f"{PODS}/one"))["metadata"]


async def test_an_allowed_eviction_uses_the_budget_up_and_tells_why(stand: Stand) -> None:
    await running(stand, 1)
    await stand.ask("POST", f"{PODS}/one/eviction", eviction(), status=201)
    found = await stand.ask("GET", f"{PODS}/one")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30
    assert [c["reason"] for c in found["status"]["conditions"] if c["type"] == "DisruptionTarget"] == [
        "EvictionByEvictionAPI"
    ]
    status = (await stand.ask("GET", f"{BUDGETS.path('default')}/b"))["status"]
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["one"])


async def test_a_budget_that_was_not_looked_at_yet_says_when_to_ask_again(stand: Stand) -> None:
    await running(stand, 1)
    await stand.patch(f"{BUDGETS.path('default')}/b", {"spec": {"minAvailable": 2}})
    answer = await stand.answer("POST", f"{PODS}/one/eviction", eviction())
    assert (answer.status, answer.headers) == (429, {"Retry-After": "10"})


async def test_an_unready_pod_may_go_when_enough_others_are_healthy(stand: Stand) -> None:
    await running(stand, 0)
    await stand.patch(f"{PODS}/one/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    await stand.ask("POST", f"{PODS}/one/eviction", eviction(deleteOptions={"gracePeriodSeconds": 0}), status=201)
    await stand.ask("GET", f"{PODS}/one", status=404)
