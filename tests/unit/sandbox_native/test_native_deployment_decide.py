"""What the Deployment controller decides: one look at a time, told as what it writes."""

from __future__ import annotations

from typing import Any

import pytest
from native_samples import NOW, deployment, pod, replica_set, template

from coalmine.kube.resources import Object, annotations_of, name_of
from coalmine.model.names import DESIRED_REPLICAS, MAX_REPLICAS, POD_TEMPLATE_HASH, REVISION
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.deployment import revisions
from coalmine_sandbox.native.deployment.decide import (
    CreateSet,
    Decision,
    DeleteSet,
    UpdateSet,
    WriteStatus,
    decide,
    old_pods_left,
)

PAUSED = {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused", "message": "Deployment is paused"}
DONE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def look(d: Object, *owned: Object, old_pods: bool = False, now: float = NOW) -> Decision:
    return decide(d, owned, old_pods=old_pods, now=now)


def scaled(found: Decision) -> dict[str, int]:
    """The last size that each ReplicaSet is given, where it is one that it had not."""
    writes = [w for w in found.writes if isinstance(w, UpdateSet | CreateSet) and w.event]
    return {name_of(w.replica_set): w.replica_set["spec"]["replicas"] for w in writes}


def created(found: Decision) -> list[Object]:
    return [w.replica_set for w in found.writes if isinstance(w, CreateSet)]


def deleted(found: Decision) -> list[str]:
    return [name_of(w.replica_set) for w in found.writes if isinstance(w, DeleteSet)]


def status(found: Decision) -> Object:
    """The status that stands in the end."""
    return [w for w in found.writes if isinstance(w, WriteStatus)][-1].deployment["status"]


def progressing(found: Decision) -> Object:
    return next(dict(c) for c in status(found)["conditions"] if c["type"] == "Progressing")


def condition(reason: str, *, age: float = 0.0, value: str = "True", message: str = "") -> Object:
    at = timestamp(NOW - age)
    return {
        "type": "Progressing",
        "status": value,
        "reason": reason,
        "message": message,
        "lastUpdateTime": at,
        "lastTransitionTime": at,
    }


def counts(replicas: int, updated: int, available: int, **more: Any) -> Object:
    return {
        "observedGeneration": 3,
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        **more,
    }


# --- paused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", [False, True])
def test_paused_makes_no_replica_set_and_tells_so(scaling: bool) -> None:
    found = look(deployment(4, "app:2", paused=True), replica_set("v1", 3 if scaling else 4, sizes=(4, 5)))
    assert not created(found)
    assert scaled(found) == ({"v1": 4} if scaling else {})
    assert {key: progressing(found)[key] for key in PAUSED} == PAUSED


PAUSED_SCALES = [
    pytest.param([("v1", 2, 2, 9, (2, 3)), ("v0", 0, 0, 99, None)], {"v1": 4}, id="the one that has pods"),
    pytest.param([("v1", 0, 0, 9, None), ("v0", 0, 0, 99, None)], {"v1": 4}, id="the youngest"),
    pytest.param([("v1", 0, 0, 9, None), ("match", 0, 0, 99, None)], {"match": 4}, id="the one that matches"),
    pytest.param([("v1", 4, 4, 9, (4, 5)), ("match", 4, 4, 1, (4, 5))], {"v1": 0}, id="saturated"),
    pytest.param([("v1", 4, 4, 9, (4, 5)), ("match", 4, 3, 1, (4, 5))], {"v1": 1}, id="one not available"),
    pytest.param([("v1", 4, 4, 9, (4, 5)), ("match", 4, 4, 1, None)], {"v1": 2, "match": 3}, id="not told the sizes"),
    pytest.param([("v1", 4, 4, 9, (4, 5)), ("match", 2, 2, 1, (4, 5))], {"v1": 3}, id="a smaller one"),
    pytest.param([], {}, id="nothing"),
]


@pytest.mark.parametrize(("sets", "expected"), PAUSED_SCALES)
def test_paused_scales(sets: list[tuple[str, int, int, float, Any]], expected: dict[str, int]) -> None:
    owned = [
        replica_set(name, size, have, age=age, sizes=told, image="app:2" if name == "match" else f"app:{name}")
        for name, size, have, age, told in sets
    ]
    d = deployment(4, "app:2", paused=True, status=counts(8, 4, 8))
    assert scaled(look(d, *owned)) == expected


def test_paused_recreate_knows_no_proportions() -> None:
    d = deployment(2, "app:2", paused=True, strategy={"type": "Recreate"})
    found = look(d, replica_set("v1", 2, age=9, sizes=(2, 2)), replica_set("v2", 1, image="app:2", sizes=(2, 2)))
    assert scaled(found) == {}


def test_paused_keeps_a_failure_told() -> None:
    failure = condition("ProgressDeadlineExceeded", value="False", message="canary aborted")
    d = deployment(4, "app:2", paused=True, status=counts(4, 0, 4, conditions=[failure]))
    assert progressing(look(d, replica_set("v1", 4, sizes=(4, 5)))) == failure


def test_resumed_is_told_before_anything_else() -> None:
    d = deployment(4, "app:2", status=counts(4, 0, 4, conditions=[condition("DeploymentPaused", value="Unknown")]))
    first = look(d, replica_set("v1", 4, sizes=(4, 5))).writes[0]
    assert isinstance(first, WriteStatus)
    assert first.deployment["status"]["conditions"][-1]["reason"] == "DeploymentResumed"


def test_without_a_deadline_a_pause_is_not_told() -> None:
    d = deployment(4, paused=True, progressDeadlineSeconds=2**31 - 1)
    assert [c["type"] for c in status(look(d, replica_set("v1", 4, sizes=(4, 5))))["conditions"]] == ["Available"]


def test_scaling_notes_the_sizes() -> None:
    (write,) = [w for w in look(deployment(3, surge=3), replica_set("v1", 2, revision=1)).writes if scaled_(w)]
    assert annotations_of(write.replica_set)[DESIRED_REPLICAS] == "3"
    assert annotations_of(write.replica_set)[MAX_REPLICAS] == "6"
    assert write.event == "Scaled up replica set v1 from 2 to 3"


def scaled_(write: object) -> bool:
    return isinstance(write, UpdateSet) and bool(write.event)


def test_scaling_alone_is_no_rollout() -> None:
    """Two with pods, in the middle of an update: a scaling keeps their proportions and makes no progress of its own."""
    old = replica_set("v1", 4, age=9, sizes=(8, 10), revision=1)
    new = replica_set("v2", 6, age=1, sizes=(8, 10), image="app:2", revision=2)
    found = look(deployment(16, "app:2", surge=4, status=counts(10, 6, 10)), old, new)
    assert scaled(found) == {"v1": 8, "v2": 12}


# --- the new ReplicaSet and its revision -----------------------------------------------------------


def test_a_first_replica_set() -> None:
    found = look(deployment(4, annotations={"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"}))
    (made,) = created(found)
    pod_hash = made["metadata"]["labels"][POD_TEMPLATE_HASH]
    assert name_of(made) == f"app-{pod_hash}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "app", POD_TEMPLATE_HASH: pod_hash}
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "app", POD_TEMPLATE_HASH: pod_hash}
    assert annotations_of(made) == {"team": "a", REVISION: "1", DESIRED_REPLICAS: "4", MAX_REPLICAS: "5"}
    assert scaled(found) == {name_of(made): 4}
    assert progressing(found)["reason"] == "NewReplicaSetCreated"
    assert progressing(found)["message"] == f'Created new replica set "{name_of(made)}"'
    assert found.writes[-1].deployment["metadata"]["annotations"][REVISION] == "1"  # type: ignore[union-attr]


