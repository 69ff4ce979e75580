"""Deployments, ReplicaSets, Jobs and PodDisruptionBudgets. Pure."""

from __future__ import annotations

import copy
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api import selectors
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import metadata, pod_spec
from coalmine_sandbox.api.strategy.faults import (
    forbidden,
    immutable,
    invalid,
    negative,
    not_supported,
    required,
)
from coalmine_sandbox.api.strategy.rules import Generational, change_metadata

_COUNTS: Final = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas")


class Deployments(Generational):
    """Its annotations count as well: the native controller copies them to ReplicaSets."""

    status_keeps = ("labels",)

    def changed(self, new: Object, old: Object) -> bool:
        annotations = [o["metadata"].get("annotations") or {} for o in (new, old)]
        return super().changed(new, old) or annotations[0] != annotations[1]

    def validate(self, obj: Object) -> list[Cause]:
        spec = obj.get("spec") or {}
        faults = [*_replicated(spec), *_strategy(spec.get("strategy") or {})]
        for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
            faults += negative(f"spec.{field}", spec.get(field))
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
            faults.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
        return faults

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        return immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))

    def validate_status(self, new: Object, old: Object) -> list[Cause]:
        return _counts(new.get("status") or {})


class ReplicaSets(Generational):
    def validate(self, obj: Object) -> list[Cause]:
        spec = obj.get("spec") or {}
        return [*_replicated(spec), *negative("spec.minReadySeconds", spec.get("minReadySeconds"))]

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        return immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))

    def validate_status(self, new: Object, old: Object) -> list[Cause]:
        return _counts(new.get("status") or {})


def _replicated(spec: Object) -> list[Cause]:
    """What a Deployment's and a ReplicaSet's specs have in common."""
    faults = negative("spec.replicas", spec.get("replicas"))
    selector = spec.get("selector")
    template = spec.get("template") or {}
    if selector is None:
        faults.append(required("spec.selector"))
    else:
        faults += _selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            faults.append(invalid("spec.selector", selector, "empty selector is invalid for deployment"))
        found = (template.get("metadata") or {}).get("labels") or {}
        parsed = selectors.of_object(selector)
        if parsed is not None and parsed.requirements and not parsed.matches(found):
            detail = "`selector` does not match template `labels`"
            faults.append(invalid("spec.template.metadata.labels", found or None, detail))
    faults += pod_spec.validate_template(template, "spec.template")
    inner = template.get("spec") or {}
    if (policy := inner.get("restartPolicy")) in ("OnFailure", "Never"):
        faults.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if inner.get("activeDeadlineSeconds") is not None:
        path = "spec.template.spec.activeDeadlineSeconds"
        faults.append(forbidden(path, "activeDeadlineSeconds in ReplicaSet is not Supported"))
    return faults


def _selector(selector: Object, path: str) -> list[Cause]:
    faults = metadata.label_faults(selector.get("matchLabels"), f"{path}.matchLabels")
    for number, each in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{number}]"
        operator, values = each.get("operator"), each.get("values")
        if operator in ("In", "NotIn") and not values:
            faults.append(required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            faults.append(forbidden(f"{where}.values", detail))
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            faults.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
    return faults


def _strategy(strategy: Object) -> list[Cause]:
    path = "spec.strategy"
    rolling = strategy.get("rollingUpdate")
    kind = strategy.get("type")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            return [forbidden(f"{path}.rollingUpdate", detail)]
        return []
    if kind not in (None, "RollingUpdate"):
        return [not_supported(f"{path}.type", kind, ("Recreate", "RollingUpdate"))]
    faults = []
    for field in ("maxUnavailable", "maxSurge"):
        faults += _part((rolling or {}).get(field), f"{path}.rollingUpdate.{field}")
    values = [_number((rolling or {}).get(field)) for field in ("maxUnavailable", "maxSurge")]
    if values == [0, 0]:
        value = (rolling or {}).get("maxUnavailable")
        faults.append(invalid(f"{path}.rollingUpdate.maxUnavailable", value, "may not be 0 when `maxSurge` is 0"))
    return faults


def _part(value: Any, path: str) -> list[Cause]:
    """A number of pods, or a percentage of them."""
    if isinstance(value, str) and not (value.endswith("%") and value[:-1].isdigit()):
        detail = (
            "a valid percent string must be a numeric string followed by an ending '%' "
            "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
        )
        return [invalid(path, value, detail)]
    if path.endswith("maxUnavailable") and isinstance(value, str) and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return negative(path, value)


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value[:-1]) if value[:-1].isdigit() else None
    return value if isinstance(value, int) else None


def _counts(status: Object) -> list[Cause]:
    faults = []
    for field in (*_COUNTS, "unavailableReplicas", "terminatingReplicas", "observedGeneration"):
        faults += negative(f"status.{field}", status.get(field))
    whole = status.get("replicas", 0)
    for field in _COUNTS[1:]:
        if (count := status.get(field, 0)) > whole:
            faults.append(invalid(f"status.{field}", count, "cannot be greater than status.replicas"))
    if (available := status.get("availableReplicas", 0)) > status.get("readyReplicas", 0):
        faults.append(invalid("status.availableReplicas", available, "cannot be greater than readyReplicas"))
    return faults


class Jobs(Generational):
    """Its selector is made from its uid, unless its creator says otherwise."""

    propagation = "Orphan"

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        spec = obj["spec"] = copy.deepcopy(obj.get("spec") or {})
        if spec.get("manualSelector"):
            return
        uid, name = obj["metadata"]["uid"], obj["metadata"].get("name", "")
        about = spec.setdefault("template", {}).setdefault("metadata", {})
        labels = about.setdefault("labels", {})
        mine = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name}
        labels.update({"controller-uid": uid, "job-name": name, **mine})
        if not obj["metadata"].get("labels"):
            change_metadata(obj, {"labels": labels})
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}

    def validate(self, obj: Object) -> list[Cause]:
        spec = obj.get("spec") or {}
        faults = []
        for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
            faults += negative(f"spec.{field}", spec.get(field))
        template = spec.get("template") or {}
        faults += pod_spec.validate_template(template, "spec.template")
        policy = (template.get("spec") or {}).get("restartPolicy")
        if policy in (None, "Always"):
            detail = 'valid values: "OnFailure", "Never"'
            faults.append(required("spec.template.spec.restartPolicy", detail))
        return faults

    def validate_update(self, new: Object, old: Object) -> list[Cause]:
        faults = immutable("spec.completions", new["spec"].get("completions"), old["spec"].get("completions"))
        faults += immutable("spec.selector", new["spec"].get("selector"), old["spec"].get("selector"))
        suspended = old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime")
        if not suspended:
            faults += immutable("spec.template", new["spec"].get("template"), old["spec"].get("template"))
        return faults


class DisruptionBudgets(Generational):
    unconditional = False

    def validate(self, obj: Object) -> list[Cause]:
        spec = obj.get("spec") or {}
        faults = []
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            detail = "minAvailable and maxUnavailable cannot be both set"
            faults.append(invalid("spec", spec, detail))
        for field in ("minAvailable", "maxUnavailable"):
            faults += _part(spec.get(field), f"spec.{field}")
        return [*faults, *_selector(spec.get("selector") or {}, "spec.selector")]
