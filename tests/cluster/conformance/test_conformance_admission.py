"""Admission: which writes a webhook is asked about, what it is shown, and what becomes of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conformance_app import App, fingerprints, template
from conformance_webhook import Webhook, ours, registered, rule

from coalmine.kube.resources import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Object,
    annotations_of,
    controller_of,
    labels_of,
)
from coalmine.kube.verbs import JSON_PATCH, STRATEGIC, ApiError
from coalmine.model.condition import failed_fingerprint, failure_condition
from coalmine.model.names import CANARY, HOLD, LABEL_TRUE, SIDECAR_LABEL
from coalmine.model.reasons import Reason
from coalmine_webhook.patch import members
from coalmine_webhook.review import CONFLICT, Allowed, Denied, Notice, Outcome, Patched, Review
from coalmine_webhook.status import decide_status

pytestmark = pytest.mark.cluster

UPDATES = rule("deployments", "UPDATE")
STATUS = rule("deployments/status", "UPDATE")


def note(review: Review) -> Outcome:
    """Adds an annotation that is not there yet."""
    assert review.object is not None
    return patched(review.object, {"noted": "yes"})


def hold(review: Review) -> Outcome:
    """The smallest hold: a changed template is held; what was held on oldObject stays so, whatever was written."""
    assert review.object is not None
    assert review.old is not None
    if HOLD not in annotations_of(review.old) and len(fingerprints(review.object, review.old)) == 1:
        return Allowed()
    operations = members(review.object["metadata"].get("annotations"), {HOLD: "x"}, "metadata", "annotations")
    paused = members(review.object["spec"], {"paused": True}, "spec")
    return Patched((*operations, *paused)) if operations or paused else Allowed()


def patched(obj: Object, annotations: dict[str, str]) -> Outcome:
    operations = members(obj["metadata"].get("annotations"), annotations, "metadata", "annotations")
    return Patched(operations) if operations else Allowed()


async def at_rest(app: App) -> None:
    """Make the Deployment and wait until nobody writes to it: a write that meets another one is asked about twice."""
    await app.start(1)
    await app.settle()


# --- what is asked -------------------------------------------------------------------------------


async def test_an_update_shows_both_versions_and_who_writes(app: App, tmp_path: Path) -> None:
    """A review of an UPDATE carries the new object, the old one as it was stored, and the user.

    The hold is decided from oldObject; only the controller's user may release.
    """
    await at_rest(app)
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        old = await app.get()
        await app.patch({"metadata": {"labels": {"n": "1"}}})
        (review,) = webhook.at("/update")
    assert (review.operation, review.subresource, review.namespace, review.name) == (
        "UPDATE",
        "",
        app.namespace,
        app.name,
    )
    assert review.user == "admin"
    assert review.old is not None
    assert review.object is not None
    old["metadata"].pop("managedFields")
    assert {**review.old, "metadata": review.old["metadata"] | {"managedFields": None}} == {
        **old,
        "metadata": old["metadata"] | {"managedFields": None},
    }
    assert labels_of(review.object) == {"n": "1"}


async def test_an_empty_patch_passes_through_admission(app: App, tmp_path: Path) -> None:
    """An empty merge patch is an UPDATE: the webhook is asked, and what it adds is stored.

    The controller's touch lets the webhook record a completed template as stable.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        webhook.answer("/update", note)
        await app.patch({})
        assert annotations_of(await app.get())["noted"] == "yes"
        assert webhook.at("/update")


async def test_the_scale_subresource_is_not_intercepted(app: App, tmp_path: Path) -> None:
    """A rule for `deployments` is not asked about a write to the scale subresource.

    An HPA is never slowed down nor refused by us; so replicas may change under a handover.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        await app.scale(2)
        await app.patch({})
        reviews = webhook.at("/update")
        assert {r.subresource for r in reviews} == {""}
        assert {r.old["spec"]["replicas"] for r in reviews if r.old} == {2}


async def test_status_writes_are_asked_about_apart(app: App, tmp_path: Path) -> None:
    """Status writes go to a rule for `deployments/status`, the native controller's too, and not to `deployments`.

    The rule on status is its own webhook, with its own policy for failures.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=UPDATES, status=STATUS) as webhook:
        await app.scale(2)
        await app.complete()
        await app.patch({})
        assert {r.user for r in webhook.at("/update")} == {"admin"}
        reviews = webhook.at("/status")
        assert {r.subresource for r in reviews} == {"status"}
        assert {r.user for r in reviews} == {"system:serviceaccount:kube-system:deployment-controller"}
        last = reviews[-1].object
        assert last is not None
        assert last["status"]["observedGeneration"] == last["metadata"]["generation"]


