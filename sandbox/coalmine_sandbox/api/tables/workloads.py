"""Deployments, ReplicaSets, Jobs and PodDisruptionBudgets as rows."""

from __future__ import annotations

from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.selectors import text_of
from coalmine_sandbox.api.tables.column import AGE, NAME, Column, Layout, age_of, wide
from coalmine_sandbox.api.times import age, seconds_of

_TEMPLATE: Final = (
    wide("Containers", description="Names of each container in the template."),
    wide("Images", description="Images referenced by each container in the template."),
    wide("Selector"),
)


def _template(spec: Object) -> list[str]:
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    names = ",".join(each["name"] for each in containers)
    images = ",".join(each.get("image", "") for each in containers)
    return [names, images, text_of(spec.get("selector"))]


def _deployment(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        obj["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age_of(obj, now),
        *_template(spec),
    ]


def _replica_set(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [obj["metadata"]["name"], *counts, age_of(obj, now), *_template(spec)]


def _job(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    succeeded, wanted = status.get("succeeded", 0), spec.get("completions")
    parallel = spec.get("parallelism", 0)
    completions = f"{succeeded}/{wanted}"
    if wanted is None:
        completions = f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"
    began, ended = seconds_of(status.get("startTime")), seconds_of(status.get("completionTime"))
    duration = "" if began is None else age((now if ended is None else ended) - began)
    return [obj["metadata"]["name"], _job_status(obj), completions, duration, age_of(obj, now), *_template(spec)]


def _job_status(obj: Object) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    true = {c["type"] for c in conditions if c.get("status") == "True"}
    if "Complete" in true:
        return "Complete"
    if "Failed" in true:
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for name in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if name in true:
            return name
    return "Running"


def _budget(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bounds = [spec.get(field) for field in ("minAvailable", "maxUnavailable")]
    said = ["N/A" if bound is None else str(bound) for bound in bounds]
    return [obj["metadata"]["name"], *said, status.get("disruptionsAllowed", 0), age_of(obj, now)]


DEPLOYMENTS: Final = Layout(
    (
        NAME,
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date"),
        Column("Available"),
        AGE,
        *_TEMPLATE,
    ),
    _deployment,
)
REPLICA_SETS: Final = Layout(
    (NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE, *_TEMPLATE),
    _replica_set,
)
JOBS: Final = Layout(
    (NAME, Column("Status"), Column("Completions"), Column("Duration"), AGE, *_TEMPLATE),
    _job,
)
BUDGETS: Final = Layout(
    (NAME, Column("Min Available"), Column("Max Unavailable"), Column("Allowed Disruptions", "integer"), AGE),
    _budget,
)
