"""From raw objects to what `plan` reads: tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from samples import INJECTION, deployment, pod, replica_set

from coalmine.model import names
from coalmine.model.condition import failure_condition
from coalmine.model.errors import SpecError
from coalmine.model.fingerprint import fingerprint
from coalmine.model.proxy_settings import DEFAULTS, ProxySettings
from coalmine.model.strategy import Strategy
from coalmine_controller.convert import (
    deployment_from,
    labels_before,
    pod_from,
    replica_set_from,
    run_from,
    sidecar_boot,
)


def annotated(**annotations: Any) -> dict[str, Any]:
    return {"metadata": {"annotations": {getattr(names, k): v for k, v in annotations.items()}}}


def test_a_rich_deployment() -> None:
    raw = deployment()
    d = deployment_from(raw)
    assert (d.namespace, d.name, d.uid, d.generation) == ("default", "colorapi", "deployment-uid", 7)
    assert d.fingerprint == fingerprint(raw["spec"]["template"])
    assert (d.replicas, d.min_ready, d.progress_deadline) == (5, 3, 120.0)
    assert (d.hold, d.stable, d.failed, d.handover) == (
        "0123456789abcdef",
        "fedcba9876543210",
        "1111111111111111",
        "2222222222222222",
    )
    assert d.held
    assert isinstance(d.strategy, Strategy)
    assert (d.off, d.stamped, d.paused) == (False, True, True)
    assert d.images == ("particule/simplecolorapi:2.0", "logger:1")
    assert d.local_paths == ("/metrics", "/debug")


def test_a_bare_deployment() -> None:
    raw = {
        "metadata": {"name": "d", "namespace": "n", "uid": "u"},
        "spec": {"selector": {}, "template": {"spec": {"containers": []}}},
    }
    d = deployment_from(raw)
    assert (d.replicas, d.min_ready, d.progress_deadline, d.available) == (1, 0, 600.0, 0)
    assert (d.strategy, d.off, d.stamped, d.held, d.complete, d.paused) == (None, False, False, False, False, False)
    assert (d.local_paths, d.images, d.reported_failure) == (("/metrics",), (), None)


@pytest.mark.parametrize(
    ("spec", "status", "complete"),
    [
        ({}, {}, True),
        ({"paused": True}, {}, False),
        ({"replicas": 4}, {}, False),
        ({}, {"observedGeneration": 6}, False),
        ({}, {"observedGeneration": ...}, False),
        ({}, {"updatedReplicas": 4}, False),
        ({}, {"availableReplicas": 4}, False),
        ({}, {"replicas": 6}, False),
        ({}, {"availableReplicas": ...}, False),
        ({"replicas": 0}, {"replicas": ..., "updatedReplicas": ..., "availableReplicas": ...}, True),
    ],
)
def test_complete_or_not(spec: dict[str, Any], status: dict[str, Any], complete: bool) -> None:
    d = deployment_from(deployment(spec={"paused": ..., **spec}, status=status))
    assert d.complete is complete


@pytest.mark.parametrize(
    ("replicas", "surge", "resolved"),
    # deploymentutil.ResolveFenceposts: surge is rounded up
    [
        (5, "25%", 2),
        (10, "25%", 3),
        (10, "0%", 0),
        (3, 0, 0),
        (3, 1, 1),
        (1, "25%", 1),
        (100, "29%", 29),
        (4, "100%", 4),
        (0, "25%", 0),
        (5, ..., 2),
    ],
)
def test_max_surge(replicas: int, surge: object, resolved: int) -> None:
    raw = deployment(spec={"replicas": replicas, "strategy": {"rollingUpdate": {"maxSurge": surge}}})
    assert deployment_from(raw).max_surge == resolved


def test_no_surge_given() -> None:
    assert deployment_from(deployment(spec={"strategy": {"rollingUpdate": ...}})).max_surge == 2


@pytest.mark.parametrize("text", ["off", ' "off" ', "OFF"])
def test_off(text: str) -> None:
    d = deployment_from(deployment(**annotated(CANARY=text)))
    assert d.off
    assert d.strategy is None


def test_not_annotated() -> None:
    d = deployment_from(deployment(**annotated(CANARY=...)))
    assert not d.off
    assert d.strategy is None


@pytest.mark.parametrize(
    "text", ["", "steps: 5", "[" * 50_000, "2020-99-99", "steps: [setWeight: '9e999999']"], ids=range(5)
)
def test_a_bad_strategy_is_a_value_that_says_why(text: str) -> None:
    d = deployment_from(deployment(**annotated(CANARY=text)))
    assert isinstance(d.strategy, SpecError)


@pytest.mark.parametrize(
    ("text", "paths"),
    [(..., ("/metrics",)), ("", ()), ("/a", ("/a",)), ("metrics, /é, /b", ("/b",)), (" /a , /b,,", ("/a", "/b"))],
)
def test_local_paths(text: Any, paths: tuple[str, ...]) -> None:
    assert deployment_from(deployment(**annotated(LOCAL_PATHS=text))).local_paths == paths


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (..., DEFAULTS),
        ("{pin: false}", replace(DEFAULTS, pin=False)),
        ("", DEFAULTS),
        # it came around the webhook: an abort must not wait until it is mended
        ("pin: perhaps", DEFAULTS),
        ("[" * 50_000, DEFAULTS),
    ],
    ids=range(5),
)
def test_settings(text: Any, settings: ProxySettings) -> None:
    assert deployment_from(deployment(**annotated(PROXY=text))).settings == settings


def test_our_failure_and_the_native_one_are_told_apart() -> None:
    ours = failure_condition("0123456789abcdef", "why", "2026-01-01T00:00:00Z")
    native = {**ours, "message": 'ReplicaSet "x" has timed out progressing.'}
    available = {"type": "Available", "status": "True"}
    d = deployment_from(deployment(status={"conditions": [available, ours]}))
    assert (d.reported_failure, d.progressing_reason) == ("0123456789abcdef", "ProgressDeadlineExceeded")
    d = deployment_from(deployment(status={"conditions": [available, native]}))
    assert (d.reported_failure, d.progressing_reason) == (None, "ProgressDeadlineExceeded")


@pytest.mark.parametrize(
    ("revision", "number"), [("3", 3), ("", 0), ("x", 0), ("²", 0), ("٣", 0), ("9" * 5000, 0), ("-1", 0), (..., 0)]
)
def test_a_revision_that_somebody_edited(revision: Any, number: int) -> None:
    d = deployment_from(deployment())
    raw = replica_set(metadata={"annotations": {names.REVISION: revision}})
    assert replica_set_from(raw, d).revision == number


@pytest.mark.parametrize(
    ("references", "owned", "referenced"),
    [
        ([], False, False),
        ([{"uid": "deployment-uid", "controller": True}], True, True),
        ([{"uid": "deployment-uid", "controller": False}], False, True),
        ([{"uid": "another", "controller": True}], False, False),
        ([{"uid": "another", "controller": True}, {"uid": "deployment-uid"}], False, True),
    ],
)
def test_owners(references: list[Any], owned: bool, referenced: bool) -> None:
    found = replica_set_from(replica_set(metadata={"ownerReferences": references}), deployment_from(deployment()))
    assert (found.owned, found.referenced) == (owned, referenced)


def test_a_set_that_cannot_make_pods() -> None:
    conditions = [
        {"type": "Other", "status": "True"},
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: cpu"},
    ]
    raw = replica_set(status={"conditions": conditions, "readyReplicas": 1, "availableReplicas": 1, "replicas": 2})
    found = replica_set_from(raw, deployment_from(deployment()))
    assert found.failure == "exceeded quota: cpu"
    assert (found.current, found.ready, found.available) == (2, 1, 1)
    conditions[1]["status"] = "False"
    assert replica_set_from(raw, deployment_from(deployment())).failure == ""


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({}, "ready", True),
        ({}, "injection", INJECTION),
        ({}, "terminating", False),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "ready", False),
        ({"status": {"conditions": ...}}, "ready", False),
        ({"status": {"podIP": ...}}, "address", ""),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "terminating", True),
        ({"status": {"phase": "Failed"}}, "terminating", True),
        ({"status": {"phase": "Succeeded"}}, "terminating", True),
        ({"metadata": {"ownerReferences": []}}, "replica_set", ""),
        ({"status": {"phase": "Failed"}}, "ready", False),
        ({"status": {"phase": "Failed"}}, "address", ""),
        (annotated(INJECTED=...), "injection", None),
        (annotated(INJECTED=""), "injection", None),
        (annotated(INJECTED="{}"), "injection", None),
        (annotated(INJECTED="[" * 100_000), "injection", None),
        (
            annotated(INJECTED='{"portName": "web", "appPort": 99999, "proxyPort": 1, "adminPort": 2}'),
            "injection",
            None,
        ),
        (
            {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}},
            "waiting",
            "CrashLoopBackOff",
        ),
        ({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}, "waiting", ""),
    ],
    ids=range(19),
)
def test_pods(changes: dict[str, Any], field: str, value: object) -> None:
    assert getattr(pod_from(pod(**changes)), field) == value


def test_a_sidecar_that_was_started_again_is_another_boot() -> None:
    first = {"name": names.SIDECAR_CONTAINER, "containerID": "c://1", "restartCount": 0}
    boots = {
        sidecar_boot(pod(status={"initContainerStatuses": statuses}))
        for statuses in ([first], [{**first, "restartCount": 1}], [{**first, "containerID": "c://2"}], [])
    }
    assert len(boots) == 4
    classic = pod(status={"initContainerStatuses": ..., "containerStatuses": [first]})
    assert sidecar_boot(classic) == sidecar_boot(pod(status={"initContainerStatuses": [first]}))


def test_runs() -> None:
    run = run_from(
        {"metadata": {"name": "r"}, "spec": {"terminate": True}, "status": {"phase": "Failed", "message": "m"}}
    )
    assert (run.name, run.phase, run.message, run.terminated, run.over) == ("r", "Failed", "m", True, True)
    fresh = run_from({"metadata": {"name": "r"}})
    assert (fresh.phase, fresh.message, fresh.terminated, fresh.over) == ("Pending", "", False, False)


def test_labels_before_hiding() -> None:
    raw = replica_set(metadata={"annotations": {names.HIDDEN_LABELS: '{"app": "colorapi", "n": 5}'}})
    assert labels_before(raw) == {"app": "colorapi", "n": "5"}
    assert labels_before(replica_set()) == {}
