"""Objects as the API server has them, for the tests of this folder."""

from __future__ import annotations

import copy
from typing import Any

from coalmine.kube.resources import Object
from coalmine.model import names
from coalmine.model.wire import Injection

STRATEGY = """\
steps:
- setWeight: 20
- pause: {duration: 30s}
analysis:
  templates: [{templateName: webcheck}]
  args: [{name: host, value: colorapi}]
"""
INJECTION = Injection("web", 5000, 17080, 17081, False)


def deployment(**changes: Any) -> Object:
    """A rich Deployment: held, with everything that has to be carried over or left out."""
    raw: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "colorapi",
            "namespace": "default",
            "uid": "deployment-uid",
            "generation": 7,
            "resourceVersion": "70",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "colorapi", names.ROLLOUT_LABEL: "true"},
            "annotations": {
                names.CANARY: STRATEGY,
                names.HOLD: "0123456789abcdef",
                names.STABLE: "fedcba9876543210",
                names.FAILED: "1111111111111111",
                names.HANDOVER: "2222222222222222",
                names.LOCAL_PATHS: "/metrics, /debug ,",
                "deployment.kubernetes.io/revision": "3",
                "deployment.kubernetes.io/revision-history": "1,2",
                "deployment.kubernetes.io/desired-replicas": "5",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "kubernetes.io/change-cause": "image 2.0",
                "team": "colours",
            },
        },
        "spec": {
            "replicas": 5,
            "minReadySeconds": 3,
            "paused": True,
            "progressDeadlineSeconds": 120,
            "selector": {
                "matchLabels": {"app": "colorapi"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web", "api"]}],
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {
                    "creationTimestamp": None,
                    "labels": {"app": "colorapi", "tier": "web", names.SIDECAR_LABEL: "true"},
                    "annotations": {"prometheus.io/scrape": "true"},
                },
                "spec": {
                    "containers": [
                        {
                            "name": "colorapi",
                            "image": "particule/simplecolorapi:2.0",
                            "ports": [{"name": "web", "containerPort": 5000, "protocol": "TCP"}],
                            "aFieldThatNobodyKnowsYet": {"x": [1, None]},
                        },
                        {"name": "log", "image": "logger:1"},
                    ],
                    "terminationGracePeriodSeconds": 30,
                },
            },
        },
        "status": {"observedGeneration": 7, "replicas": 5, "updatedReplicas": 5, "availableReplicas": 5},
    }
    return merged(raw, changes)


def replica_set(name: str = "colorapi-old", **changes: Any) -> Object:
    """An ordinary ReplicaSet of that Deployment, an older revision at 0."""
    labels = {"app": "colorapi", "tier": "web", names.SIDECAR_LABEL: "true", "pod-template-hash": "old"}
    template = copy.deepcopy(deployment()["spec"]["template"])
    template["metadata"]["labels"]["pod-template-hash"] = "old"
    raw: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"{name}-uid",
            "resourceVersion": "41",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "colorapi", "uid": "deployment-uid"}
                | {"controller": True}
            ],
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "colorapi", "pod-template-hash": "old"}},
            "template": template,
        },
        "status": {"replicas": 0},
    }
    return merged(raw, changes)


def pod(name: str = "colorapi-old-1", owner: str = "colorapi-old", **changes: Any) -> Object:
    """A ready pod with a sidecar."""
    raw: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"{name}-uid",
            "resourceVersion": "51",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "colorapi", names.SIDECAR_LABEL: "true"},
            "annotations": {names.INJECTED: INJECTION.to_json()},
            "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "uid": f"{owner}-uid", "controller": True}],
        },
        "spec": {},
        "status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "initContainerStatuses": [{"name": names.SIDECAR_CONTAINER, "containerID": "c://1", "restartCount": 0}],
        },
    }
    return merged(raw, changes)


def template(name: str = "webcheck", **changes: Any) -> Object:
    """The article's AnalysisTemplate."""
    raw: Object = {
        "apiVersion": names.API_VERSION,
        "kind": "AnalysisTemplate",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "args": [{"name": "host"}],
            "metrics": [
                {
                    "name": "webcheck",
                    "failureLimit": 1,
                    "interval": "5s",
                    "successCondition": 'result == "ok"',
                    "provider": {"web": {"url": "http://{{args.host}}/", "jsonPath": "{$.status}"}},
                }
            ],
        },
    }
    return merged(raw, changes)


def merged(raw: Object, changes: dict[str, Any]) -> Object:
    """`raw` with `changes` merged in (a value of `...` removes the key)."""
    raw = copy.deepcopy(raw)
    for key, value in changes.items():
        if value is ...:
            raw.pop(key, None)
        elif isinstance(value, dict) and isinstance(raw.get(key), dict):
            raw[key] = merged(raw[key], value)
        else:
            raw[key] = value
    return raw