def test_a_collision_changes_the_name() -> None:
    names = {name_of(created(look(deployment(status={"collisionCount": n} if n else {})))[0]) for n in range(3)}
    assert len(names) == 3


def test_the_hash_is_stable_and_has_the_native_letters() -> None:
    assert revisions.template_hash(template(), None) == "5b85b966b9"
    assert set(revisions.template_hash(template(), 1)) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_the_oldest_equal_one_is_the_new_one() -> None:
    older = replica_set("zz", 0, image="app:2", age=5)
    younger = replica_set("aa", 0, image="app:2", age=1)
    found = look(deployment(1, "app:2"), replica_set("v1", 1, age=9, revision=1), younger, older)
    assert scaled(found) == {"zz": 1}
    assert not created(found)


def test_a_revision_that_comes_back_keeps_its_history() -> None:
    first = replica_set("v1", 0, age=9, revision=1)
    second = replica_set("v2", 4, image="app:2", age=5, revision=2, sizes=(4, 5))
    found = look(deployment(4, paused=True), first, second)
    (write,) = [w for w in found.writes if isinstance(w, UpdateSet)]
    assert annotations_of(write.replica_set)[REVISION] == "3"
    assert annotations_of(write.replica_set)[revisions.REVISION_HISTORY] == "1"
    again = look(deployment(4, paused=True), write.replica_set, second)
    assert found.writes[-1] != again.writes[-1]
    assert again.writes[-1].deployment["metadata"]["annotations"][REVISION] == "3"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("history", "last", "expected"),
    [("", "1", "1"), ("1", "3", "1,3"), ("1,3", "12", "1,3,12")],
)
def test_history(history: str, last: str, expected: str) -> None:
    new = replica_set("v", 0, annotations={revisions.REVISION_HISTORY: history} if history else {}, revision=int(last))
    noted = revisions.noted_anew(deployment(), new, 99, exists=True)
    assert noted[revisions.REVISION_HISTORY] == expected


