"""The reviews of the admission benchmark: objects of the size and shape that clusters have.

A Deployment of three containers with environment, probes and resources, and managedFields of two managers, is some 9 KB
as JSON; a review of an update carries it twice.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model import names
from coalmine.model.fingerprint import fingerprint

Object = dict[str, Any]

NAMESPACE: Final = "shop"
#: What the stand-in for the API server answers a look-up of the pods' owner.
REPLICA_SET: Final[Object] = {
    "apiVersion": "apps/v1",
    "kind": "ReplicaSet",
    "metadata": {
        "name": "web-5d4f8c7b9",
        "namespace": NAMESPACE,
        "annotations": {names.PORT: "web"},
        "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d", "controller": True}],
    },
    "spec": {"replicas": 5},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of review: what is sent where, how many of twenty, and what every answer must hold."""

    name: str
    path: str
    body: bytes
    of_twenty: int
    holds: Callable[[Object], bool]


def all_kinds() -> tuple[Asked, ...]:
    """The mix: most updates of a Deployment are of its metadata or its size; a release holds one, and makes pods."""
    old, scaled, released = _deployment(), _deployment(), _deployment()
    scaled["spec"]["replicas"] = 7
    released["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/shop/web:2"
    return (
        Asked("Deployment scaled", "/deployments", _review("UPDATE", scaled, old), 10, lambda patch: not patch),
        Asked("Deployment held", "/deployments", _review("UPDATE", released, old), 4, _pauses),
        Asked("Pod created", "/pods", _review("CREATE", _pod(), None), 6, _injects),
    )


def _pauses(patch: Object) -> bool:
    return any(operation["path"] == "/spec/paused" and operation["value"] is True for operation in patch)


def _injects(patch: Object) -> bool:
    return any(operation["path"].startswith("/spec/initContainers") for operation in patch)


def _review(operation: str, obj: Object, old: Object | None) -> bytes:
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "apps", "version": "v1", "kind": obj["kind"]},
        "operation": operation,
        "namespace": NAMESPACE,
        "name": obj["metadata"].get("name", ""),
        "userInfo": {"username": "system:serviceaccount:argocd:argocd-application-controller", "groups": ["a", "b"]},
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}).encode()


def _container(number: int) -> Object:
    variables = [{"name": f"SETTING_{n}", "value": f"a value of some length, number {n}"} for n in range(20)]
    probe = {"httpGet": {"path": "/healthz", "port": "web"}, "periodSeconds": 10, "failureThreshold": 3}
    return {
        "name": f"c{number}" if number else "web",
        "image": f"registry.example/shop/c{number}:1",
        "imagePullPolicy": "IfNotPresent",
        "env": variables,
        "ports": [{"name": "web", "containerPort": 5000, "protocol": "TCP"}] if not number else [],
        "livenessProbe": probe if not number else None,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/shop"}],
    }


def _pod_spec() -> Object:
    containers = [{k: v for k, v in _container(n).items() if v is not None} for n in range(3)]
    return {
        "containers": containers,
        "volumes": [{"name": "configuration", "configMap": {"name": "shop", "defaultMode": 420}}],
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"runAsNonRoot": True},
    }


def _deployment() -> Object:
    labels = {"app": "web", names.SIDECAR_LABEL: names.LABEL_TRUE}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec()}
    canary = "steps:\n- setWeight: 20\n- pause: {duration: 30s}\n- setWeight: 50\n- pause: {duration: 30s}\n"
    managed = {"f:spec": {f"f:field-{n}": {".": {}, "f:name": {}, "f:value": {}} for n in range(40)}}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": NAMESPACE,
            "uid": "d",
            "generation": 3,
            "labels": {"app": "web", names.ROLLOUT_LABEL: names.LABEL_TRUE},
            "annotations": {names.CANARY: canary, names.STABLE: fingerprint(template)},
            "managedFields": [{"manager": m, "operation": "Update", "fieldsV1": managed} for m in ("argocd", "kcm")],
        },
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": template,
        },
        "status": dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 5)
        | {"observedGeneration": 3},
    }
    return copy.deepcopy(made)


def _pod() -> Object:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "uid": "r", "controller": True}
    labels = {"app": "web", names.SIDECAR_LABEL: names.LABEL_TRUE, "pod-template-hash": "5d4f8c7b9"}
    metadata = {"generateName": "web-5d4f8c7b9-", "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec()}