async def test_match_conditions_look_at_either_version(app: App, tmp_path: Path) -> None:
    """matchConditions select a write when either version of the Deployment is annotated, and no other.

    Nobody else's Deployments ever wait for our webhook.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=ours("deployments")) as webhook:
        await app.patch({"metadata": {"labels": {"n": "1"}}})
        assert webhook.at("/update") == []
        for annotations in ({CANARY: "auto"}, {"other": "x"}, {CANARY: None}, {"other": "y"}):
            await app.patch({"metadata": {"annotations": annotations}})
        pairs = {
            tuple(CANARY in annotations_of(o or {"metadata": {}}) for o in (r.old, r.object))
            for r in webhook.at("/update")
        }
        assert pairs == {(False, True), (True, True), (True, False)}


async def test_a_dry_run_is_asked_about_and_stores_nothing(app: App, tmp_path: Path) -> None:
    """A dry run passes through the webhook, marked as one, and shows its answer; nothing is stored.

    Argo CD's server-side diff and Flux's dry run see what would really be stored.
    """
    await at_rest(app)
    before = await app.get()
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        webhook.answer("/update", note)
        query = {"dryRun": "All"}
        shown = await app.lab.client.patch(DEPLOYMENTS, app.namespace, app.name, {}, query=query)
        assert annotations_of(shown)["noted"] == "yes"
        assert [r.dry_run for r in webhook.reviews["/update"]] == [True]
        assert await app.get() == before


async def test_pause_set_image_resume_changes_no_template_at_the_resume(app: App, tmp_path: Path) -> None:
    """After rollout pause and set image, the resume is an UPDATE in which both versions have the new template.

    Why the hold compares with `stable` rather than looking for an edge.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        assert (await app.rollout("pause")).code == 0
        assert (await app.kubectl("set", "image", f"deployment/{app.name}", "app=python:2")).code == 0
        assert (await app.rollout("resume")).code == 0
        resume = webhook.at("/update")[-1]
        assert resume.old is not None
        assert resume.object is not None
        assert resume.old["spec"]["paused"] is True
        assert "paused" not in resume.object["spec"]
        assert len(fingerprints(resume.old, resume.object)) == 1


async def test_a_write_that_meets_another_is_asked_about_again(app: App, tmp_path: Path) -> None:
    """When the object changed while the webhook was asked, the API server asks again, with the new oldObject.

    Why the answer to a review depends on nothing but that review.
    """
    await at_rest(app)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: Review) -> Outcome:
        asked.set()
        await go_on.wait()
        return Allowed()

    async with registered(app, tmp_path, update=UPDATES) as webhook, asyncio.TaskGroup() as group:
        webhook.answer("/update", slowly)
        group.create_task(app.patch({"metadata": {"labels": {"n": "1"}}}))
        await asked.wait()
        await app.scale(2)
        go_on.set()

        async def again() -> bool:
            return len(webhook.at("/update")) > 1

        await app.lab.until(again, "the webhook is asked again")
        replicas = [r.old["spec"]["replicas"] for r in webhook.at("/update") if r.old]
    assert (replicas[0], replicas[-1]) == (1, 2)


async def test_a_pod_shows_its_replica_set_and_no_name_yet(app: App, tmp_path: Path) -> None:
    """A pod's review carries the reference to its ReplicaSet and no name yet; objectSelector goes by its labels.

    Injection finds by the owner whether it is a canary's pod.
    """
    async with registered(app, tmp_path, pod=ours("pods")) as webhook:
        await app.start(1, template=template(labels={SIDECAR_LABEL: LABEL_TRUE}))
        other = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}, "spec": template()["spec"]}
        await app.lab.client.create(PODS, app.namespace, other)
        (review,) = webhook.at("/pod")
        assert review.object is not None
        owner = controller_of(review.object)
        assert owner is not None
        assert (owner["kind"], owner["name"]) == (REPLICA_SETS.kind, await app.of("1"))
        assert "name" not in review.object["metadata"]
        assert review.name == f"{await app.of('1')}-"


# --- what becomes of the answer ------------------------------------------------------------------


