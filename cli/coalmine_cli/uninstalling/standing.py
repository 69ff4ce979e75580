"""How a Deployment stands before it is let go of, and the one patch that does it.

Pure. Rules: what a person wrote (their pause, their template, their other annotations) stays. A held template is not
shipped by the way: `let_go` is given the stable one, or is told that the present one is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from coalmine.kube.resources import Object, annotations_of, labels_of, resource_version_of
from coalmine.model import names
from coalmine_cli.checking.sight import pod_labels

_PREFIX = f"{names.GROUP}/"


class Where(StrEnum):
    """Where a Deployment is in a rollout."""

    IDLE = "idle"
    OPEN = "open"
    #: The held template was aborted.
    TAKEN_BACK = "taken back"
    HANDING_OVER = "handing over"
    #: Held, without the annotation: it was removed around the webhook.
    ADRIFT = "adrift"


def where(deployment: Object) -> Where:
    """Where it is."""
    annotations = annotations_of(deployment)
    if names.HANDOVER in annotations:
        return Where.HANDING_OVER
    if names.HOLD not in annotations:
        return Where.IDLE
    if names.CANARY not in annotations:
        return Where.ADRIFT
    return Where.TAKEN_BACK if annotations.get(names.FAILED) == annotations[names.HOLD] else Where.OPEN


def images_of(deployment: Object) -> str:
    """The images of its containers, for sentences."""
    containers = deployment["spec"]["template"]["spec"].get("containers") or ()
    return ", ".join(str(c.get("image")) for c in containers)


def is_ours(deployment: Object, *, keep_sidecars: bool = False, keep_annotations: bool = False) -> bool:
    """Whether anything of Coalmine stands on it that is to go."""
    return bool(
        _keys(deployment, keep_annotations=keep_annotations)
        or names.ROLLOUT_LABEL in labels_of(deployment)
        or (not keep_sidecars and names.SIDECAR_LABEL in pod_labels(deployment))
    )


def _keys(obj: Object, *, keep_annotations: bool) -> list[str]:
    kept = names.USER_ANNOTATIONS if keep_annotations else ()
    return [key for key in annotations_of(obj) if key.startswith(_PREFIX) and key not in kept]


def let_go(
    deployment: Object,
    *,
    template: Mapping[str, Any] | None = None,
    keep_sidecars: bool = False,
    keep_annotations: bool = False,
) -> list[Object]:
    """The JSON patch that takes off everything of ours; with `template`, that becomes the Deployment's.

    Conditional on the version that was read. Without the stamp the pods are new ones: a native rolling update.
    """
    operations: list[Object] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version_of(deployment)}
    ]
    operations += [_remove("metadata", "annotations", k) for k in _keys(deployment, keep_annotations=keep_annotations)]
    if names.ROLLOUT_LABEL in labels_of(deployment):
        operations.append(_remove("metadata", "labels", names.ROLLOUT_LABEL))
    if template is not None:
        value = template if keep_sidecars else without_stamp(template)
        operations.append({"op": "replace", "path": "/spec/template", "value": value})
    elif not keep_sidecars and names.SIDECAR_LABEL in pod_labels(deployment):
        operations.append(_remove("spec", "template", "metadata", "labels", names.SIDECAR_LABEL))
    if names.HOLD in annotations_of(deployment) and "paused" in deployment["spec"]:
        operations.append(_remove("spec", "paused"))  # ours: see `hold` of the webhook
    return operations


def without_stamp(template: Mapping[str, Any]) -> Object:
    """A pod template without our label."""
    metadata = dict(template.get("metadata") or {})
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != names.SIDECAR_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def forget(replica_set: Object) -> Object | None:
    """The merge patch that takes our annotations off a ReplicaSet, where the native controller copied them; None when
    there are none. Its template stays: an old revision is what it was."""
    keys = _keys(replica_set, keep_annotations=False)
    if not keys or names.ROLE in annotations_of(replica_set):
        return None
    return {"metadata": {"annotations": dict.fromkeys(keys)}}


def is_complete(deployment: Object) -> bool:
    """deployment/util DeploymentComplete, for a status that is current."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    wanted = int(spec.get("replicas", 1))
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation", 0))
    return seen and all(
        int(status.get(key) or 0) == wanted for key in ("updatedReplicas", "replicas", "availableReplicas")
    )


def progress(deployment: Object) -> str:
    """How far a native rolling update is, for people."""
    status = deployment.get("status") or {}
    counts = [int(status.get(key) or 0) for key in ("updatedReplicas", "availableReplicas")]
    return f"{counts[0]} of {int(deployment['spec'].get('replicas', 1))} pods are new, {counts[1]} available"


def _remove(*path: str) -> Object:
    return {"op": "remove", "path": "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in path)}
