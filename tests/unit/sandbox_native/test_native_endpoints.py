"""The EndpointSlices of a Service."""

from __future__ import annotations

from typing import Any

import pytest
from native_samples import LABELS, pod

from coalmine.kube.resources import Object, labels_of, name_of
from coalmine_sandbox.native.endpoints.slices import CONTROLLER, Changes, endpoint, find_port, reconcile

SIDECAR = {"name": "s", "image": "s", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 17080}]}


def service(**spec: Any) -> Object:
    ports = [{"port": 80, "targetPort": "web", "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "app", "namespace": "test", "uid": "s", "labels": {"team": "a"}},
        "spec": {"clusterIP": "10.0.0.1", "selector": LABELS, "ports": ports, **spec},
    }


def backend(name: str, number: int = 80, **how: Any) -> Object:
    """A pod whose application listens at `number` under the name web."""
    port = {"name": "web", "containerPort": number, "protocol": "TCP"}
    return pod(name, containers=[{"name": "app", "image": "app:1", "ports": [port]}], **how)


def stored(changes: Changes) -> list[Object]:
    """What was created, as the API server gives it back."""
    for number, each in enumerate(changes.create):
        each["metadata"].update(name=f"app-{number}", uid=f"slice-{number}")
    return changes.create


def shown(slices: list[Object]) -> list[tuple[list[int], list[str]]]:
    """Ports and pods of each slice."""
    return [([p["port"] for p in s["ports"]], [e["targetRef"]["name"] for e in s["endpoints"]]) for s in slices]


def test_one_slice() -> None:
    changes = reconcile(service(), [backend("b"), backend("a")], [])
    (made,) = changes.create
    assert shown([made]) == [([80], ["a", "b"])]
    assert made["addressType"] == "IPv4"
    assert made["metadata"]["generateName"] == "app-"
    assert labels_of(made) == {
        "team": "a",
        "kubernetes.io/service-name": "app",
        "endpointslice.kubernetes.io/managed-by": CONTROLLER,
    }
    assert made["metadata"]["ownerReferences"][0]["controller"] is True
    assert made["endpoints"][0] == {
        "addresses": ["127.0.0.1"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "test", "name": "a", "uid": "uid-a"},
        "nodeName": "node",
    }


@pytest.mark.parametrize(
    ("how", "publish", "expected"),
    [
        ({}, False, (True, True, False)),
        ({"ready": None}, False, (False, False, False)),
        ({"ready": None}, True, (True, False, False)),
        ({"deleting": True}, False, (False, True, True)),
        ({"deleting": True, "ready": None}, False, (False, False, True)),
        ({"deleting": True}, True, (True, True, True)),
    ],
)
def test_conditions(how: dict[str, Any], publish: bool, expected: tuple[bool, bool, bool]) -> None:
    found = endpoint(service(publishNotReadyAddresses=publish), backend("a", **how))["conditions"]
    assert (found["ready"], found["serving"], found["terminating"]) == expected


def test_pods_that_have_ended_or_no_address_are_left_out() -> None:
    pods = [backend("a", phase="Succeeded"), backend("b", address=""), backend("c", address="::1"), backend("d")]
    assert shown(reconcile(service(), pods, []).create) == [([80], ["d"])]


def test_the_sidecar_that_took_the_name_is_found_beside_plain_pods() -> None:
    unnamed = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 80}]}]
    injected = pod("b", containers=unnamed, initContainers=[SIDECAR])
    found = shown(reconcile(service(), [backend("a"), injected], []).create)
    assert sorted(found) == [([80], ["a"]), ([17080], ["b"])]


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (backend("a"), 80),
        (pod("b", initContainers=[SIDECAR]), 17080),
        (pod("c", initContainers=[{**SIDECAR, "restartPolicy": None}]), None),  # it does not run beside
        (backend("d", initContainers=[SIDECAR]), 80),  # the application's goes first
        (pod("e"), None),
    ],
)
def test_find_port(each: Object, expected: int | None) -> None:
    assert find_port(each, {"port": 80, "targetPort": "web"}) == expected


def test_find_port_goes_by_number_and_protocol() -> None:
    assert find_port(pod("a"), {"port": 80, "targetPort": 8080}) == 8080
    assert find_port(backend("a"), {"port": 80, "targetPort": "web", "protocol": "UDP"}) is None


def test_what_is_there_already_is_left_alone() -> None:
    pods = [backend("a"), backend("b")]
    current = stored(reconcile(service(), pods, []))
    assert reconcile(service(), pods, current) == Changes()


def test_changes_stay_in_their_slice() -> None:
    current = stored(reconcile(service(), [backend("a"), backend("b")], []))
    changes = reconcile(service(), [backend("b", ready=None), backend("c")], current)
    assert (changes.create, changes.delete) == ([], [])
    assert shown(changes.update) == [([80], ["b", "c"])]
    assert name_of(changes.update[0]) == "app-0"


def test_a_change_of_the_services_labels_is_passed_on() -> None:
    current = stored(reconcile(service(), [backend("a")], []))
    changed = service()
    changed["metadata"]["labels"] = {"team": "b"}
    (update,) = reconcile(changed, [backend("a")], current).update
    assert labels_of(update)["team"] == "b"


def test_without_endpoints_there_is_one_empty_slice() -> None:
    (empty,) = stored(reconcile(service(), [], []))
    assert (empty["ports"], empty["endpoints"]) == ([], [])
    assert reconcile(service(), [], [empty]) == Changes()


def test_a_slice_that_would_go_holds_what_is_new() -> None:
    """The last pod goes, or another port comes: the slice is written anew rather than replaced."""
    current = stored(reconcile(service(), [backend("a")], []))
    gone = reconcile(service(), [], current)
    assert (gone.create, gone.delete, shown(gone.update)) == ([], [], [([], [])])
    moved = reconcile(service(), [backend("a", 8080)], current)
    assert (moved.create, moved.delete, shown(moved.update)) == ([], [], [([8080], ["a"])])


def test_a_slice_of_a_service_before_is_deleted() -> None:
    (before,) = stored(reconcile(service(), [backend("a")], []))
    before["metadata"]["ownerReferences"][0]["uid"] = "older"
    changes = reconcile(service(), [backend("a")], [before])
    assert changes.delete == [before]
    assert shown(changes.create) == [([80], ["a"])]


def test_a_slice_holds_a_hundred() -> None:
    pods = [backend(f"p{n:03}") for n in range(150)]
    changes = reconcile(service(), pods, [])
    assert [len(each["endpoints"]) for each in changes.create] == [100, 50]
    current = stored(changes)
    more = reconcile(service(), [*pods, backend("q")], current)
    assert [len(each["endpoints"]) for each in more.update] == [51]


def test_headless_is_marked() -> None:
    (made,) = reconcile(service(clusterIP="None", ports=[]), [backend("a")], []).create
    assert labels_of(made)["service.kubernetes.io/headless"] == ""
    assert made["ports"] == []
    assert shown([made]) == [([], ["a"])]
