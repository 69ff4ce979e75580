"""Pods and what makes them (pkg/apis/{core,apps,batch}/v1/defaults.go)."""

from __future__ import annotations

from typing import Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.defaults import pod

_QUARTER: Final = "25%"
_ANY_NUMBER: Final = 2_147_483_647


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec["strategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", _QUARTER)
        rolling.setdefault("maxSurge", _QUARTER)
    pod.template(spec["template"])


def _replica_set(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    if "template" in spec:
        pod.template(spec["template"])


def _job(obj: Object) -> None:
    spec = obj["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    failures = spec.get("podFailurePolicy")
    for name, value in (
        ("parallelism", 1),
        ("backoffLimit", _ANY_NUMBER if "backoffLimitPerIndex" in spec else 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("podReplacementPolicy", "TerminatingOrFailed" if failures is None else "Failed"),
        ("manualSelector", False),
    ):
        spec.setdefault(name, value)
    for rule in (failures or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"
    template = spec["template"]
    if template["metadata"].get("labels") and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(template["metadata"]["labels"])
    pod.template(template)


DEFAULTS: Final = {
    ("v1", "Pod"): pod.pod,
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "ReplicaSet"): _replica_set,
    ("batch/v1", "Job"): _job,
}
