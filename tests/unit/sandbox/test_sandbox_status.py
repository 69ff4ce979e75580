"""Phase, conditions and container statuses as the kubelet gives them."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.kube.resources import Object
from coalmine_sandbox.node.status import (
    ContainerView,
    Kind,
    PodView,
    Running,
    State,
    Terminated,
    Waiting,
    phase,
    pod_status,
)

CREATING = Waiting("ContainerCreating")
RUNS = Running(100.0)
DONE = Terminated(0, "Completed", 100.0, 101.0)
FAILED = Terminated(1, "Error", 100.0, 101.0)


def app(state: State, last: Terminated | None = None, *, ready: bool = False) -> ContainerView:
    return ContainerView("app", Kind.APP, "i", state, last, ready=ready, started=isinstance(state, Running))


def init(state: State) -> ContainerView:
    return ContainerView("init", Kind.INIT, "i", state)


def sidecar(state: State, *, started: bool = False, ready: bool = False) -> ContainerView:
    return ContainerView("sidecar", Kind.SIDECAR, "i", state, started=started, ready=ready)


def view(*containers: ContainerView, ended: bool = False) -> PodView:
    return PodView(containers, "10.244.0.1", "10.97.0.10", 99.0, ended)


@pytest.mark.parametrize(
    ("containers", "policy", "expected"),
    [
        ([app(CREATING)], "Always", "Pending"),
        ([app(RUNS)], "Always", "Running"),
        ([app(RUNS), app(CREATING)], "Always", "Pending"),
        ([app(Waiting("CrashLoopBackOff"), FAILED)], "Always", "Running"),
        ([app(FAILED)], "Always", "Running"),
        ([app(DONE)], "Always", "Running"),
        ([app(DONE)], "Never", "Succeeded"),
        ([app(DONE)], "OnFailure", "Succeeded"),
        ([app(FAILED)], "Never", "Failed"),
        ([app(FAILED)], "OnFailure", "Running"),
        ([app(DONE), app(RUNS)], "Never", "Running"),
        ([init(FAILED), app(CREATING)], "Never", "Failed"),
        ([init(FAILED), app(CREATING)], "Always", "Pending"),
        ([init(RUNS), app(CREATING)], "Always", "Pending"),
        # a sidecar that still runs does not keep a finished pod from being finished
        ([sidecar(RUNS, started=True), app(DONE)], "Never", "Succeeded"),
        ([sidecar(FAILED), app(RUNS)], "Always", "Running"),
    ],
)
def test_phase(containers: list[ContainerView], policy: str, expected: str) -> None:
    assert phase(view(*containers), policy) == expected


@pytest.mark.parametrize(("state", "expected"), [(DONE, "Succeeded"), (FAILED, "Failed")])
def test_phase_of_a_pod_that_was_deleted(state: State, expected: str) -> None:
    assert phase(view(app(state), ended=True), "Always") == expected


def conditions(shown: PodView, spec: Any = None, previous: Any = ()) -> dict[str, tuple[str, str | None]]:
    pod = {"metadata": {"generation": 3}, "spec": spec or {}}
    return {c["type"]: (c["status"], c["reason"]) for c in pod_status(pod, shown, previous, 200.0)["conditions"]}


@pytest.mark.parametrize(
    ("containers", "initialised", "containers_ready"),
    [
        ([app(CREATING)], ("True", None), ("False", "ContainersNotReady")),
        ([app(RUNS, ready=True)], ("True", None), ("True", None)),
        ([init(RUNS), app(CREATING)], ("False", "ContainersNotInitialized"), ("False", "ContainersNotReady")),
        ([sidecar(RUNS), app(CREATING)], ("False", "ContainersNotInitialized"), ("False", "ContainersNotReady")),
        ([sidecar(RUNS, started=True, ready=True), app(RUNS, ready=True)], ("True", None), ("True", None)),
        # an unready sidecar takes the pod out of its Services
        ([sidecar(RUNS, started=True), app(RUNS, ready=True)], ("True", None), ("False", "ContainersNotReady")),
        # its restart does not send the pod back to before its initialisation
        ([sidecar(FAILED), app(RUNS, ready=True)], ("True", None), ("False", "ContainersNotReady")),
    ],
)
def test_conditions(
    containers: list[ContainerView], initialised: tuple[str, Any], containers_ready: tuple[str, Any]
) -> None:
    found = conditions(view(*containers))
    assert found["Initialized"] == initialised
    assert found["ContainersReady"] == found["Ready"] == containers_ready


def test_finished_pod_is_not_ready() -> None:
    found = conditions(view(app(DONE)), {"restartPolicy": "Never"})
    assert found["Ready"] == ("False", "PodCompleted")
    assert found["Initialized"] == ("True", "PodCompleted")


def test_readiness_gates() -> None:
    spec = {"readinessGates": [{"conditionType": "example.com/open"}]}
    shown = view(app(RUNS, ready=True))
    assert conditions(shown, spec)["Ready"] == ("False", "ReadinessGatesNotReady")
    assert conditions(shown, spec)["ContainersReady"] == ("True", None)
    gate = [{"type": "example.com/open", "status": "True"}]
    assert conditions(shown, spec, gate)["Ready"] == ("True", None)


def test_transition_times_move_with_the_status_only() -> None:
    pod: Object = {"metadata": {}, "spec": {}}
    first = pod_status(pod, view(app(RUNS)), [], 200.0)["conditions"]
    again = pod_status(pod, view(app(RUNS)), first, 300.0)["conditions"]
    assert again == first
    ready = {c["type"]: c for c in pod_status(pod, view(app(RUNS, ready=True)), first, 400.0)["conditions"]}
    assert ready["Ready"]["lastTransitionTime"] == "1970-01-01T00:06:40Z"
    assert ready["Initialized"]["lastTransitionTime"] == "1970-01-01T00:03:20Z"


def test_container_statuses() -> None:
    shown = ContainerView("app", Kind.APP, "a:1", Running(100.0), FAILED, 2, True, True, "abc")
    status = pod_status({"metadata": {}, "spec": {}}, view(shown, init(CREATING)), [], 200.0)
    assert status["containerStatuses"] == [
        {
            "name": "app",
            "image": "a:1",
            "imageID": "sandbox://a:1",
            "containerID": "sandbox://abc",
            "restartCount": 2,
            "ready": True,
            "started": True,
            "state": {"running": {"startedAt": "1970-01-01T00:01:40Z"}},
            "lastState": {
                "terminated": {
                    "exitCode": 1,
                    "reason": "Error",
                    "startedAt": "1970-01-01T00:01:40Z",
                    "finishedAt": "1970-01-01T00:01:41Z",
                    "containerID": "sandbox://abc",
                }
            },
        }
    ]
    assert status["initContainerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert (status["podIP"], status["hostIP"]) == ("10.244.0.1", "10.97.0.10")
