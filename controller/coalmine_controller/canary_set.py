"""The canary ReplicaSet as JSON: how it is made, hidden, shown and given back.

Pure. It is hidden by its own labels: the native controller claims by a ReplicaSet's own metadata
labels, not by its pods', so one without the Deployment's labels is left alone, while its
pods carry them and stand behind the same Services (docs/architecture.md, "The native controller").
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from coalmine.kube.resources import Object, labels_of, resource_version_of
from coalmine.model import names
from coalmine_controller.convert import labels_before
from coalmine_controller.observed import Deployment, ReplicaSet

#: What the native controller does not copy to its ReplicaSets (annotationsToSkip in
#: k8s.io/kubernetes/pkg/controller/deployment/util), and our own state.
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        names.REVISION,
        "deployment.kubernetes.io/revision-history",
        names.DESIRED_REPLICAS,
        names.MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
        *names.OWN_ANNOTATIONS,
    }
)
#: The alphabet of rand.SafeEncodeString: no vowels, so no words.
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(deployment: Deployment) -> str:
    """The value of pod-template-hash for the held template. The native controller attaches no
    meaning to it; the uid keeps it apart from a ReplicaSet that an earlier Deployment of this name left."""
    digest = hashlib.sha256(f"{deployment.fingerprint}/{deployment.uid}".encode()).digest()
    return "".join(_SAFE[b % len(_SAFE)] for b in digest[:10])


def reference(deployment: Deployment) -> Object:
    """Deleting the Deployment collects the ReplicaSet; `controller: false` keeps it from being claimed."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment.name,
        "uid": deployment.uid,
        "controller": False,
    }


def hidden_set(deployment: Deployment, replicas: int) -> Object:
    """The ReplicaSet of the held template."""
    raw = deployment.raw
    template = copy.deepcopy(raw["spec"]["template"])
    pod_hash = template_hash(deployment)
    template.setdefault("metadata", {}).setdefault("labels", {})[names.POD_TEMPLATE_HASH] = pod_hash
    selector = copy.deepcopy(raw["spec"]["selector"])
    selector.setdefault("matchLabels", {})[names.POD_TEMPLATE_HASH] = pod_hash
    annotations = {
        k: v for k, v in (raw["metadata"].get("annotations") or {}).items() if k not in _NOT_COPIED
    } | _marks(deployment)
    spec: Object = {"replicas": replicas, "selector": selector, "template": template}
    if deployment.min_ready:
        spec["minReadySeconds"] = deployment.min_ready
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment.name}-{pod_hash}",
            "namespace": deployment.namespace,
            "labels": {names.SIDECAR_LABEL: names.LABEL_TRUE},
            "annotations": annotations,
            "ownerReferences": [reference(deployment)],
        },
        "spec": spec,
    }


def hide(deployment: Deployment, replica_set: ReplicaSet) -> Object:
    """Merge patch that hides an older revision's ReplicaSet, which is at 0: to use it as the canary, or to keep
    the Deployment from scaling it."""
    labels = labels_of(replica_set.raw)
    return _merge(
        replica_set,
        labels={k: None for k in labels if k != names.SIDECAR_LABEL} | {names.SIDECAR_LABEL: names.LABEL_TRUE},
        annotations=_marks(deployment)
        | {names.FINGERPRINT: replica_set.fingerprint, names.HIDDEN_LABELS: json.dumps(labels, sort_keys=True)},
    )


def show(deployment: Deployment, replica_set: ReplicaSet) -> Object:
    """Merge patch of the handover: the Deployment adopts the ReplicaSet and finds it saturated.

    Without the two annotations `scale()` would take it for unfinished and add pods.
    """
    n = deployment.replicas
    sizes = {names.DESIRED_REPLICAS: str(n), names.MAX_REPLICAS: str(n + deployment.max_surge)}
    return _merge(
        replica_set,
        labels={**_shown_labels(replica_set), names.POD_TEMPLATE_HASH: replica_set.hash},
        annotations=_UNMARK | sizes,
    )


def give_back(replica_set: ReplicaSet) -> Object:
    """Merge patch that shows a hidden older revision, at 0, to its Deployment again."""
    return _merge(replica_set, labels=_shown_labels(replica_set), annotations=dict(_UNMARK))


def add_reference(deployment: Deployment, replica_set: ReplicaSet) -> Object:
    """Merge patch that adds our owner reference to the ones that stand."""
    owners = list(replica_set.raw["metadata"].get("ownerReferences") or ())
    version = resource_version_of(dict(replica_set.raw))
    return {"metadata": {"resourceVersion": version, "ownerReferences": [*owners, reference(deployment)]}}


def _shown_labels(replica_set: ReplicaSet) -> dict[str, str]:
    """Those it had before it was hidden; those of its pods, which the Deployment's selector matches, where it
    was made hidden or that annotation was spoilt."""
    return dict(labels_before(replica_set.raw) or labels_of(replica_set.raw["spec"]["template"]))


def _marks(deployment: Deployment) -> dict[str, Any]:
    return {
        names.ROLE: names.ROLE_CANARY,
        names.DEPLOYMENT_UID: deployment.uid,
        names.DEPLOYMENT_NAME: deployment.name,
        names.FINGERPRINT: deployment.fingerprint,
    }


_UNMARK: dict[str, Any] = dict.fromkeys(
    (names.ROLE, names.DEPLOYMENT_UID, names.DEPLOYMENT_NAME, names.FINGERPRINT, names.HIDDEN_LABELS)
)


def _merge(replica_set: ReplicaSet, *, labels: dict[str, Any], annotations: dict[str, Any]) -> Object:
    version = resource_version_of(dict(replica_set.raw))
    return {"metadata": {"resourceVersion": version, "labels": labels, "annotations": annotations}}
