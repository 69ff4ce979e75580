"""The rules by which tools tell whether a Deployment is rolled out, on small objects."""

from __future__ import annotations

from typing import Any

import pytest
from gitops.readiness import argo, helm3, helm4, kstatus, kubectl, max_unavailable, sync_wave
from made_deployments import EXCEEDED, TABLE, deployment


@pytest.mark.parametrize(("obj", "by_kubectl", "by_argo", "by_kstatus"), TABLE.values(), ids=TABLE)
def test_what_each_says(obj: dict[str, Any], by_kubectl: str, by_argo: str, by_kstatus: str) -> None:
    assert (kubectl(obj), argo(obj), kstatus(obj)) == (by_kubectl, by_argo, by_kstatus)


def custom(conditions: list[dict[str, str]] | None = None, **status: Any) -> dict[str, Any]:
    return {"kind": "Rollout", "metadata": {"generation": 2}, "status": {"conditions": conditions or [], **status}}


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ({"kind": "Rollout", "metadata": {"generation": 1}}, "Current"),
        (custom(observedGeneration=2), "Current"),
        (custom(observedGeneration=1), "InProgress"),
        (custom([{"type": "Reconciling", "status": "True"}]), "InProgress"),
        (custom([{"type": "Stalled", "status": "True"}]), "Failed"),
        (custom([{"type": "Stalled", "status": "False"}]), "Current"),
        ({"kind": "Rollout", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "Terminating"),
    ],
)
def test_kstatus_of_a_custom_resource(obj: dict[str, Any], said: str) -> None:
    assert kstatus(obj) == said


@pytest.mark.parametrize(
    ("obj", "ready", "said"),
    [
        (deployment(paused=True), None, "ready"),
        (deployment(), None, "waiting"),
        (deployment(), 3, "ready"),
        (deployment(), 2, "waiting"),
        (deployment(observed=2), 4, "waiting"),
        (deployment(progressing=EXCEEDED), 2, "waiting"),
    ],
)
def test_helm_3(obj: dict[str, Any], ready: int | None, said: str) -> None:
    new = None if ready is None else {"status": {"readyReplicas": ready}}
    assert helm3(obj, new) == said


@pytest.mark.parametrize(
    ("written", "live", "said"),
    [
        (deployment(paused=True), deployment(progressing=EXCEEDED, paused=True), "ready"),
        (deployment(), deployment(), "ready"),
        (deployment(), deployment(updated=3), "waiting"),
        (deployment(), deployment(progressing=EXCEEDED), "failed"),
    ],
)
def test_helm_4(written: dict[str, Any], live: dict[str, Any], said: str) -> None:
    assert helm4(written, live) == said


@pytest.mark.parametrize(
    ("unavailable", "surge", "replicas", "count"),
    [("25%", "25%", 4, 1), ("25%", "25%", 3, 0), (0, 0, 4, 1), (0, 1, 4, 0), (5, 1, 4, 4), ("25%", "25%", 0, 0)],
)
def test_max_unavailable(unavailable: int | str, surge: int | str, replicas: int, count: int) -> None:
    strategy = {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}
    assert max_unavailable({"spec": {"replicas": replicas, "strategy": strategy}}) == count


@pytest.mark.parametrize(
    ("health", "wave"),
    [("Healthy", "goes on"), ("Degraded", "fails"), ("Progressing", "waits"), ("Suspended", "waits")],
)
def test_a_sync_with_waves(health: str, wave: str) -> None:
    assert sync_wave(health) == wave