@contextlib.asynccontextmanager
async def held(app: App, directory: Path) -> AsyncIterator[Webhook]:
    """Applied by a GitOps tool, then applied again with release 2, which the webhook held."""
    await app.lab.apply([written(app, "1")], namespace=app.namespace, manager="gitops")
    await app.complete()
    async with registered(app, directory, update=UPDATES) as webhook:
        webhook.answer("/update", hold)
        await app.lab.apply([written(app, "2")], namespace=app.namespace, manager="gitops")
        assert await is_held(app)
        yield webhook


def written(app: App, release: str) -> Object:
    """The Deployment as it stands in Git."""
    return app.manifest(1, template=template(release))


async def is_held(app: App) -> bool:
    found = await app.get()
    return found["spec"].get("paused") is True and HOLD in annotations_of(found)


async def by_server_side_apply(app: App) -> None:
    await app.lab.apply([written(app, "3")], namespace=app.namespace, manager="gitops")


async def by_client_side_apply(app: App) -> None:
    code, out, err = await app.kubectl("apply", "-f", "-", stdin=json.dumps(written(app, "3")))
    assert code == 0, out + err


async def by_replace(app: App) -> None:
    code, out, err = await app.kubectl("replace", "-f", "-", stdin=json.dumps(written(app, "3")))
    assert code == 0, out + err


async def by_resume(app: App) -> None:
    code, out, err = await app.rollout("resume")
    assert code == 0, out + err


async def by_hand(app: App) -> None:
    await app.patch({"metadata": {"annotations": {HOLD: None}}, "spec": {"paused": False}}, kind=STRATEGIC)


async def by_json_patch(app: App) -> None:
    operations: Any = [{"op": "remove", "path": "/spec/paused"}, {"op": "remove", "path": "/metadata/annotations"}]
    await app.lab.client.patch(DEPLOYMENTS, app.namespace, app.name, operations, kind=JSON_PATCH)


@pytest.mark.parametrize(
    "write", [by_server_side_apply, by_client_side_apply, by_replace, by_resume, by_hand, by_json_patch]
)
async def test_what_a_webhook_derives_from_the_old_object_survives(
    app: App, tmp_path: Path, write: Callable[[App], Awaitable[None]]
) -> None:
    """A hold that the webhook derives from oldObject survives every way of writing the Deployment without it.

    Server-side and client-side apply, replace, resume, patches: whoever writes and however, the hold stays.
    """
    async with held(app, tmp_path):
        await write(app)
        assert await is_held(app)


async def test_what_a_webhook_sets_is_owned_by_nobody(app: App, tmp_path: Path) -> None:
    """Fields that a webhook set have no owner in managedFields: a later apply by anybody does not remove them.

    No fight with a GitOps tool over `spec.paused`, which is not in its manifest.
    """
    async with held(app, tmp_path):
        managed = (await app.get())["metadata"]["managedFields"]
    fields = [m.get("fieldsV1", {}) for m in managed]
    assert fields
    assert not any("f:paused" in f.get("f:spec", {}) for f in fields)
    assert not any(f"f:{HOLD}" in f.get("f:metadata", {}).get("f:annotations", {}) for f in fields)


async def test_a_server_side_diff_of_a_held_deployment_finds_nothing(app: App, tmp_path: Path) -> None:
    """kubectl diff --server-side of what is in Git against the held Deployment finds no difference.

    A held release is in sync: what is live differs from Git only in what Git does not mention.
    """
    async with held(app, tmp_path):
        arguments = ("diff", "--server-side", "--field-manager=gitops", "-f", "-")
        code, out, err = await app.kubectl(*arguments, stdin=json.dumps(written(app, "2")))
        assert (code, out) == (0, ""), err
        code, out, _ = await app.kubectl(*arguments, stdin=json.dumps(written(app, "3")))
        assert code == 1
        assert {line[1:].strip() for line in out.splitlines() if line.startswith("+ ")} >= {"image: python:3"}
        assert "paused" not in "".join(line for line in out.splitlines() if line[:1] in "+-")


