"""Decision tables: what may be told of a rollout now, and what of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cli_objects as make
import pytest

from coalmine.model import names
from coalmine.model.pod_status import pod_containers, pod_status
from coalmine.model.rollout import Phase, Revision, Status, Wish
from coalmine.model.view import Image, Kind, Mark, Node, standing, view
from coalmine_cli.call import DONE, REFUSED
from coalmine_cli.picture import selector_text
from coalmine_cli.status import Verdict, verdict

RETRY = Wish(make.print_of("3.0"), 2).to_json()


@pytest.mark.parametrize(
    ("status", "generation", "spec", "phase", "exit_code"),
    [
        (make.HEALTHY, 3, {}, Phase.HEALTHY, DONE),
        (make.HEALTHY, 4, {}, Phase.PROGRESSING, None),
        (replace(make.HEALTHY, workload_generation=5), 4, {}, Phase.HEALTHY, DONE),
        (Status(), 1, {}, Phase.PROGRESSING, None),
        (make.AT_20, 3, {}, Phase.PROGRESSING, None),
        (make.PAUSED, 3, {}, Phase.PAUSED, None),
        (make.ABORTED, 3, {}, Phase.DEGRADED, REFUSED),
        (make.ABORTED, 4, {}, Phase.PROGRESSING, None),
        (make.ABORTED, 3, {"retry": RETRY}, Phase.PROGRESSING, None),
        (make.ABORTED, 3, {"retry": RETRY | {"attempt": 1}}, Phase.DEGRADED, REFUSED),
        (make.ABORTED, 3, {"retry": RETRY | {"revision": "another"}}, Phase.DEGRADED, REFUSED),
        (make.AT_20, 3, {"retry": Wish(make.print_of("2.0"), 1).to_json()}, Phase.PROGRESSING, None),
    ],
)
def test_verdict(status: Status, generation: int, spec: dict[str, Any], phase: Phase, exit_code: int | None) -> None:
    result = verdict(make.deployment(generation=generation), make.rollout(status, **spec))
    assert (result.phase, result.exit_code) == (phase, exit_code)


def test_a_rollout_of_an_earlier_deployment_tells_nothing() -> None:
    deployment = make.deployment()
    deployment["metadata"]["uid"] = "made-anew"
    assert standing(deployment, make.rollout(make.HEALTHY), make.HEALTHY)[0] is Phase.PROGRESSING


def test_a_rollout_that_is_not_made_yet_is_worth_waiting_for() -> None:
    assert verdict(make.deployment(), None).exit_code is None
    assert str(Verdict(Phase.HEALTHY, "")) == "Healthy"


def child(story: make.Story, *path: str) -> Node:
    node = view(story.deployment, story.rollout, story.replica_sets, story.pods, story.runs).tree
    for name in path:
        node = next(n for n in node.children if n.name.endswith(name))
    return node


def revisions(story: make.Story) -> list[str]:
    return [n.name for n in child(story).children]


def test_the_canary_is_shown_as_the_revision_that_it_will_become() -> None:
    assert revisions(make.progressing()) == ["revision:2", "revision:1"]


def test_a_canary_whose_replica_set_is_still_to_be_made() -> None:
    story = make.progressing()
    del story.replica_sets[1], story.pods[-1], story.runs[:]
    story.rollout = make.rollout(replace(make.AT_20, canary=replace(make.revision("2.0", 0), replica_set="")))
    assert revisions(story) == ["revision:2", "revision:1"]
    assert child(story, "revision:2").children == ()


def test_the_analysis_of_a_canary_whose_replica_set_is_gone() -> None:
    story = make.degraded()
    story.replica_sets.pop()
    assert [n.kind for n in child(story, "revision:3").children] == [Kind.ANALYSIS_RUN]


def test_an_older_revision_that_comes_back_is_shown_as_the_new_one() -> None:
    """v1 -> v2 -> v1: the hidden ReplicaSet still carries the number that it had."""
    hidden = make.replica_set("1.0", 1, 3600)
    hidden["metadata"]["annotations"][names.REVISION] = "1"
    back = Revision(make.print_of("1.0"), hidden["metadata"]["name"], 3, ("particule/simplecolorapi:1.0",))
    status = replace(make.AT_20, stable=make.revision("2.0", 2), canary=back)
    story = make.Story(make.deployment(), make.rollout(status), [hidden, make.replica_set("2.0", 5, 600, number=2)])
    assert revisions(story) == ["revision:3", "revision:2"]
    assert child(story, "revision:3", make.HASHES["1.0"]).info == ("canary",)


def test_a_superseded_canary_comes_last() -> None:
    story = make.progressing()
    story.replica_sets.append(make.replica_set("3.0", 1, 60))
    assert revisions(story) == ["revision:2", "revision:1", "superseded"]
    assert child(story, "superseded", make.HASHES["3.0"]).info == ()


def test_in_the_handover_the_replica_set_is_neither_hidden_nor_owned_yet() -> None:
    story = make.progressing()
    del story.replica_sets[1]["metadata"]["annotations"][names.ROLE]
    assert child(story, "revision:2", make.HASHES["2.0"]).info == ("canary",)


def test_a_run_without_annotation_is_found_by_its_name() -> None:
    story = make.paused()
    del story.runs[0]["metadata"]["annotations"]
    assert child(story, "revision:2", "-1").kind is Kind.ANALYSIS_RUN


def test_dry_runs_do_not_count() -> None:
    story = make.paused()
    story.runs[0]["status"]["metricResults"].append({"name": "trial", "dryRun": True, "failed": 7})
    assert [c.mark for c in child(story, "revision:2", "-1").info] == [Mark.GOOD, Mark.WARNING]


@pytest.mark.parametrize(
    ("change", "status", "mark"),
    [
        ({}, "Healthy", Mark.GOOD),
        ({"status": {"replicas": 1, "availableReplicas": 0, "observedGeneration": 1}}, "Progressing", Mark.WAITING),
        ({"status": {"replicas": 2, "availableReplicas": 2, "observedGeneration": 1}}, "Progressing", Mark.WAITING),
        ({"status": {"replicas": 1, "availableReplicas": 1, "observedGeneration": 0}}, "Progressing", Mark.WAITING),
        ({"spec": {"replicas": 0}}, "Progressing", Mark.WAITING),
        ({"spec": {"replicas": 0}, "status": {"observedGeneration": 1}}, "ScaledDown", Mark.IDLE),
        (
            {
                "status": {
                    "observedGeneration": 1,
                    "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}],
                }
            },
            "Degraded",
            Mark.BAD,
        ),
    ],
)
def test_replica_set(change: dict[str, Any], status: str, mark: Mark) -> None:
    story = make.progressing()
    story.replica_sets[1] |= change
    if "spec" in change:
        story.replica_sets[1]["spec"] = {**change["spec"], "template": make.template("2.0")}
    node = child(story, "revision:2", make.HASHES["2.0"])
    assert (node.status, node.mark) == (status, mark)


def test_images_while_a_canary_is_taken_back() -> None:
    story = make.degraded()
    story.replica_sets[2] = make.replica_set("3.0", 1, 60)

    def images() -> tuple[Image, ...]:
        return view(story.deployment, story.rollout, story.replica_sets).images

    both = (Image("particule/simplecolorapi:2.0", ("stable",)), Image("particule/simplecolorapi:3.0", ("canary",)))
    assert images() == both
    story.replica_sets[2] = make.replica_set("3.0", 0, 60)
    assert images() == both[:1]
    story.rollout = make.rollout(Status(workload_generation=3))
    assert images() == (Image("particule/simplecolorapi:3.0"),)


def container(name: str = "colorapi", **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": "running" in state, "started": "running" in state, "restartCount": 0, "state": state}


SIDECAR = container(names.SIDECAR_CONTAINER, running={})
READY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]
UNREADY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}]
UNBORN = [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "False"}]


@pytest.mark.parametrize(
    ("changes", "status", "ready"),
    [
        ({}, "Running", 2),
        ({"phase": "Pending", "conditions": [], "initContainerStatuses": [], "containerStatuses": []}, "Pending", 0),
        (
            {
                "conditions": UNBORN,
                "initContainerStatuses": [container(names.SIDECAR_CONTAINER, waiting={"reason": "PodInitializing"})],
                "containerStatuses": [container(waiting={"reason": "PodInitializing"})],
            },
            "Init:0/1",
            0,
        ),
        (
            {
                "conditions": UNBORN,
                "initContainerStatuses": [container(names.SIDECAR_CONTAINER, waiting={"reason": "ImagePullBackOff"})],
                "containerStatuses": [container(waiting={"reason": "PodInitializing"})],
            },
            "Init:ImagePullBackOff",
            0,
        ),
        (
            {
                "initContainerStatuses": [
                    container(names.SIDECAR_CONTAINER, terminated={"exitCode": 1, "reason": "Error"})
                ]
            },
            "Init:Error",
            1,
        ),
        ({"containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"})]}, "CrashLoopBackOff", 1),
        ({"containerStatuses": [container(terminated={"exitCode": 137, "reason": "OOMKilled"})]}, "OOMKilled", 1),
        ({"containerStatuses": [container(terminated={"exitCode": 3})]}, "ExitCode:3", 1),
        ({"containerStatuses": [container(terminated={"exitCode": 137, "signal": 9})]}, "Signal:9", 1),
        (
            {
                "phase": "Succeeded",
                "initContainerStatuses": [
                    container(names.SIDECAR_CONTAINER, terminated={"exitCode": 0, "reason": "Completed"})
                ],
                "containerStatuses": [container(terminated={"exitCode": 0, "reason": "Completed"})],
            },
            "Completed",
            0,
        ),
        ({"phase": "Failed", "reason": "Evicted", "containerStatuses": [], "initContainerStatuses": []}, "Evicted", 0),
    ],
)
def test_pod_status(changes: dict[str, Any], status: str, ready: int) -> None:
    pod = make.pod("1.0", "p4kfl", 60, **changes)
    assert (pod_status(pod), pod_containers(pod).ready, pod_containers(pod).total) == (status, ready, 2)


@pytest.mark.parametrize(
    ("changes", "status", "mark"),
    [
        ({}, "Running", Mark.GOOD),
        ({"conditions": UNREADY}, "Running", Mark.WAITING),
        ({"conditions": UNBORN, "initContainerStatuses": [container("x")]}, "Init:0/1", Mark.WAITING),
        ({"containerStatuses": [container(waiting={"reason": "ErrImagePull"})]}, "ErrImagePull", Mark.BAD),
        (
            {"containerStatuses": [container(waiting={"reason": "ContainerCreating"})]},
            "ContainerCreating",
            Mark.WAITING,
        ),
    ],
)
def test_pod_mark(changes: dict[str, Any], status: str, mark: Mark) -> None:
    story = make.progressing()
    story.pods[-1]["status"] |= changes
    node = child(story, "revision:2", make.HASHES["2.0"], "c7jkf")
    assert (node.status, node.mark) == (status, mark)


@pytest.mark.parametrize(("reason", "status"), [(None, "Terminating"), ("NodeLost", "Unknown")])
def test_a_pod_that_ends(reason: str | None, status: str) -> None:
    pod = make.pod("1.0", "p4kfl", 60, reason=reason)
    pod["metadata"]["deletionTimestamp"] = make.stamp(1)
    assert pod_status(pod) == status


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"app": "colorapi", "tier": "web"}}, "app=colorapi,tier=web"),
        (
            {
                "matchLabels": {"app": "a"},
                "matchExpressions": [
                    {"key": "x", "operator": "In", "values": ["1", "2"]},
                    {"key": "y", "operator": "NotIn", "values": ["3"]},
                    {"key": "z", "operator": "Exists"},
                    {"key": "w", "operator": "DoesNotExist"},
                ],
            },
            "app=a,x in (1,2),y notin (3),z,!w",
        ),
    ],
)
def test_selector_text(selector: dict[str, Any], text: str) -> None:
    assert selector_text(selector) == text
