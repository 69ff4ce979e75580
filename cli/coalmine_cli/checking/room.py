"""Room for a canary: quotas and LimitRanges of the namespace.

Pure. A full promotion has both versions at spec.replicas for a while, so what must be free is a second set of pods. A
quota with scopes may not count these pods at all: it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from coalmine.kube.resources import LIMIT_RANGES, QUOTAS, REPLICA_SETS, Object, annotations_of, name_of
from coalmine.model.names import DEPLOYMENT_UID, ROLE
from coalmine_cli.checking.findings import Finding, about, failed, ok, skipped, warning
from coalmine_cli.checking.quantities import amount, of_pod, spelled
from coalmine_cli.checking.sidecars import ports_of, resources_of
from coalmine_cli.checking.sight import Sight

#: What quotas name, and the kind and resource behind it.
_COUNTED: Mapping[str, tuple[str, str]] = {
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    "requests.cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"),
    "limits.memory": ("limits", "memory"),
}


def check(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """Whether a second set of its pods fits, and whether the sidecar does."""
    pods = sight.pods_of(deployment)
    injection = ports_of(deployment, pods)
    if injection is None:
        return
    sidecar = resources_of(injection, pods)
    yield from _quotas(sight, deployment, sidecar)
    yield from _limits(sight, deployment, sidecar)


def _quotas(sight: Sight, deployment: Object, sidecar: Mapping[str, Any]) -> Iterator[Finding]:
    where, listing = about(deployment), sight.of(QUOTAS)
    if listing.problem:
        yield skipped("quota", where, f"ResourceQuotas cannot be read: {listing.problem}")
        return
    missing = int(deployment["spec"].get("replicas", 1)) - _canaries(sight, deployment)
    for quota in listing.of(deployment["metadata"]["namespace"]):
        spec, used = quota.get("spec") or {}, (quota.get("status") or {}).get("used") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        short = []
        for key, hard in (spec.get("hard") or {}).items():
            each = _each(key, deployment, sidecar)
            free = amount(hard) - amount(used.get(key, 0))
            if each and missing > 0 and free < each * missing:
                short.append(f"{key}: {spelled(max(free, Fraction(0)))} free, {spelled(each * missing)} needed")
        if short:
            message = f"the ResourceQuota {name_of(quota)} has no room for a second set of pods ({'; '.join(short)})"
            advice = "raise it, or the canary stops short of full promotion: it needs twice the pods for a while"
            yield warning("quota", where, message, advice)
        else:
            yield ok("quota", where, f"the ResourceQuota {name_of(quota)} has room for a second set of pods")


def _canaries(sight: Sight, deployment: Object) -> int:
    """Canary pods that are there already, and counted."""
    uid = deployment["metadata"].get("uid")
    return sum(
        int((s.get("status") or {}).get("replicas") or 0)
        for s in sight.of(REPLICA_SETS).of(deployment["metadata"]["namespace"])
        if ROLE in annotations_of(s) and annotations_of(s).get(DEPLOYMENT_UID) == uid
    )


def _each(key: str, deployment: Object, sidecar: Mapping[str, Any]) -> Fraction:
    """What one more pod takes of a quota's resource."""
    if key in ("pods", "count/pods"):
        return Fraction(1)
    if key not in _COUNTED:
        return Fraction(0)
    return of_pod(deployment["spec"]["template"]["spec"], *_COUNTED[key], sidecar)


def _limits(sight: Sight, deployment: Object, sidecar: Mapping[str, Any]) -> Iterator[Finding]:
    """LimitRanges of type Container refuse a pod whose sidecar is too small or too large (plugin LimitRanger)."""
    where, advice = about(deployment), "change the LimitRange, or the sidecar's resources in the webhook's arguments"
    for limits in sight.of(LIMIT_RANGES).of(deployment["metadata"]["namespace"]):
        for item in (limits.get("spec") or {}).get("limits") or ():
            if item.get("type") != "Container":
                continue
            for problem in _outside(item, sidecar):
                message = f"the LimitRange {name_of(limits)} refuses pods with a sidecar: {problem}"
                yield failed("limit range", where, message, advice)


def _outside(item: Mapping[str, Any], sidecar: Mapping[str, Any]) -> Iterator[str]:
    requests, limits = sidecar.get("requests") or {}, sidecar.get("limits") or {}
    for resource, least in (item.get("min") or {}).items():
        for kind, given in (("requests", requests), ("limits", limits)):
            if resource in given and amount(given[resource]) < amount(least):
                yield f"it {kind} {resource} {given[resource]}, at least {least} is wanted"
    for resource, most in (item.get("max") or {}).items():
        for kind, given in (("requests", requests), ("limits", limits)):
            if resource in given and amount(given[resource]) > amount(most):
                yield f"it {kind} {resource} {given[resource]}, at most {most} is allowed"
    for resource, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        if resource in requests and resource in limits and amount(requests[resource]):
            found = amount(limits[resource]) / amount(requests[resource])
            if found > amount(ratio):
                yield f"its limit of {resource} is {spelled(found)} times its request, at most {ratio} is allowed"