def test_history_is_bounded() -> None:
    long = ",".join(map(str, range(1000, 1399)))
    new = replica_set("v", 0, annotations={revisions.REVISION_HISTORY: long}, revision=1400)
    noted = revisions.noted_anew(deployment(), new, 2000, exists=True)[revisions.REVISION_HISTORY]
    assert len(noted) <= 2000
    assert noted.endswith(",1398,1400")


def test_an_unreadable_revision_stays() -> None:
    new = replica_set("v", 0, annotations={REVISION: "first"})
    assert revisions.noted_anew(deployment(), new, 2, exists=True)[REVISION] == "first"


def test_min_ready_seconds_are_passed_on() -> None:
    d = deployment(4, minReadySeconds=7)
    (write,) = [w for w in look(d, replica_set("v1", 4, revision=1, sizes=(4, 5))).writes if isinstance(w, UpdateSet)]
    assert write.replica_set["spec"]["minReadySeconds"] == 7


@pytest.mark.parametrize(
    "change",
    [{"labels": {"app": "app", "role": "canary"}}, {"annotations": {"at": "noon"}}],
)
def test_templates_that_differ(change: Object) -> None:
    other = {**template(), "metadata": {**template()["metadata"], **change}}
    assert not revisions.equal_templates(template(), other)


def test_templates_that_differ_in_noise() -> None:
    noisy = template("app:1", **{POD_TEMPLATE_HASH: "x"})
    noisy["metadata"].update(creationTimestamp=None, annotations={})
    assert revisions.equal_templates(template(), noisy)


# --- the rolling update ------------------------------------------------------------------------------


def rolling(old: tuple[int, int], new: tuple[int, int], *, replicas: int = 10) -> tuple[Object, Object, Object]:
    """A Deployment of surge 3 and 2 unavailable, and its old and new ReplicaSet as (size, available)."""
    d = deployment(replicas, "app:2", surge=3, unavailable=2, status=counts(sum(x[0] for x in (old, new)), new[0], 0))
    told = (replicas, replicas + 3)
    return (
        d,
        replica_set("v1", *old, age=9, sizes=told, revision=1),
        replica_set("v2", *new, image="app:2", age=1, sizes=told, revision=2),
    )


ROLLING = [
    pytest.param((10, 10), (0, 0), {"v2": 3}, id="the surge"),
    pytest.param((10, 10), (3, 0), {"v1": 8}, id="what may be unavailable"),
    pytest.param((8, 8), (3, 0), {"v2": 5}, id="up to the surge again"),
    pytest.param((8, 8), (5, 0), {}, id="nothing until a new one is available"),
    pytest.param((8, 8), (5, 2), {"v1": 6}, id="an old one for each that is"),
    pytest.param((0, 0), (10, 10), {}, id="done"),
    pytest.param((3, 3), (10, 10), {"v1": 0}, id="the last old ones"),
    pytest.param((10, 6), (3, 0), {"v1": 8}, id="those that are not available first"),
    pytest.param((10, 0), (3, 3), {"v1": 5}, id="as many as are not available, within bounds"),
    pytest.param((8, 10), (5, 2), {}, id="a status from before a scaling is not counted on"),
    pytest.param((0, 0), (12, 12), {"v2": 10}, id="too many new ones"),
]


