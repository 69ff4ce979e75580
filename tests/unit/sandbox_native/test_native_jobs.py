"""Jobs: how many pods, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
from native_samples import NOW, pod

from coalmine.kube.resources import Object
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.native.jobs.decide import Decision, decide, expires, finished


def job(*, status: Object | None = None, restart: str = "Never", **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": restart}}
    return {"metadata": {"name": "job"}, "spec": {"template": template, **spec}, "status": status or {}}


def ended(name: str, phase: str = "Failed", age: float = 100.0) -> Object:
    each = pod(name, phase=phase, ready=None)
    each["status"]["containerStatuses"] = [{"state": {"terminated": {"finishedAt": timestamp(NOW - age)}}}]
    return each


def conditions(found: Decision) -> dict[str, str]:
    return {c["type"]: c["reason"] for c in found.status.get("conditions", ()) if c["status"] == "True"}


@pytest.mark.parametrize(
    ("spec", "pods", "create", "delete"),
    [
        ({"completions": 1}, [], 1, 0),
        ({"completions": 1}, [pod("a")], 0, 0),
        ({"completions": 5, "parallelism": 2}, [], 2, 0),
        ({"completions": 5, "parallelism": 2}, [pod("a"), ended("b", "Succeeded")], 1, 0),
        ({"completions": 2, "parallelism": 2}, [pod("a"), ended("b", "Succeeded")], 0, 0),
        ({"parallelism": 3}, [pod("a")], 2, 0),
        ({"parallelism": 3}, [pod("a"), ended("b", "Succeeded")], 0, 0),
        ({"completions": 5, "parallelism": 1}, [pod("a"), pod("b")], 0, 1),
        ({"completions": 1, "suspend": True}, [pod("a")], 0, 1),
        ({"completions": 1}, [ended("a", age=100)], 1, 0),
        ({"completions": 1}, [ended("a", age=3)], 0, 0),  # not at once after a failure
        ({"completions": 1, "podReplacementPolicy": "Failed"}, [pod("a", deleting=True)], 0, 0),
    ],
)
def test_pods(spec: dict[str, Any], pods: list[Object], create: int, delete: int) -> None:
    found = decide(job(**spec), pods, NOW)
    assert (found.create, len(found.delete)) == (create, delete)


def test_after_failures_it_waits_longer_each_time() -> None:
    pods = [ended("a", age=5)]
    assert decide(job(completions=1), pods, NOW).check_after == pytest.approx(5)
    pods = [ended("a", age=30), ended("b", age=5)]
    assert decide(job(completions=1), pods, NOW).check_after == pytest.approx(15)


def test_complete() -> None:
    found = decide(job(completions=1), [ended("a", "Succeeded")], NOW)
    assert conditions(found) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert found.status["succeeded"] == 1
    assert found.status["completionTime"] == timestamp(NOW)
    assert found.events == (("Normal", "Completed", "Job completed"),)
    assert finished({"status": found.status})


def test_complete_only_when_nothing_terminates() -> None:
    found = decide(job(completions=1), [ended("a", "Succeeded"), pod("b", deleting=True)], NOW)
    assert conditions(found) == {"SuccessCriteriaMet": "CompletionsReached"}


@pytest.mark.parametrize(
    ("spec", "pods", "failed"),
    [
        ({"backoffLimit": 0}, [ended("a")], True),
        ({"backoffLimit": 1}, [ended("a")], False),
        ({"backoffLimit": 1}, [ended("a"), ended("b")], True),
        ({"backoffLimit": 2, "restart": "OnFailure"}, [pod("a", restarts=1)], False),
        ({"backoffLimit": 2, "restart": "OnFailure"}, [pod("a", restarts=2)], True),
        ({"backoffLimit": 0, "restart": "OnFailure"}, [pod("a", restarts=1)], True),
    ],
)
def test_backoff_limit(spec: dict[str, Any], pods: list[Object], failed: bool) -> None:
    found = decide(job(completions=1, **spec), pods, NOW)
    assert (conditions(found).get("FailureTarget") == "BackoffLimitExceeded") is failed


def test_what_still_runs_is_ended_before_it_has_failed() -> None:
    running = pod("b")
    first = decide(job(completions=2, parallelism=2, backoffLimit=0), [ended("a"), running], NOW)
    assert first.delete == (running,)
    assert conditions(first) == {"FailureTarget": "BackoffLimitExceeded"}
    then = decide(job(completions=2, backoffLimit=0, status=first.status), [ended("a")], NOW)
    assert conditions(then) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}


def test_deadline() -> None:
    started = {"startTime": timestamp(NOW - 20)}
    waiting = decide(job(completions=1, activeDeadlineSeconds=30, status=started), [pod("a")], NOW)
    assert waiting.check_after == pytest.approx(10)
    late = decide(job(completions=1, activeDeadlineSeconds=20, status=started), [pod("a")], NOW)
    assert conditions(late) == {"FailureTarget": "DeadlineExceeded"}


def test_counts_do_not_go_back() -> None:
    found = decide(job(completions=3, status={"succeeded": 2, "failed": 1}), [], NOW)
    assert (found.status["succeeded"], found.status["failed"], found.create) == (2, 1, 1)


def test_suspended_and_resumed() -> None:
    held = decide(job(completions=1, suspend=True), [], NOW)
    assert conditions(held) == {"Suspended": "JobSuspended"}
    assert "startTime" not in held.status
    resumed = decide(job(completions=1, status=held.status), [], NOW)
    assert conditions(resumed) == {}
    assert (resumed.create, resumed.status["startTime"]) == (1, timestamp(NOW))


def test_expires() -> None:
    done = {"type": "Complete", "status": "True", "lastTransitionTime": timestamp(NOW)}
    status = {"completionTime": timestamp(NOW - 5), "conditions": [done]}
    assert expires(job(status=status, ttlSecondsAfterFinished=30)) == NOW + 25
    assert expires(job(status=status)) is None
    assert expires(job(ttlSecondsAfterFinished=30)) is None
