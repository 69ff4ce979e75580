"""A Deployment as the rules see it: read once, before anything is decided.

Rules: PURE; reads raw JSON as the API server sends it (a false ``paused`` and a zero in the status
are left out there, so absent means false and 0). It judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from coalmine.kube.resources import Object, annotations_of, labels_of
from coalmine.model.names import (
    CANARY,
    HOLD,
    LABEL_TRUE,
    OWN_ANNOTATIONS,
    ROLLOUT_LABEL,
    SIDECAR_LABEL,
)
from coalmine.model.strategy import is_off


class Mode(Enum):
    """What the annotation ``coalmine.dev/canary`` asks for."""

    NONE = "none"
    OFF = "off"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Facts:
    """One version of a Deployment.

    `own` are our annotations that stand on it; `labelled` and `stamped` tell of our labels on the
    Deployment and on its pod template; `complete` is the native DeploymentComplete, for a status that is
    current.
    """

    mode: Mode
    canary: str | None
    own: Mapping[str, str]
    labelled: bool
    stamped: bool
    paused: bool
    replicas: int
    template: Object
    complete: bool

    @property
    def held(self) -> bool:
        """Ours iff our annotation stands: `paused` alone may be the user's."""
        return HOLD in self.own

    @property
    def images(self) -> str:
        """The images of the containers, for sentences."""
        containers = (self.template.get("spec") or {}).get("containers") or ()
        return ", ".join(str(c.get("image", "")) for c in containers)


def facts(deployment: Object) -> Facts:
    """Read a Deployment."""
    spec: Mapping[str, Any] = deployment.get("spec") or {}
    annotations = annotations_of(deployment)
    canary = annotations.get(CANARY)
    template = spec.get("template") or {}
    replicas = spec.get("replicas")
    return Facts(
        mode=Mode.NONE if canary is None else Mode.OFF if is_off(canary) else Mode.ON,
        canary=canary,
        own={key: annotations[key] for key in OWN_ANNOTATIONS if key in annotations},
        labelled=labels_of(deployment).get(ROLLOUT_LABEL) == LABEL_TRUE,
        stamped=template_labels(template).get(SIDECAR_LABEL) == LABEL_TRUE,
        paused=spec.get("paused") is True,
        replicas=1 if replicas is None else int(replicas),
        template=template,
        complete=_complete(deployment),
    )


def template_labels(template: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of a pod template; empty where there are none."""
    return (template.get("metadata") or {}).get("labels") or {}


def with_stamp(template: Object, stamped: bool) -> Object:
    """The template with our label on it, or without."""
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in template_labels(template).items() if key != SIDECAR_LABEL}
    if stamped:
        labels[SIDECAR_LABEL] = LABEL_TRUE
    return {**template, "metadata": {**metadata, "labels": labels}}


def _complete(deployment: Object) -> bool:
    # deployment/util DeploymentComplete: updated = total = available = wanted, and nothing unobserved
    spec: Mapping[str, Any] = deployment.get("spec") or {}
    status: Mapping[str, Any] = deployment.get("status") or {}
    wanted = spec.get("replicas")
    wanted = 1 if wanted is None else wanted
    if wanted == 0 and spec.get("paused") is True:
        # 0 = 0 says nothing of a template that a paused Deployment has never shipped
        return False
    generation = deployment["metadata"].get("generation")
    return (
        generation is not None
        and int(status.get("observedGeneration") or 0) >= int(generation)
        and all((status.get(key) or 0) == wanted for key in ("updatedReplicas", "replicas", "availableReplicas"))
    )
