"""Lists and their pages, tables, discovery, OpenAPI, who may do what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_stand import NOON, SOMEBODY, Stand, config_map, deployment, pod

from coalmine.kube.resources import DEPLOYMENTS as RESOURCE
from coalmine.kube.resources import Object
from coalmine_sandbox.api.http import Answer
from coalmine_sandbox.api.protobuf.decode import decode
from coalmine_sandbox.api.times import age, timestamp
from coalmine_sandbox.api.user import ANONYMOUS, UNAUTHENTICATED, User

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
THINGS = "/apis/example.com/v1/namespaces/default/things"
CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "shortNames": ["th"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1},
                                    "colour": {"type": "string", "default": "blue"},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
            }
        ],
    },
}


async def fill(stand: Stand, *names: str) -> None:
    for name in names:
        await stand.ask("POST", MAPS, config_map(name))


async def define(stand: Stand) -> None:
    """Make the kind Thing; it is served in the next turn of the loop."""
    await stand.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    stream = await stand.watch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    async for lines in stream.chunks:
        if b'"Established"' in lines:
            break


# --- lists -----------------------------------------------------------------------------------------


async def test_a_list_goes_on_as_it_was_begun(stand: Stand) -> None:
    await fill(stand, "a", "b", "c", "d")
    first = await stand.ask("GET", MAPS, limit="2")
    about = first["metadata"]
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert about["remainingItemCount"] == 2
    await stand.ask("DELETE", f"{MAPS}/c")
    await fill(stand, "e")
    rest = await stand.ask("GET", MAPS, limit="2", **{"continue": about["continue"]})
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d"]
    assert rest["metadata"] == {"resourceVersion": about["resourceVersion"]}
    stand.store.compact()
    refused = await stand.ask("GET", MAPS, **{"continue": about["continue"]}, status=410)
    assert refused["reason"] == "Expired"


async def test_selectors_select(stand: Stand) -> None:
    await fill(stand, "a", "b")
    await stand.patch(f"{MAPS}/a", {"metadata": {"labels": {"n": "1"}}})
    for query in ({"labelSelector": "n in (1,2)"}, {"fieldSelector": "metadata.name=a"}):
        found = await stand.ask("GET", MAPS, **query)
        assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    path = "/api/v1/namespaces/default/pods"
    await stand.ask("POST", path, pod("one", nodeName="here"))
    await stand.ask("POST", path, pod("two"))
    found = await stand.ask("GET", "/api/v1/pods", fieldSelector="spec.nodeName=here,status.phase!=Running")
    assert [item["metadata"]["name"] for item in found["items"]] == ["one"]


async def test_events_of_both_groups_are_the_same_objects(stand: Stand) -> None:
    about = {"kind": "Pod", "name": "one", "namespace": "default"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "message": "hello", "reason": "Said", "type": "Normal"}
    await stand.ask("POST", "/api/v1/namespaces/default/events", event)
    new = await stand.ask("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (new["apiVersion"], new["note"], new["regarding"]) == ("events.k8s.io/v1", "hello", about)
    found = await stand.ask("GET", "/apis/events.k8s.io/v1/events", fieldSelector="regarding.name=one")
    assert len(found["items"]) == 1
    other = {**new, "metadata": {"name": "f"}, "note": "again"}
    await stand.ask("POST", "/apis/events.k8s.io/v1/namespaces/default/events", other)
    assert (await stand.ask("GET", "/api/v1/namespaces/default/events/f"))["message"] == "again"
    fields = {"fieldSelector": "involvedObject.name=one,involvedObject.kind=Pod"}
    assert len((await stand.ask("GET", "/api/v1/events", **fields))["items"]) == 2


# --- tables ----------------------------------------------------------------------------------------


async def cells(stand: Stand, path: str) -> list[list[Any]]:
    return [row["cells"] for row in (await stand.ask("GET", path, headers=TABLE))["rows"]]


async def test_a_deployment_as_a_row(stand: Stand) -> None:
    path = RESOURCE.path("default")
    await stand.ask("POST", path, deployment())
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1, "replicas": 2}
    await stand.patch(f"{path}/web/status", {"status": status})
    stand.now += 130
    assert await cells(stand, path) == [["web", "1/2", 2, 1, "2m10s", "app", "python:1", "app=web"]]


def status_of(**container: Any) -> Object:
    return {"phase": "Running", "containerStatuses": [{"name": "app", "ready": False, "restartCount": 0, **container}]}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        (status_of(ready=True, state={"running": {}}), ["1/1", "Running", "0"]),
        (
            status_of(state={"waiting": {"reason": "CrashLoopBackOff"}}, restartCount=3),
            ["0/1", "CrashLoopBackOff", "3"],
        ),
        (
            status_of(
                state={"running": {}},
                restartCount=1,
                ready=True,
                lastState={"terminated": {"exitCode": 1, "finishedAt": timestamp(NOON - 65)}},
            ),
            ["1/1", "Running", "1 (65s ago)"],
        ),
        (status_of(state={"terminated": {"exitCode": 0, "reason": "Completed"}}), ["0/1", "Completed", "0"]),
        (status_of(state={"terminated": {"exitCode": 3}}), ["0/1", "ExitCode:3", "0"]),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"name": "side", "restartCount": 0, "state": {"running": {}}}],
            },
            ["0/1", "Init:0/0", "0"],
        ),
    ],
)
async def test_a_pods_row_tells_the_most_telling(stand: Stand, status: Object, shown: list[str]) -> None:
    path = "/api/v1/namespaces/default/pods"
    await stand.ask("POST", path, pod(nodeName="here"))
    await stand.patch(f"{path}/one/status", {"status": status})
    (row,) = await cells(stand, path)
    assert row[1:4] == shown
    await stand.ask("DELETE", f"{path}/one")
    assert (await cells(stand, path))[0][2] == "Terminating"


async def test_a_sidecar_counts_as_a_container(stand: Stand) -> None:
    path = "/api/v1/namespaces/default/pods"
    side = {"name": "side", "image": "x", "restartPolicy": "Always"}
    await stand.ask("POST", path, pod(nodeName="here", initContainers=[side]))
    status = status_of(ready=True, state={"running": {}})
    begun = {"name": "side", "ready": True, "started": True, "restartCount": 0, "state": {"running": {}}}
    await stand.patch(f"{path}/one/status", {"status": {**status, "initContainerStatuses": [begun]}})
    assert (await cells(stand, path))[0][1:3] == ["2/2", "Running"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (30600, "8h"),
        (172800, "2d"),
        (90000, "25h"),
        (-5, "<invalid>"),
        (63072000, "2y"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert age(seconds) == text


# --- custom kinds ------------------------------------------------------------------------------------


async def test_a_definition_is_served_as_it_says(stand: Stand) -> None:
    await define(stand)
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 3, "x": 1}}
    answer = await stand.answer("POST", THINGS, thing)
    made = json.loads(answer.body)
    assert answer.warnings == ('unknown field "spec.x"',)
    assert (made["spec"], made["metadata"]["generation"]) == ({"size": 3, "colour": "blue"}, 1)
    refused = await stand.patch(f"{THINGS}/t", {"spec": {"size": 0}}, status=422)
    assert "spec.size" in refused["message"]
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    change = {"status": ready, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}}
    found = await stand.patch(f"{THINGS}/t/status", change)
    assert (found["spec"]["size"], found["status"], found["metadata"]["generation"]) == (3, ready, 1)
    assert "labels" not in found["metadata"]
    assert (await stand.patch(f"{THINGS}/t", {"spec": {"size": 4}}))["metadata"]["generation"] == 2
    assert await cells(stand, THINGS) == [["t", 4, "True", "0s"]]
    listed = await stand.ask("GET", "/apis/example.com/v1")
    assert [each["name"] for each in listed["resources"]] == ["things", "things/status"]
    document = await stand.ask("GET", "/openapi/v3/apis/example.com/v1")
    assert "com.example.v1.Thing" in document["components"]["schemas"]
    await stand.patch(f"{THINGS}/t", [], "strategic", status=415)


async def test_a_definition_takes_its_objects_along(stand: Stand) -> None:
    await define(stand)
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 3}}
    await stand.ask("POST", THINGS, thing)
    stream = await stand.watch(THINGS)
    await stand.ask("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com")
    async for lines in stream.chunks:
        if b'"DELETED"' in lines:
            break
    assert (await stand.answer("GET", THINGS)).status == 404


# --- discovery -------------------------------------------------------------------------------------


async def test_both_discoveries_tell_the_same(stand: Stand) -> None:
    groups = await stand.ask("GET", "/apis")
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    whole = await stand.ask("GET", "/apis", headers=accept)
    assert [g["name"] for g in groups["groups"]] == [i["metadata"]["name"] for i in whole["items"]]
    plain = await stand.ask("GET", "/apis/apps/v1")
    (apps,) = (i for i in whole["items"] if i["metadata"]["name"] == "apps")
    names = [r["name"] for r in plain["resources"]]
    assert names == [
        "deployments",
        "deployments/scale",
        "deployments/status",
        "replicasets",
        "replicasets/scale",
        "replicasets/status",
    ]
    assert [r["resource"] for r in apps["versions"][0]["resources"]] == ["deployments", "replicasets"]
    scale = apps["versions"][0]["resources"][0]["subresources"][0]
    assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


async def test_openapi_tells_that_a_patch_takes_field_validation(stand: Stand) -> None:
    index = await stand.ask("GET", "/openapi/v3")
    assert index["paths"]["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    document = await stand.ask("GET", "/openapi/v3/apis/apps/v1")
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in [p["name"] for p in patch["parameters"]]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        mine = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return mine + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    "path", ["/nope", "/api/v2", "/apis/none/v1", "/api/v1/foos", "/openapi/v2", "/apis/apps/v1/x/y/z"]
)
async def test_unknown_paths_are_404_as_text(stand: Stand, path: str) -> None:
    answer = await stand.answer("GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", MAPS), ("POST", f"{MAPS}/a"), ("POST", "/api/v1/configmaps"), ("DELETE", "/api/v1/namespaces")],
)
async def test_what_a_path_does_not_take_is_405(stand: Stand, method: str, path: str) -> None:
    assert (await stand.answer(method, path, {})).status == 405


# --- who may ---------------------------------------------------------------------------------------


async def test_who_has_no_role_is_told_what_is_missing(stand: Stand) -> None:
    refused = await stand.ask("GET", f"{MAPS}/a", user=SOMEBODY, status=403)
    assert refused["message"] == (
        'configmaps "a" is forbidden: User "somebody" cannot get resource "configmaps" in API group "" '
        'in the namespace "default"'
    )
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]}
    group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await stand.ask("POST", f"{group}/roles", role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}]
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects}
    await stand.ask("POST", f"{group}/rolebindings", binding)
    await fill(stand, "a")
    await stand.ask("GET", f"{MAPS}/a", user=SOMEBODY)
    await stand.ask("PUT", f"{MAPS}/a", config_map("a"), user=SOMEBODY, status=403)
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "configmaps", "namespace": "default"}}}
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await stand.ask("POST", reviews, review, user=SOMEBODY))["status"] == {"allowed": True}
    review["spec"]["resourceAttributes"]["verb"] = "list"
    assert (await stand.ask("POST", reviews, review, user=SOMEBODY))["status"] == {"allowed": False}


async def test_nobody_sees_only_what_is_public(stand: Stand) -> None:
    nobody = User(ANONYMOUS, (UNAUTHENTICATED,))
    assert (await stand.answer("GET", "/readyz", user=nobody)).body == b"ok"
    assert (await stand.answer("GET", "/version", user=nobody)).status == 200
    assert (await stand.answer("GET", "/apis", user=nobody)).status == 403
    assert (await stand.answer("GET", MAPS, user=nobody)).status == 403


async def test_a_token_is_issued_for_an_account(stand: Stand) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts"
    await stand.ask("POST", path, {"metadata": {"name": "robot"}})
    made = await stand.ask("POST", f"{path}/robot/token", {"spec": {"expirationSeconds": 3600}})
    assert made["status"]["expirationTimestamp"] == timestamp(NOON + 3600)
    assert made["status"]["token"].count(".") == 2
    await stand.ask("POST", f"{path}/robot/token", {"spec": {"expirationSeconds": 5}}, status=422)
    await stand.ask("POST", f"{path}/none/token", {"spec": {}}, status=404)


# --- protobuf ----------------------------------------------------------------------------------------


def test_what_kubectl_sends_is_read() -> None:
    """``kubectl create configmap a --from-literal=k=v``, as it goes over the wire."""
    about = b"\x0a\x02v1\x12\x09ConfigMap"
    metadata = b"\x0a\x01a\x12\x00\x1a\x07default\x42\x00"
    data = b"\x0a\x01k\x12\x01v"
    raw = b"\x0a" + bytes([len(metadata)]) + metadata + b"\x12" + bytes([len(data)]) + data
    body = b"k8s\x00\x0a" + bytes([len(about)]) + about + b"\x12" + bytes([len(raw)]) + raw + b"\x1a\x00\x22\x00"
    found = decode(body)
    assert (found["kind"], found["data"], found["metadata"]["name"]) == ("ConfigMap", {"k": "v"}, "a")
    assert found["metadata"]["creationTimestamp"] is None


async def test_an_answer_is_json_whatever_was_sent(stand: Stand) -> None:
    found = await stand.raw("GET", "/api/v1/namespaces", headers={"accept": "application/vnd.kubernetes.protobuf"})
    assert isinstance(found, Answer)
    assert found.content_type == "application/json"
