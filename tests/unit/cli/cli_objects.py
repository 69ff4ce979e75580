"""Objects as the API server stores them, and the article's stories told with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from coalmine.model import names
from coalmine.model.fingerprint import fingerprint
from coalmine.model.reasons import Reason, say
from coalmine.model.rollout import Phase, Replicas, Revision, Status
from coalmine.model.weights import Weight

NOW = 1_700_000_000.0
UID = "deployment-uid"
REPOSITORY = "particule/simplecolorapi"
STEPS = "steps: [{setWeight: 20}, {pause: {duration: 30s}}, {setWeight: 50}, {pause: {duration: 30s}}]"
HASHES = {"1.0": "66f9756599", "2.0": "7d458c8cd8", "3.0": "59b5ddb84f"}


def stamp(age: float) -> str:
    return datetime.fromtimestamp(NOW - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def template(version: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "colorapi", names.SIDECAR_LABEL: "true"}},
        "spec": {"containers": [{"name": "colorapi", "image": f"{REPOSITORY}:{version}"}]},
    }


def print_of(version: str) -> str:
    return fingerprint(template(version))


def revision(version: str, number: int) -> Revision:
    return Revision(print_of(version), f"colorapi-{HASHES[version]}", number, (f"{REPOSITORY}:{version}",))


def deployment(version: str = "1.0", generation: int = 3, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "colorapi",
            "namespace": "default",
            "uid": UID,
            "generation": generation,
            "creationTimestamp": stamp(6 * 3600),
            "annotations": {names.CANARY: STEPS} | {f"{names.GROUP}/{k}": v for k, v in annotations.items()},
        },
        "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "colorapi"}}, "template": template(version)},
    }


def rollout(status: Status, age: float = 5 * 3600 + 52 * 60, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ROLLOUT,
        "metadata": {
            "name": "colorapi",
            "namespace": "default",
            "uid": "rollout-uid",
            "creationTimestamp": stamp(age),
            "ownerReferences": [{"kind": "Deployment", "name": "colorapi", "uid": UID, "controller": True}],
        },
        "spec": spec,
        "status": status.to_json(),
    }


def replica_set(
    version: str, replicas: int, age: float, *, number: int | None = None, available: int | None = None, **status: Any
) -> dict[str, Any]:
    """One that the Deployment owns when it has a `number`, else a hidden canary."""
    available = replicas if available is None else available
    owner = {"kind": "Deployment", "name": "colorapi", "uid": UID, "controller": number is not None}
    if number is None:
        annotations = {
            names.ROLE: names.ROLE_CANARY,
            names.DEPLOYMENT_UID: UID,
            names.DEPLOYMENT_NAME: "colorapi",
            names.FINGERPRINT: print_of(version),
        }
    else:
        annotations = {names.REVISION: str(number)}
    pods = template(version)
    pods["metadata"]["labels"][names.POD_TEMPLATE_HASH] = HASHES[version]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"colorapi-{HASHES[version]}",
            "namespace": "default",
            "uid": f"set-{version}",
            "generation": 1,
            "creationTimestamp": stamp(age),
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {"replicas": replicas, "template": pods},
        "status": {"replicas": replicas, "availableReplicas": available, "observedGeneration": 1} | status,
    }


def pod(version: str, suffix: str, age: float, **changes: Any) -> dict[str, Any]:
    """A running, ready pod with its native sidecar; `changes` go into its status."""
    running = {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": stamp(age)}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"colorapi-{HASHES[version]}-{suffix}",
            "namespace": "default",
            "uid": f"pod-{suffix}",
            "creationTimestamp": stamp(age),
            "labels": {"app": "colorapi"},
            "ownerReferences": [{"kind": "ReplicaSet", "uid": f"set-{version}", "controller": True}],
        },
        "spec": {
            "initContainers": [{"name": names.SIDECAR_CONTAINER, "restartPolicy": "Always"}],
            "containers": [{"name": "colorapi"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
            "initContainerStatuses": [{"name": names.SIDECAR_CONTAINER, **running}],
            "containerStatuses": [{"name": "colorapi", **running}],
        }
        | changes,
    }


def crashing(version: str, suffix: str, age: float, restarts: int) -> dict[str, Any]:
    waiting = {"ready": False, "restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    return pod(
        version,
        suffix,
        age,
        conditions=[{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}],
        containerStatuses=[{"name": "colorapi", **waiting}],
    )


def run(version: str, attempt: int, age: float, phase: str, **counts: int) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ANALYSIS_RUN,
        "metadata": {
            "name": f"colorapi-{HASHES[version]}-{attempt}",
            "namespace": "default",
            "uid": f"run-{version}-{attempt}",
            "creationTimestamp": stamp(age),
            "annotations": {names.FINGERPRINT: print_of(version)},
            "ownerReferences": [{"kind": names.ROLLOUT, "uid": "rollout-uid", "controller": True}],
        },
        "status": {"phase": phase, "metricResults": [{"name": "webcheck", **counts}]},
    }


@dataclass
class Story:
    """What is in the cluster at one moment."""

    deployment: dict[str, Any]
    rollout: dict[str, Any]
    replica_sets: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [self.deployment, self.rollout, *self.replica_sets, *self.pods, *self.runs]


_SUFFIXES = ("p4kfl", "lqnsn", "554wc", "8pr54", "9vtmp")


def stable_pods(version: str, count: int = 5, age: float = 246) -> list[dict[str, Any]]:
    return [pod(version, suffix, age - 34 * i) for i, suffix in enumerate(_SUFFIXES[:count])]


HEALTHY = Status(
    phase=Phase.HEALTHY,
    message=say(Reason.HEALTHY, replicas=5),
    workload_generation=3,
    stable=revision("1.0", 1),
    steps=4,
    replicas=Replicas(5, 5, 5, 5, 5),
)
AT_20 = replace(
    HEALTHY,
    phase=Phase.PROGRESSING,
    message=say(Reason.WEIGHT_SET, weight=20, count=6),
    canary=revision("2.0", 2),
    attempt=1,
    weight=Weight(2000),
    actual_weight=Weight(2000),
    replicas=Replicas(5, 6, 1, 6, 6),
)
PAUSED = replace(
    AT_20,
    phase=Phase.PAUSED,
    message=say(Reason.PAUSED, step=1, steps=4, until=" for 30 s"),
    step=1,
)
ABORTED = replace(
    HEALTHY,
    phase=Phase.DEGRADED,
    message="canary aborted: metric webcheck: 2 of 3 measurements failed, more than failureLimit 1; "
    "all requests go to stable",
    canary=revision("3.0", 3),
    stable=revision("2.0", 2),
    attempt=2,
    aborted_at=NOW - 60,
    replicas=Replicas(5, 5, 0, 5, 5),
)


def healthy_first() -> Story:
    return Story(deployment(), rollout(HEALTHY), [replica_set("1.0", 5, 600, number=1)], stable_pods("1.0"))


def progressing() -> Story:
    return Story(
        deployment("2.0", hold=print_of("2.0")),
        rollout(AT_20),
        [replica_set("1.0", 5, 600, number=1), replica_set("2.0", 1, 12)],
        [*stable_pods("1.0"), pod("2.0", "c7jkf", 11)],
        [run("2.0", 1, 8, "Running", successful=1)],
    )


def paused() -> Story:
    story = progressing()
    return replace(story, rollout=rollout(PAUSED), runs=[run("2.0", 1, 8, "Running", successful=4, error=1)])


def degraded() -> Story:
    return Story(
        deployment("3.0", hold=print_of("3.0"), failed=print_of("3.0")),
        rollout(ABORTED, age=30 * 3600),
        [
            replica_set("1.0", 0, 29 * 3600, number=1),
            replica_set("2.0", 5, 2 * 3600, number=2),
            replica_set("3.0", 0, 35 * 60),
        ],
        stable_pods("2.0", age=7000),
        [
            run("2.0", 1, 2 * 3600, "Successful", successful=30),
            run("3.0", 2, 35 * 60, "Failed", successful=1, failed=2),
        ],
    )


def promoted() -> Story:
    status = replace(HEALTHY, stable=revision("3.0", 3), attempt=2)
    return Story(
        deployment("3.0"),
        rollout(status),
        [
            replica_set("1.0", 0, 600, number=1),
            replica_set("2.0", 0, 500, number=2),
            replica_set("3.0", 5, 246, number=3),
        ],
        stable_pods("3.0"),
        [
            run("2.0", 1, 480, "Successful", successful=30),
            run("3.0", 2, 240, "Successful", successful=30, error=12),
        ],
    )


def crash_looping() -> Story:
    detail = f" (colorapi-{HASHES['2.0']}-c7jkf: CrashLoopBackOff)"
    status = replace(
        AT_20,
        message=say(Reason.WAITING_FOR_CANARY, available=0, wanted=1, detail=detail),
        weight=Weight.ZERO,
        actual_weight=Weight.ZERO,
        replicas=Replicas(5, 6, 1, 5, 5),
    )
    return Story(
        deployment("2.0", hold=print_of("2.0")),
        rollout(status),
        [replica_set("1.0", 5, 600, number=1), replica_set("2.0", 1, 130, available=0)],
        [*stable_pods("1.0"), crashing("2.0", "c7jkf", 128, 4)],
    )