@pytest.mark.parametrize(("old", "new", "expected"), ROLLING)
def test_rolling(old: tuple[int, int], new: tuple[int, int], expected: dict[str, int]) -> None:
    assert scaled(look(*rolling(old, new))) == expected


def test_unpaused_in_a_handover_waits_for_the_last_canary_pod() -> None:
    d = deployment(4, "app:2", status=counts(5, 4, 4))
    old = replica_set("v1", 1, age=9, sizes=(4, 5), revision=1)
    assert scaled(look(d, old, replica_set("v2", 4, 3, image="app:2", sizes=(4, 5), revision=2))) == {}
    assert scaled(look(d, old, replica_set("v2", 4, 4, image="app:2", sizes=(4, 5), revision=2))) == {"v1": 0}


def test_a_template_that_differs_builds_a_third() -> None:
    canary = replica_set("c", 4, image="app:2", age=1, sizes=(4, 5))
    canary["spec"]["template"]["metadata"]["labels"]["role"] = "canary"
    found = look(deployment(4, "app:2"), replica_set("v1", 0, age=9, revision=1), canary)
    assert len(created(found)) == 1


# --- recreate ------------------------------------------------------------------------------------------


def test_recreate_ends_all_before_it_makes_any() -> None:
    d = deployment(3, "app:2", strategy={"type": "Recreate"})
    running = replica_set("v1", 3, revision=1, sizes=(3, 3))
    found = look(d, running)
    assert (scaled(found), created(found)) == ({"v1": 0}, [])
    stopping = replica_set("v1", 0, revision=1, sizes=(3, 3))
    assert created(look(d, stopping, old_pods=True)) == []
    (made,) = created(look(d, stopping))
    assert made["spec"]["replicas"] == 3


def test_old_pods_are_those_of_other_replica_sets_that_have_not_ended() -> None:
    owned = [replica_set("v1", 0), replica_set("v2", 0)]
    pods = [pod("a", owner="v2"), pod("b", owner="v1", phase="Succeeded"), pod("c", owner="other")]
    assert not old_pods_left(owned[1], owned, pods)
    assert old_pods_left(owned[1], owned, [*pods, pod("d", owner="v1", deleting=True)])
    assert old_pods_left(None, owned, pods)


# --- history -----------------------------------------------------------------------------------------


def test_the_oldest_revisions_are_cleaned_up_when_complete() -> None:
    old = [replica_set(f"v{n}", 0, image=f"app:{n}", age=99 - n, revision=n) for n in range(1, 5)]
    d = deployment(2, "app:5", revisionHistoryLimit=2, status=counts(2, 2, 2))
    new = replica_set("v5", 2, image="app:5", revision=5, sizes=(2, 3))
    assert deleted(look(d, *old, new)) == ["v1", "v2"]
    incomplete = deployment(2, "app:5", revisionHistoryLimit=2, status=counts(2, 2, 1))
    assert deleted(look(incomplete, *old, new)) == []


def test_held_the_stable_one_counts_as_history_and_the_matching_one_does_not() -> None:
    first, second = replica_set("v1", 0, age=9, revision=1), replica_set("v2", 1, image="app:2", revision=2)
    held = deployment(1, "app:3", paused=True, revisionHistoryLimit=1)
    assert deleted(look(held, first, second)) == ["v1"]
    back = deployment(1, "app:1", paused=True, revisionHistoryLimit=1)
    assert deleted(look(back, first, second)) == []


@pytest.mark.parametrize(
    "old",
    [
        replica_set("v1", 1, revision=1),
        replica_set("v1", 0, revision=1, replicas_left=1),
        replica_set("v1", 0, revision=1, observedGeneration=0),
    ],
)
def test_what_has_pods_or_was_not_looked_at_is_not_cleaned_up(old: Object) -> None:
    if old["status"].pop("replicas_left", 0):
        old["status"]["replicas"] = 1
    held = deployment(0, "app:3", paused=True, revisionHistoryLimit=0, strategy={"type": "Recreate"})
    assert deleted(look(held, old)) == []


# --- status and progress ---------------------------------------------------------------------------------


