"""The Deployments of the bench: many that hold nothing, some that roll, and one with a hundred pods.

Their pods name the node themselves: the scheduler has nothing to do with what is measured.
"""

from __future__ import annotations

from typing import Final

from bench.scale.kubelet import NODE
from coalmine.kube.resources import Object
from coalmine.model.names import CANARY

NAMESPACES: Final = 20
#: Pods of a Deployment that holds nothing, of one that rolls, and of the large one, whose canary has one pod.
IDLE_PODS, ROLLING_PODS, LARGE_PODS = 1, 5, 99
LARGE: Final = "large"
#: Seconds between two weights of one rollout: many times faster than anybody's, so that a minute shows enough.
PAUSE: Final = 5


def namespace_of(number: int) -> str:
    return f"bench-{number % NAMESPACES:02d}"


def rolling_steps(pause: int = PAUSE) -> str:
    """Nineteen weights, of one to five canary pods."""
    lines = [f"- setWeight: {w}\n- pause: {{duration: {pause}s}}" for w in range(5, 100, 5)]
    return "steps:\n" + "\n".join(lines) + "\n"


def large_steps() -> str:
    """Ten weights of one canary pod: a hundred sidecars have to acknowledge each."""
    lines = [f"- setWeight: {w / 10}\n- pause: {{duration: {PAUSE}s}}" for w in range(1, 11)]
    return "steps:\n" + "\n".join(lines) + "\n- pause: {}\n"


def deployment(name: str, replicas: int, steps: str, release: str = "1.0") -> Object:
    """One annotated Deployment."""
    labels = {"app": name}
    container: Object = {"name": "app", "image": f"example/app:{release}"}
    container["ports"] = [{"name": "web", "containerPort": 8080}]
    container["env"] = [{"name": f"SETTING_{n}", "value": "x" * 20} for n in range(8)]  # of a usual size
    container["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": "web"}}
    spec = {"containers": [container], "nodeName": NODE, "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {CANARY: steps}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
