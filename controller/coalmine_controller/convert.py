"""From raw API objects to the values of `observed`.

Pure. Objects come from the API server, which has validated them, so that fields it always sets are
taken for granted; what a person writes in annotations is not.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any

from coalmine.kube.resources import Object, annotations_of, controller_of, labels_of, name_of, namespace_of, uid_of
from coalmine.model import names
from coalmine.model.condition import failed_fingerprint
from coalmine.model.durations import parse_time
from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.fingerprint import fingerprint
from coalmine.model.proxy_settings import DEFAULTS, ProxySettings, parse_settings
from coalmine.model.strategy import Strategy, is_off, parse_strategy
from coalmine.model.wire import Injection
from coalmine_controller.observed import Deployment, Pod, ReplicaSet, Run

_DEFAULT_DEADLINE = 600
#: Annotations of which the reading is kept: YAML takes milliseconds, and each look would read it again. Mostly a few
#: texts, shared by many Deployments; some thousand of their own cost some megabytes.
_TEXTS = 4096
#: An annotation is text that anybody may have changed.
_NUMBER = re.compile(r"[0-9]{1,18}")


def deployment_from(raw: Object) -> Deployment:
    """Read a Deployment."""
    spec, status, annotations = raw["spec"], raw.get("status") or {}, annotations_of(raw)
    replicas = int(spec.get("replicas", 1))
    generation = int(raw["metadata"].get("generation", 0))
    text = annotations.get(names.CANARY)
    paused = bool(spec.get("paused"))
    counts = [int(status.get(k) or 0) for k in ("updatedReplicas", "replicas", "availableReplicas")]
    current = int(status.get("observedGeneration") or 0) >= generation
    progressing: Object = next((c for c in status.get("conditions") or () if c.get("type") == "Progressing"), {})
    return Deployment(
        namespace=namespace_of(raw),
        name=name_of(raw),
        uid=uid_of(raw),
        generation=generation,
        fingerprint=fingerprint(spec["template"]),
        replicas=replicas,
        min_ready=int(spec.get("minReadySeconds") or 0),
        max_surge=_max_surge(spec, replicas),
        progress_deadline=float(spec.get("progressDeadlineSeconds") or _DEFAULT_DEADLINE),
        paused=paused,
        hold=annotations.get(names.HOLD),
        stable=annotations.get(names.STABLE),
        failed=annotations.get(names.FAILED),
        handover=annotations.get(names.HANDOVER),
        strategy=_strategy(text),
        off=is_off(text),
        stamped=labels_of(spec["template"]).get(names.SIDECAR_LABEL) == names.LABEL_TRUE
        if spec["template"].get("metadata")
        else False,
        complete=current and not paused and counts == [replicas] * 3,
        updated=counts[0],
        available=counts[2],
        progressing_reason=str(progressing.get("reason", "")),
        reported_failure=failed_fingerprint(progressing),
        images=_images(spec["template"]),
        local_paths=_local_paths(annotations.get(names.LOCAL_PATHS)),
        settings=_settings(annotations.get(names.PROXY)),
        raw=raw,
    )


@lru_cache(maxsize=_TEXTS)
def _strategy(text: str | None) -> Strategy | SpecError | None:
    if text is None or is_off(text):
        return None
    try:
        return parse_strategy(text)
    except SpecError as error:
        return error


@lru_cache(maxsize=_TEXTS)
def _settings(text: str | None) -> ProxySettings:
    """What the webhook refuses has come around it: that must not stand in the way of an abort."""
    try:
        return DEFAULTS if text is None else parse_settings(text)
    except SpecError:
        return DEFAULTS


def _max_surge(spec: Object, replicas: int) -> int:
    """maxSurge in pods, a percentage rounded up (deploymentutil.ResolveFenceposts)."""
    value: Any = ((spec.get("strategy") or {}).get("rollingUpdate") or {}).get("maxSurge", "25%")
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(replicas * int(value[:-1]) / 100)
    return int(value)


def _images(template: Object) -> tuple[str, ...]:
    return tuple(str(c.get("image", "")) for c in template["spec"].get("containers") or ())


def _local_paths(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ("/metrics",)
    paths = (path.strip() for path in text.split(","))
    # one that a sidecar refuses would have it refuse every routing, an abort's too
    return tuple(path for path in paths if path.startswith("/") and path.isascii())


def replica_set_from(raw: Object, deployment: Deployment) -> ReplicaSet:
    """Read a ReplicaSet of `deployment`."""
    spec, status, annotations = raw["spec"], raw.get("status") or {}, annotations_of(raw)
    controller = controller_of(raw)
    conditions = status.get("conditions") or ()
    failure = next((c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True"), None)
    revision = annotations.get(names.REVISION, "0")
    hidden = annotations.get(names.ROLE) == names.ROLE_CANARY
    return ReplicaSet(
        name=name_of(raw),
        uid=uid_of(raw),
        fingerprint=fingerprint(spec["template"]),
        hash=str((spec["selector"].get("matchLabels") or {}).get(names.POD_TEMPLATE_HASH, "")),
        replicas=int(spec.get("replicas", 1)),
        current=int(status.get("replicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        hidden=hidden,
        ours=annotations.get(names.DEPLOYMENT_UID) == deployment.uid,
        owned=controller is not None and controller.get("uid") == deployment.uid,
        referenced=any(o.get("uid") == deployment.uid for o in raw["metadata"].get("ownerReferences") or ()),
        min_ready=int(spec.get("minReadySeconds") or 0),
        returnable=names.HIDDEN_LABELS in annotations,
        revision=int(revision) if _NUMBER.fullmatch(revision) else 0,
        created=parse_time(raw["metadata"]["creationTimestamp"]),
        images=_images(spec["template"]),
        failure=str(failure.get("message", "")) if failure else "",
        raw=raw,
    )


def pod_from(raw: Object) -> Pod:
    """Read a pod; what its sidecar has acknowledged is added by `observe`."""
    status, annotations = raw.get("status") or {}, annotations_of(raw)
    controller = controller_of(raw)
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    try:
        injection = Injection.from_json(annotations[names.INJECTED]) if names.INJECTED in annotations else None
    except RemoteError:
        injection = None
    finished = status.get("phase") in ("Succeeded", "Failed")  # evicted by its node, say: nobody is there
    return Pod(
        name=name_of(raw),
        uid=uid_of(raw),
        replica_set=str(controller["name"]) if controller else "",
        address="" if finished else str(status.get("podIP") or ""),
        ready=ready and not finished,
        terminating=finished or bool(raw["metadata"].get("deletionTimestamp")),
        created=parse_time(raw["metadata"]["creationTimestamp"]),
        injection=injection,
        waiting=_waiting(status),
    )


def _waiting(status: Object) -> str:
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            reason = ((container.get("state") or {}).get("waiting") or {}).get("reason")
            if reason and reason not in ("ContainerCreating", "PodInitializing"):
                return str(reason)
    return ""


def sidecar_boot(raw: Object) -> str:
    """What changes when the sidecar's container is started again: its id and its count of restarts."""
    status = raw.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            if container.get("name") == names.SIDECAR_CONTAINER:
                return f"{container.get('containerID', '')}#{container.get('restartCount', 0)}"
    return ""


def run_from(raw: Object) -> Run:
    """Read an AnalysisRun."""
    status = raw.get("status") or {}
    return Run(
        name=name_of(raw),
        phase=str(status.get("phase") or "Pending"),
        message=str(status.get("message") or ""),
        terminated=bool((raw.get("spec") or {}).get("terminate")),
    )


def labels_before(raw: Object) -> dict[str, str]:
    """The labels that a hidden ReplicaSet had before it was hidden; empty for one that we made."""
    try:
        labels = json.loads(annotations_of(raw).get(names.HIDDEN_LABELS, "{}"))
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}
