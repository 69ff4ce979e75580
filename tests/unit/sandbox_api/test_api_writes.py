"""Creating, changing and deleting: preconditions, generations, what may not be changed, what admission sees."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from api_stand import NOON, SOMEBODY, Stand, config_map, deployment, pod

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.authentication import ISSUER
from coalmine_sandbox.api.times import timestamp

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES = "/api/v1/namespaces/default/services"
WEB = f"{DEPLOYMENTS}/web"


async def made(stand: Stand, **spec: Any) -> Object:
    return await stand.ask("POST", DEPLOYMENTS, deployment(**spec))


# --- creating ----------------------------------------------------------------------------------


async def test_a_new_object_gets_what_the_system_gives(stand: Stand) -> None:
    sent = config_map("a", x="1")
    sent["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    created = await stand.ask("POST", MAPS, sent)
    about = created["metadata"]
    assert about["uid"] != "mine"
    assert about["creationTimestamp"] == timestamp(NOON)
    assert (about["namespace"], about["resourceVersion"]) == ("default", "1")


async def test_a_generated_name_is_not_seen_by_admission(stand: Stand) -> None:
    sent = config_map("")
    sent["metadata"] = {"generateName": "job-"}
    created = await stand.ask("POST", MAPS, sent)
    assert created["metadata"]["name"].startswith("job-")
    assert len(created["metadata"]["name"]) == 9
    (asked,) = stand.admission.asked
    assert asked.name == ""
    assert asked.object is not None
    assert "name" not in asked.object["metadata"]
    assert "uid" not in asked.object["metadata"]


async def test_what_exists_is_409(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    refused = await stand.ask("POST", MAPS, config_map("a"), status=409)
    assert (refused["reason"], refused["message"]) == ("AlreadyExists", 'configmaps "a" already exists')


async def test_a_dry_run_shows_and_stores_nothing(stand: Stand) -> None:
    shown = await stand.ask("POST", MAPS, config_map("a"), dryRun="All")
    assert shown["metadata"]["uid"]
    assert "resourceVersion" not in shown["metadata"]
    assert stand.store.version == 0
    assert stand.admission.asked[0].dry_run
    await stand.ask("GET", f"{MAPS}/a", status=404)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Bad_Name"}, "metadata.name: Invalid value"),
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"labels": {"a b": "c"}}, "metadata.labels: Invalid value"),
        ({"labels": {"a": "c d"}}, "a valid label must be an empty string or consist of"),
        (
            {"namespace": "other"},
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ],
)
async def test_bad_metadata_is_refused_in_the_real_words(stand: Stand, change: Object, message: str) -> None:
    sent = config_map("a")
    sent["metadata"] |= change
    answer = await stand.answer("POST", MAPS, sent)
    assert answer.status in (400, 422)
    assert message in json.loads(answer.body)["message"]


# --- unknown fields ------------------------------------------------------------------------------


async def test_unknown_fields_are_told_refused_or_ignored(stand: Stand) -> None:
    sent = deployment(replica=3)
    refused = await stand.ask("POST", DEPLOYMENTS, sent, fieldValidation="Strict", status=400)
    assert refused["message"] == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.replica"'
    )
    told = await stand.answer("POST", DEPLOYMENTS, sent)
    assert told.warnings == ('unknown field "spec.replica"',)
    assert "replica" not in json.loads(told.body)["spec"]
    ignored = await stand.answer("PUT", WEB, sent, fieldValidation="Ignore")
    assert (ignored.status, ignored.warnings) == (200, ())


async def test_a_field_that_stands_twice_is_told_with_its_path(stand: Stand) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","x":"2"}}'
    refused = await stand.ask("POST", MAPS, body, fieldValidation="Strict", status=400)
    assert 'duplicate field "data.x"' in refused["message"]


# --- changing ------------------------------------------------------------------------------------


async def test_generations(stand: Stand) -> None:
    """Spec and annotations count, labels and status do not."""
    assert (await made(stand))["metadata"]["generation"] == 1
    assert (await stand.patch(WEB, {"metadata": {"labels": {"a": "b"}}}))["metadata"]["generation"] == 1
    assert (await stand.patch(WEB, {"metadata": {"annotations": {"a": "b"}}}))["metadata"]["generation"] == 2
    assert (await stand.patch(WEB, {"spec": {"paused": True}}))["metadata"]["generation"] == 3
    assert (await stand.patch(f"{WEB}/status", {"status": {"replicas": 1}}))["metadata"]["generation"] == 3


async def test_status_and_spec_are_written_apart(stand: Stand) -> None:
    await made(stand)
    found = await stand.patch(WEB, {"status": {"replicas": 9}, "spec": {"replicas": 3}})
    assert (found["spec"]["replicas"], found["status"]) == (3, {})
    change = {"status": {"replicas": 9}, "spec": {"replicas": 4}, "metadata": {"labels": {"a": "b"}}}
    found = await stand.patch(f"{WEB}/status", change)
    assert (found["spec"]["replicas"], found["status"]) == (3, {"replicas": 9})
    assert "labels" not in found["metadata"]


async def test_a_patch_that_changes_nothing_is_no_write_but_is_asked_about(stand: Stand) -> None:
    before = await made(stand)
    stand.now += 60
    assert await stand.patch(WEB, {}) == before
    assert await stand.patch(WEB, {"spec": {"replicas": 2}}) == before
    assert [a.operation for a in stand.admission.asked] == ["CREATE", "UPDATE", "UPDATE"]
    assert stand.store.version == 1


@pytest.mark.parametrize("kind", ["merge", "strategic"])
async def test_a_stale_version_is_409(stand: Stand, kind: str) -> None:
    stale = (await made(stand))["metadata"]["resourceVersion"]
    current = await stand.patch(WEB, {"metadata": {"labels": {"n": "1"}}})
    change = {"metadata": {"resourceVersion": stale}, "spec": {"replicas": 5}}
    refused = await stand.patch(WEB, change, kind, status=409)
    assert refused["reason"] == "Conflict"
    assert "the object has been modified; please apply your changes to the latest version" in refused["message"]
    assert await stand.ask("GET", WEB) == current


async def test_a_put_without_a_version_overwrites_and_a_stale_one_does_not(stand: Stand) -> None:
    first = await made(stand)
    await stand.ask("PUT", WEB, deployment(replicas=3))
    refused = await stand.ask("PUT", WEB, {**first, "spec": {**first["spec"], "replicas": 9}}, status=409)
    assert refused["reason"] == "Conflict"
    other = {**deployment(), "metadata": {"name": "web", "uid": "another"}}
    assert (await stand.ask("PUT", WEB, other, status=409))["reason"] == "Conflict"
    assert (await stand.ask("PUT", f"{DEPLOYMENTS}/none", deployment("none"), status=404))["reason"] == "NotFound"


async def test_a_write_that_meets_another_is_asked_about_again_with_the_new_old(stand: Stand) -> None:
    await made(stand)
    asked, go_on = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def slowly(attributes: Attributes) -> None:
        if attributes.subresource:
            return
        assert attributes.old is not None
        seen.append(attributes.old["spec"]["replicas"])
        asked.set()
        await go_on.wait()

    stand.admission.mutator = slowly
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stand.patch(WEB, {"metadata": {"labels": {"n": "1"}}}))
        await asked.wait()
        await stand.patch(f"{WEB}/scale", {"spec": {"replicas": 7}})
        go_on.set()
    assert seen == [2, 7]
    assert (task.result()["spec"]["replicas"], task.result()["metadata"]["labels"]) == (7, {"n": "1"})


async def test_admission_sees_the_status_that_was_sent(stand: Stand) -> None:
    await made(stand)
    await stand.patch(WEB, {"status": {"replicas": 3}})
    attributes = stand.admission.asked[-1]
    assert attributes.object is not None
    assert attributes.object["status"] == {"replicas": 3}


async def test_what_a_webhook_sets_is_stored_and_owned_by_nobody(stand: Stand) -> None:
    await made(stand)

    async def hold(attributes: Attributes) -> Object:
        obj: Object = attributes.object or {}
        return {**obj, "spec": {**obj["spec"], "paused": True}}

    stand.admission.mutator = hold
    found = await stand.patch(WEB, {"metadata": {"labels": {"n": "1"}}})
    assert found["spec"]["paused"] is True
    assert "f:paused" not in json.dumps(found["metadata"]["managedFields"])


async def test_an_applied_object_is_created_and_its_conflicts_are_told(stand: Stand) -> None:
    created = await stand.patch(WEB, deployment(), "apply", fieldManager="one", status=201)
    assert created["metadata"]["managedFields"][0]["operation"] == "Apply"
    refused = await stand.patch(WEB, deployment(replicas=5), "apply", fieldManager="two", status=409)
    assert 'conflict with "one": .spec.replicas' in refused["message"]
    forced = await stand.patch(WEB, deployment(replicas=5), "apply", fieldManager="two", force="true")
    assert forced["spec"]["replicas"] == 5
    await stand.patch(WEB, deployment(), "apply", status=422)  # nobody applies without a name


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (WEB, {"spec": {"selector": {"matchLabels": {"app": "x"}}}}, "field is immutable"),
        (WEB, {"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}}, "`selector` does not match template"),
        (WEB, {"spec": {"replicas": -1}}, "must be greater than or equal to 0"),
        (WEB, {"spec": {"minReadySeconds": 900}}, "must be greater than minReadySeconds"),
        (WEB, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}}, "may not be 0 when"),
        (WEB, {"metadata": {"uid": "another"}}, "metadata.uid: Invalid value"),
        (f"{PODS}/one", {"spec": {"hostNetwork": True}}, "pod updates may not change fields other than"),
        (f"{SERVICES}/web", {"spec": {"clusterIP": "127.30.0.77"}}, "may not change once set"),
    ],
)
async def test_what_may_not_be_changed_is_422_in_the_real_words(
    stand: Stand, path: str, change: Object, message: str
) -> None:
    await made(stand)
    await stand.ask("POST", PODS, pod())
    await stand.ask("POST", SERVICES, service())
    refused = await stand.patch(path, change, status=422)
    assert message in refused["message"]


# --- scale ---------------------------------------------------------------------------------------


async def test_the_scale_is_a_view_of_replicas(stand: Stand) -> None:
    await made(stand)
    scale = await stand.ask("GET", f"{WEB}/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 0, "selector": "app=web"},
    )
    scale["spec"]["replicas"] = 0
    assert (await stand.ask("PUT", f"{WEB}/scale", scale))["spec"] == {}
    found = await stand.ask("GET", WEB)
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (0, 2)
    refused = await stand.ask("PUT", f"{WEB}/scale", scale, status=409)  # of the version before
    assert refused["reason"] == "Conflict"
    assert stand.admission.asked[-1].subresource == "scale"


# --- deleting --------------------------------------------------------------------------------------


async def test_a_delete_holds_only_for_the_uid_and_version_that_it_names(stand: Stand) -> None:
    created = await made(stand)
    for conditions in ({"uid": "another"}, {"resourceVersion": "99"}):
        refused = await stand.ask("DELETE", WEB, {"preconditions": conditions}, status=409)
        assert refused["reason"] == "Conflict"
    uid = created["metadata"]["uid"]
    done = await stand.ask("DELETE", WEB, {"preconditions": {"uid": uid}})
    assert (done["status"], done["details"]["uid"]) == ("Success", uid)
    await stand.ask("GET", WEB, status=404)


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", None)]
)
async def test_propagation_is_left_to_finalizers(stand: Stand, policy: str, finalizer: str | None) -> None:
    await made(stand)
    await stand.ask("DELETE", WEB, {"propagationPolicy": policy})
    if finalizer is None:
        await stand.ask("GET", WEB, status=404)
        return
    about = (await stand.ask("GET", WEB))["metadata"]
    assert about["finalizers"] == [finalizer]
    assert (about["deletionTimestamp"], about["deletionGracePeriodSeconds"]) == (timestamp(NOON), 0)
    assert about["generation"] == 2
    refused = await stand.patch(WEB, {"metadata": {"finalizers": [finalizer, "x.io/y"]}}, status=422)
    assert "no new finalizers can be added if the object is being deleted" in refused["message"]
    await stand.patch(WEB, {"metadata": {"finalizers": None}})
    await stand.ask("GET", WEB, status=404)


async def test_a_scheduled_pod_is_given_its_grace_which_can_only_be_shortened(stand: Stand) -> None:
    await stand.ask("POST", PODS, pod(nodeName="here"))
    gone = await stand.ask("DELETE", f"{PODS}/one")
    assert gone["metadata"]["deletionGracePeriodSeconds"] == 30
    assert gone["metadata"]["deletionTimestamp"] == timestamp(NOON + 30)
    again = await stand.ask("DELETE", f"{PODS}/one", {"gracePeriodSeconds": 60})
    assert again["metadata"]["deletionGracePeriodSeconds"] == 30
    stand.now += 2
    shorter = await stand.ask("DELETE", f"{PODS}/one", {"gracePeriodSeconds": 5})
    assert shorter["metadata"]["deletionTimestamp"] == timestamp(NOON + 5)
    # a status write never takes the deletion back
    kept = await stand.patch(f"{PODS}/one/status", {"status": {"phase": "Running"}})
    assert kept["metadata"]["deletionTimestamp"] == timestamp(NOON + 5)
    await stand.ask("DELETE", f"{PODS}/one", {"gracePeriodSeconds": 0})
    await stand.ask("GET", f"{PODS}/one", status=404)


async def test_a_pod_that_runs_nowhere_goes_at_once(stand: Stand) -> None:
    await stand.ask("POST", PODS, pod())
    await stand.ask("DELETE", f"{PODS}/one")
    await stand.ask("GET", f"{PODS}/one", status=404)


async def test_a_collection_is_deleted_by_selector(stand: Stand) -> None:
    for name, tier in (("a", "x"), ("b", "y")):
        sent = config_map(name)
        sent["metadata"]["labels"] = {"tier": tier}
        await stand.ask("POST", MAPS, sent)
    done = await stand.ask("DELETE", MAPS, labelSelector="tier=x")
    assert [item["metadata"]["name"] for item in done["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in (await stand.ask("GET", MAPS))["items"]] == ["b"]


async def test_a_namespace_waits_for_its_finalizer(stand: Stand) -> None:
    await stand.ask("POST", "/api/v1/namespaces", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}})
    gone = await stand.ask("DELETE", "/api/v1/namespaces/n")
    assert (gone["status"]["phase"], gone["spec"]) == ("Terminating", {"finalizers": ["kubernetes"]})
    assert "deletionTimestamp" in gone["metadata"]
    found = await stand.ask("GET", "/api/v1/namespaces/n")
    await stand.ask("PUT", "/api/v1/namespaces/n/finalize", {**found, "spec": {"finalizers": []}})
    await stand.ask("GET", "/api/v1/namespaces/n", status=404)


# --- services ----------------------------------------------------------------------------------------


def service(name: str = "web", **spec: Any) -> Object:
    ports = [{"port": 80, "targetPort": "web"}]
    body = {"selector": {"app": "web"}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


async def test_services_get_addresses_and_ports_of_their_own(stand: Stand) -> None:
    first = await stand.ask("POST", SERVICES, service("a"))
    second = await stand.ask("POST", SERVICES, service("b", type="NodePort"))
    addresses = [o["spec"]["clusterIP"] for o in (first, second)]
    assert len(set(addresses)) == 2
    assert all(address.startswith("127.30.0.") for address in addresses)
    assert 30000 <= second["spec"]["ports"][0]["nodePort"] < 32768
    refused = await stand.ask("POST", SERVICES, service("c", clusterIP=addresses[0]), status=422)
    assert "provided IP is already allocated" in refused["message"]
    headless = await stand.ask("POST", SERVICES, service("d", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    kept = await stand.ask("PUT", f"{SERVICES}/a", service("a", sessionAffinity="ClientIP"))
    assert kept["spec"]["clusterIP"] == addresses[0]


async def test_a_full_range_is_told(stand: Stand) -> None:
    for number in range(253):
        await stand.ask("POST", SERVICES, service(f"s{number}"))
    refused = await stand.ask("POST", SERVICES, service("last"), status=500)
    assert "range is full" in refused["message"]


# --- who meets whom --------------------------------------------------------------------------------


async def test_two_who_apply_what_is_not_there_both_have_their_way(stand: Stand) -> None:
    """Both find nothing; the second to come out of admission finds the first one's object, and merges."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(attributes: Attributes) -> None:
        if attributes.operation == "CREATE" and not asked.is_set():
            asked.set()
            await go_on.wait()

    stand.admission.mutator = slowly
    one, other = ({**config_map("a"), "data": {key: "1"}} for key in ("one", "other"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stand.patch(f"{MAPS}/a", one, "apply", fieldManager="one"))
        await asked.wait()
        await stand.patch(f"{MAPS}/a", other, "apply", fieldManager="other", status=201)
        go_on.set()
    assert task.result()["data"] == {"one": "1", "other": "1"}


async def test_what_a_webhook_makes_of_a_scale_holds_for_patches_too(stand: Stand) -> None:
    await made(stand)

    async def fewer(attributes: Attributes) -> Object:
        obj: Object = attributes.object or {}
        return {**obj, "spec": {"replicas": 4}} if attributes.subresource == "scale" else obj

    stand.admission.mutator = fewer
    assert (await stand.patch(f"{WEB}/scale", {"spec": {"replicas": 9}}))["spec"] == {"replicas": 4}
    assert (await stand.ask("GET", WEB))["spec"]["replicas"] == 4


async def test_a_json_patch_that_does_not_fit_tells_nothing_of_the_object(stand: Stand) -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    await stand.ask("POST", "/api/v1/namespaces/default/secrets", secret)
    for operation in (
        {"op": "test", "path": "/data/password", "value": "x"},
        {"op": "remove", "path": "/data/nothing"},
        {"op": "add", "path": "/data/password/x/y", "value": 1},
    ):
        refused = await stand.patch("/api/v1/namespaces/default/secrets/s", [operation], "json", status=422)
        assert refused["message"] == "the server rejected our request due to an error in our request"
        assert "details" not in refused


# --- who may ---------------------------------------------------------------------------------------


async def test_a_role_in_a_namespace_may_be_about_the_namespace(stand: Stand) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/mine"
    for name in ("mine", "theirs"):
        await stand.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]}
    await stand.ask("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SOMEBODY.name}
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    await stand.ask("POST", f"{roles}/rolebindings", binding)
    await stand.ask("GET", "/api/v1/namespaces/mine", user=SOMEBODY)
    refused = await stand.ask("GET", "/api/v1/namespaces/theirs", user=SOMEBODY, status=403)
    assert refused["message"] == (
        'namespaces "theirs" is forbidden: User "somebody" cannot get resource "namespaces" in API group "" '
        'in the namespace "theirs"'
    )
    refused = await stand.ask("GET", "/api/v1/namespaces", user=SOMEBODY, status=403)
    assert refused["message"].endswith("at the cluster scope")


@pytest.mark.parametrize("asked", [[], ["vault"]])
async def test_a_token_request_is_answered_with_its_audiences(stand: Stand, asked: list[str]) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await stand.ask("POST", accounts, {"metadata": {"name": "robot"}})
    made = await stand.ask("POST", f"{accounts}/robot/token", {"spec": {"audiences": asked}})
    assert made["spec"] == {"audiences": asked or [ISSUER], "expirationSeconds": 3600}