def test_status_counts() -> None:
    old = replica_set("v1", 3, 2, age=9, revision=1, sizes=(4, 5), terminatingReplicas=1)
    new = replica_set("v2", 2, 1, image="app:2", revision=2, sizes=(4, 5))
    found = status(look(deployment(4, "app:2"), old, new))
    conditions = found.pop("conditions")
    assert found == {
        "observedGeneration": 3,
        "replicas": 5,
        "updatedReplicas": 2,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 2,
        "terminatingReplicas": 1,
    }
    told = {c["type"]: (c["status"], c["reason"], c["message"]) for c in conditions}
    assert told["Available"] == (
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    )


def test_terminating_is_not_told_while_a_replica_set_does_not_say() -> None:
    unknown = replica_set("v1", 4, revision=1, sizes=(4, 5))
    del unknown["status"]["terminatingReplicas"]
    assert "terminatingReplicas" not in status(look(deployment(4), unknown))
    never = replica_set("v1", 4, revision=1, sizes=(4, 5))
    never["status"] = {}
    assert status(look(deployment(4), never))["terminatingReplicas"] == 0


def settled(reason: str = "ReplicaSetUpdated", age: float = 0.0, value: str = "True") -> tuple[Object, Object]:
    """A Deployment whose status is up to date, with one pod of two not available."""
    new = replica_set("v1", 2, 1, revision=1, sizes=(2, 3))
    d = deployment(2, annotations={REVISION: "1"}, progressDeadlineSeconds=60)
    new["metadata"]["annotations"] = {REVISION: "1", DESIRED_REPLICAS: "2", MAX_REPLICAS: "3"}
    d["status"] = counts(2, 2, 1, unavailableReplicas=1, terminatingReplicas=0)
    available = {**condition("MinimumReplicasUnavailable", age=age, value="False"), "type": "Available"}
    d["status"]["conditions"] = [available, condition(reason, age=age, value=value)]
    return d, new


def test_a_rollout_that_stands_is_looked_at_at_its_deadline() -> None:
    found = look(*settled(age=20))
    assert found.writes == ()
    assert found.check_after == pytest.approx(41)


def test_past_the_deadline_it_has_failed() -> None:
    found = progressing(look(*settled(age=61)))
    assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert found["message"] == 'ReplicaSet "v1" has timed out progressing.'


@pytest.mark.parametrize("reason", ["ProgressDeadlineExceeded", "NewReplicaSetAvailable"])
def test_what_has_failed_or_was_done_has_no_deadline(reason: str) -> None:
    value = "False" if reason.startswith("Progress") else "True"
    found = look(*settled(reason, age=999, value=value))
    assert found.writes == ()
    assert found.check_after is None


def test_progress_moves_the_deadline() -> None:
    d, new = settled(age=50)
    d["status"].update(availableReplicas=0, readyReplicas=0)
    found = progressing(look(d, new))
    assert found["reason"] == "ReplicaSetUpdated"
    assert found["lastUpdateTime"] == timestamp(NOW)
    assert found["lastTransitionTime"] == timestamp(NOW - 50)


def test_complete_is_told() -> None:
    d, new = settled()
    new["status"].update(availableReplicas=2, readyReplicas=2)
    found = look(d, new)
    assert progressing(found)["reason"] == "NewReplicaSetAvailable"
    assert progressing(found)["message"] == 'ReplicaSet "v1" has successfully progressed.'


def test_a_replica_sets_failure_is_the_deployments() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    d, new = settled()
    new["status"]["conditions"] = [{**failure, "lastTransitionTime": timestamp(NOW)}]
    (told,) = [c for c in status(look(d, new))["conditions"] if c["type"] == "ReplicaFailure"]
    assert {key: told[key] for key in failure} == failure


def test_what_is_up_to_date_is_left_alone() -> None:
    d, new = settled()
    before = (repr(d), repr(new))
    assert look(d, new).writes == ()
    assert (repr(d), repr(new)) == before


def test_a_deployment_that_goes_only_counts() -> None:
    d = deployment(4, "app:2")
    d["metadata"]["deletionTimestamp"] = timestamp(NOW)
    found = look(d, replica_set("v1", 3, revision=1))
    assert (scaled(found), created(found)) == ({}, [])
    assert status(found)["replicas"] == 3