async def test_kubectl_shows_a_refusal_with_its_reason(app: App, tmp_path: Path) -> None:
    """A refusal's reason and sentence reach the person at kubectl, as do an answer's warnings.

    Codes and sentences from one table, shown where the write was made.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        webhook.answer("/update", lambda _: Denied(Reason.BAD_RELEASE, "say it in a sentence"))
        code, _, err = await app.kubectl("label", "deployment", app.name, "n=1")
        assert code == 1
        assert f"Error from server ({Reason.BAD_RELEASE.value})" in err
        assert "denied the request: say it in a sentence" in err
        webhook.answer("/update", lambda _: Allowed((Notice(Reason.HELD, "a canary comes first"),)))
        code, _, err = await app.kubectl("label", "deployment", app.name, "n=1")
        assert code == 0
        assert "Warning: a canary comes first" in err


async def test_a_refusal_with_409_is_tried_again_by_kubectl_apply_alone(app: App, tmp_path: Path) -> None:
    """A patch that a webhook refuses with 409 is asked about once; kubectl's client-side apply tries again by itself.

    "Handover in progress, try again in a few seconds": apply does so, everybody else is told.
    """
    await at_rest(app)
    refusals = iter([True, True])

    def busy(_: Review) -> Outcome:
        if next(refusals, False):
            return Denied(Reason.HANDOVER_IN_PROGRESS, "try again in a few seconds", CONFLICT)
        return Allowed()

    async with registered(app, tmp_path, update=UPDATES) as webhook:
        webhook.answer("/update", busy)
        with pytest.raises(ApiError) as refused:
            await app.patch({"metadata": {"labels": {"n": "1"}}})
        assert (refused.value.status, len(webhook.at("/update"))) == (CONFLICT, 1)
        await by_client_side_apply(app)
        assert next(refusals, None) is None
        assert len(webhook.at("/update")) >= 3  # that of apply was refused once, and then not
        assert (await app.get())["spec"]["template"]["spec"]["containers"][0]["image"] == "python:3"


async def test_reinvoked_it_sees_its_own_first_pass_and_the_same_old_object(app: App, tmp_path: Path) -> None:
    """A webhook with IfNeeded is asked again when a later one changed the object; oldObject is the same.

    On the second pass our own hold is on the new object and not on oldObject: that is how it is told from a real one.
    """

    def pin(review: Review) -> Outcome:
        assert review.object is not None
        old: Object = review.object["spec"]["template"]["metadata"].get("annotations") or {}
        operations = members(old, {"digest": "abc"}, "spec", "template", "metadata", "annotations") if old else ()
        whole = members(None, {"digest": "abc"}, "spec", "template", "metadata", "annotations")
        return Patched(operations or whole) if "digest" not in old else Allowed()

    await app.start(1)
    before = fingerprints(await app.get())
    await app.patch({"metadata": {"annotations": {CANARY: "auto"}}})
    await app.settle()
    first = ours("deployments")
    async with registered(app, tmp_path, first=first, second=UPDATES) as webhook:
        webhook.answer("/first", note)
        webhook.answer("/second", pin)
        await app.hold("2")
        one, two, *_ = webhook.at("/first")
        assert one.object is not None
        assert two.object is not None
        assert one.old == two.old
        assert fingerprints(one.old or {}) == before
        assert "noted" not in annotations_of(one.object)
        assert annotations_of(two.object)["noted"] == "yes"
        assert "digest" in two.object["spec"]["template"]["metadata"]["annotations"]


# --- with the webhook down -----------------------------------------------------------------------


async def test_down_it_stops_writes_to_annotated_deployments_only(app: App, tmp_path: Path) -> None:
    """With failurePolicy Fail and the webhook down, writes to annotated Deployments are refused, all others pass.

    A template cannot slip past the hold; nobody else is touched by our outage.
    """
    await app.start(1)
    other = App(app.lab, app.namespace, "other")
    manifest = other.manifest(0, selector={"matchLabels": {"app": "other"}})
    manifest["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    manifest["metadata"]["annotations"] = {CANARY: "auto"}
    await app.lab.client.create(DEPLOYMENTS, app.namespace, manifest)
    async with registered(app, tmp_path, update=ours("deployments")) as webhook:
        await webhook.stop()
        with pytest.raises(ApiError) as refused:
            await other.patch({"metadata": {"labels": {"n": "1"}}})
        assert "failed calling webhook" in refused.value.message
        await other.scale(1)  # an HPA goes on
        await app.patch({"metadata": {"labels": {"n": "1"}}})


async def test_a_deletion_updates_the_object_that_goes(app: App, tmp_path: Path) -> None:
    """A foreground deletion ends with an UPDATE, by the garbage collector, of an object with a deletionTimestamp.

    Why objects on their way out are left out by a matchCondition.
    """
    await app.start(1)
    async with registered(app, tmp_path, update=UPDATES) as webhook:
        await app.lab.client.delete(DEPLOYMENTS, app.namespace, app.name, propagation="Foreground")

        async def gone() -> bool:
            return await app.lab.client.find(DEPLOYMENTS, app.namespace, app.name) is None

        await app.lab.until(gone, "the Deployment is gone")
        last = webhook.at("/update")[-1]
    assert last.user == "system:serviceaccount:kube-system:generic-garbage-collector"
    assert last.object is not None
    assert "deletionTimestamp" in last.object["metadata"]


async def test_down_it_hangs_no_deletion(app: App, tmp_path: Path) -> None:
    """With the webhook down, a foreground deletion of an annotated Deployment comes to its end.

    An outage of ours never keeps anything from being deleted.
    """
    await app.start(1)
    await app.patch({"metadata": {"annotations": {CANARY: "auto"}}})
    async with registered(app, tmp_path, update=ours("deployments")) as webhook:
        await webhook.stop()
        await app.lab.client.delete(DEPLOYMENTS, app.namespace, app.name, propagation="Foreground")

        async def gone() -> bool:
            return await app.lab.client.find(DEPLOYMENTS, app.namespace, app.name) is None

        await app.lab.until(gone, "the Deployment is gone")


async def test_down_it_stops_no_pod(app: App, tmp_path: Path) -> None:
    """With failurePolicy Ignore and the webhook down, pods are made as they are.

    An outage delays a release; it never stops a pod.
    """
    async with registered(app, tmp_path, pod=ours("pods")) as webhook:
        await webhook.stop()
        await app.start(1, template=template(labels={SIDECAR_LABEL: LABEL_TRUE}))
        assert webhook.at("/pod") == []


# --- the status rule -----------------------------------------------------------------------------


async def hold_named(app: App, release: str) -> str:
    """Hold `release` with its fingerprint in our annotation; the fingerprint."""
    patch: Object = {"spec": {"paused": True, "template": template(release)}}
    shown = await app.lab.client.patch(DEPLOYMENTS, app.namespace, app.name, patch, query={"dryRun": "All"})
    (fingerprint,) = fingerprints(shown)
    await app.patch({**patch, "metadata": {"annotations": {HOLD: fingerprint}}})
    return fingerprint


async def test_the_old_failure_goes_with_the_write_that_observes_the_next_release(app: App, tmp_path: Path) -> None:
    """The status write that moves observedGeneration passes through the webhook, which takes an old failure out.

    `set image && rollout status` waits for the next release; the failure of the one before cannot fail it.
    """
    await app.start(1)
    async with registered(app, tmp_path, status=ours("deployments-status")) as webhook:
        webhook.answer("/status", decide_status)
        second = await hold_named(app, "2")
        await app.observed()
        condition = failure_condition(second, "the analysis failed", "2026-01-02T03:04:05Z")
        await app.patch({"status": {"conditions": [condition]}}, "status", kind=STRATEGIC)
        await app.settle()
        assert failed_fingerprint(await app.condition("Progressing")) == second
        assert webhook.at("/status") == []  # the expression keeps all other status writes away, this failure's too

        await hold_named(app, "3")
        code, out, err = await app.rollout("status", "--watch=false")
        assert code == 0, out + err
        await app.observed()
        assert (await app.condition("Progressing"))["reason"] == "DeploymentPaused"
        code, out, err = await app.rollout("status", "--watch=false")
        assert code == 0, err
        assert "0 out of 1 new replicas have been updated" in out

        asked = len(webhook.at("/status"))
        assert asked >= 1
        await app.scale(2)
        await app.settle()
        assert len(webhook.at("/status")) == asked


async def test_a_status_review_carries_the_annotations(app: App, tmp_path: Path) -> None:
    """In a review of a status write the object has the Deployment's metadata as it is stored.

    The status rule knows from it which template is held.
    """
    await app.start(1)
    await app.patch({"metadata": {"annotations": {HOLD: "x"}}})
    async with registered(app, tmp_path, status=STATUS) as webhook:
        await app.settle()
        seen = [r.object for r in webhook.at("/status")]
        assert seen
        assert all(obj is not None and annotations_of(obj)[HOLD] == "x" for obj in seen)
