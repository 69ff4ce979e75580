"""How much of a ResourceQuota one new object uses (pkg/quota/v1/evaluator/core). Pure.

Known: pods and their requests and limits, claims, Services, and the count of anything. Amounts are exact.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from coalmine.kube.resources import PODS, SERVICES, Object, Resource
from coalmine.model.quantities import canonical, parse

Amounts = Mapping[str, Fraction]
#: Counted under their plain plural as well, from before ``count/`` was.
_PLAIN: Final = ("configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets")
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_CLAIMS: Final = "persistentvolumeclaims"


def of(resource: Resource, obj: Object) -> Amounts:
    """What an object uses, by the names that a quota's ``hard`` may have."""
    group = resource.api_version.rpartition("/")[0]
    used: dict[str, Fraction] = {f"count/{resource.plural}.{group}" if group else f"count/{resource.plural}": _ONE}
    if not group and resource.plural in _PLAIN:
        used[resource.plural] = _ONE
    if resource == PODS:
        used |= _of_pod(obj["spec"])
    elif resource == SERVICES:
        used |= _of_service(obj["spec"])
    elif not group and resource.plural == _CLAIMS:
        requests = ((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
        used["requests.storage"] = parse(str(requests.get("storage") or "0"))
    return used


def unsaid(spec: Object, hard: Iterable[str]) -> dict[str, list[str]]:
    """Requests and limits that a quota bounds and that containers of a pod do not name."""
    missing: dict[str, list[str]] = {}
    for name in sorted(hard):
        kind, _, what = name.rpartition(".")
        if what not in _COMPUTE or kind not in ("", "requests", "limits"):
            continue
        every = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        without = [c["name"] for c in every if what not in _said(c, kind or "requests")]
        if without:
            missing[name] = sorted(without)
    return missing


def in_scope(resource: Resource, obj: Object, scopes: Iterable[str]) -> bool:
    """Whether a quota with these scopes is about an object. A scope that is not known here is about nothing."""
    wanted = list(scopes)
    if not wanted:
        return True
    if resource != PODS:
        return False
    spec = obj["spec"]
    terminating = spec.get("activeDeadlineSeconds") is not None
    said = any(_said(c, kind) for c in spec.get("containers") or () for kind in ("requests", "limits"))
    holds = {"Terminating": terminating, "NotTerminating": not terminating, "BestEffort": not said}
    return all({**holds, "NotBestEffort": said}.get(scope, False) for scope in wanted)


def total(one: str, other: Fraction, like: str) -> str:
    """A quantity with an amount added, spelled in the quantity's own way; nothing at all has that of `like`."""
    amount = parse(one or "0")
    return spelled(amount + other, binary=(one if amount else like).endswith("i"))


def spelled(amount: Fraction, *, binary: bool) -> str:
    if binary and amount.denominator == 1 and amount.numerator % 1024 == 0:
        return canonical(f"{amount.numerator // 1024}Ki") if amount else "0"
    if amount.denominator == 1:
        return canonical(str(amount.numerator))
    return canonical(f"{math.ceil(amount * 1000)}m")


_ONE: Final = Fraction(1)


def _of_pod(spec: Object) -> dict[str, Fraction]:
    used: dict[str, Fraction] = {}
    for kind in ("requests", "limits"):
        for name, amount in needed(spec, kind).items():
            used[f"{kind}.{name}"] = amount
            if kind == "requests" and name in _COMPUTE:
                used[name] = amount
    return used


def needed(spec: Object, kind: str) -> Amounts:
    """What a pod needs at its peak: init containers run one by one, before the others; sidecars beside all."""
    running: dict[str, Fraction] = defaultdict(Fraction)
    beside: dict[str, Fraction] = defaultdict(Fraction)
    peak: dict[str, Fraction] = defaultdict(Fraction)
    for container in spec.get("containers") or ():
        for name, amount in _amounts(_said(container, kind)).items():
            running[name] += amount
    for container in spec.get("initContainers") or ():
        needed = _amounts(_said(container, kind))
        for name, amount in needed.items():
            if container.get("restartPolicy") == "Always":
                running[name] += amount
                beside[name] += amount
        for name in (*beside, *needed):
            alone = Fraction(0) if container.get("restartPolicy") == "Always" else needed.get(name, Fraction(0))
            peak[name] = max(peak[name], beside.get(name, Fraction(0)) + alone)
    overhead = _amounts(spec.get("overhead") or {})
    both = {name: max(running[name], peak[name]) for name in {*running, *peak}}
    return {name: amount + overhead.get(name, 0) for name, amount in both.items()}


def _of_service(spec: Object) -> dict[str, Fraction]:
    used = {"services": _ONE}
    kind = spec.get("type")
    if kind in ("NodePort", "LoadBalancer"):
        used["services.nodeports"] = Fraction(len(spec.get("ports") or ()))
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = _ONE
    return used


def _said(container: Object, kind: str) -> Mapping[str, Any]:
    return (container.get("resources") or {}).get(kind) or {}


def _amounts(quantities: Mapping[str, Any]) -> dict[str, Fraction]:
    return {name: parse(str(quantity)) for name, quantity in quantities.items()}
