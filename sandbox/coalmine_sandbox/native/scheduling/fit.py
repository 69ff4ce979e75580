"""Whether a pod fits a node, and which of those that it fits is best. Pure.

The filters are those of kube-scheduler's plugins TaintToleration, NodeAffinity, NodePorts, NodeName
and NodeResourcesFit, with their words; the score is the share of a node that is left. There is no
preemption, no affinity among pods and no topology spreading: pods that ask for those are placed without.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from coalmine.kube.resources import Object, labels_of, name_of
from coalmine.model import quantities
from coalmine_sandbox.api.admission.usage import needed
from coalmine_sandbox.api.selectors import Requirement

_TAINTED: Final = "node(s) had untolerated taint(s)"
_SELECTED: Final = "node(s) didn't match Pod's node affinity/selector"
_PORTS: Final = "node(s) didn't have free ports for the requested pod ports"
_NAMED: Final = "node(s) didn't match the requested node name"
_FULL: Final = "Too many pods"
#: In this order they are told.
_COUNTED: Final = ("cpu", "memory", "ephemeral-storage")


def misfits(pod: Object, node: Object, placed: Sequence[Object]) -> list[str]:
    """Why a pod does not fit a node that has the pods `placed`; empty when it does."""
    spec = pod["spec"]
    if spec.get("nodeName") and spec["nodeName"] != name_of(node):
        return [_NAMED]
    if any(not _tolerated(taint, spec.get("tolerations") or ()) for taint in _taints(node)):
        return [_TAINTED]
    if not _selects(spec, node):
        return [_SELECTED]
    wanted = _host_ports(pod)
    if wanted and wanted & {port for each in placed for port in _host_ports(each)}:
        return [_PORTS]
    return _insufficient(pod, node, placed)


def _insufficient(pod: Object, node: Object, placed: Sequence[Object]) -> list[str]:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    found = []
    if len(placed) + 1 > quantities.parse(str(allocatable.get("pods", "0"))):
        found.append(_FULL)
    wanted = needed(pod["spec"], "requests")
    taken = _taken(placed)
    for name in sorted(wanted, key=lambda n: (_COUNTED.index(n) if n in _COUNTED else len(_COUNTED), n)):
        have = quantities.parse(str(allocatable.get(name, "0")))
        if wanted[name] > 0 and taken[name] + wanted[name] > have:
            found.append(f"Insufficient {name}")
    return found


def _taken(pods: Iterable[Object]) -> defaultdict[str, Fraction]:
    """What pods ask for together."""
    found: defaultdict[str, Fraction] = defaultdict(Fraction)
    for pod in pods:
        for name, amount in needed(pod["spec"], "requests").items():
            found[name] += amount
    return found


def _taints(node: Object) -> list[Object]:
    """The taints that keep pods away. A node that is cordoned has one in any case."""
    spec = node.get("spec") or {}
    found = [taint for taint in spec.get("taints") or () if taint["effect"] in ("NoSchedule", "NoExecute")]
    if spec.get("unschedulable"):
        found.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    return found


def _tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    for each in tolerations:
        if each.get("effect") not in (None, "", taint["effect"]):
            continue
        if each.get("key") and each["key"] != taint["key"]:
            continue
        if each.get("operator", "Equal") == "Exists":
            return True
        if each.get("key") and each.get("value", "") == taint.get("value", ""):
            return True
    return False


def _selects(spec: Object, node: Object) -> bool:
    selector = spec.get("nodeSelector") or {}
    if not selector.items() <= labels_of(node).items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term_matches(term: Object, node: Object) -> bool:
    """All of a term's requirements hold; a term without any matches nothing."""
    requirements = [(labels_of(node), each) for each in term.get("matchExpressions") or ()]
    requirements += [({"metadata.name": name_of(node)}, each) for each in term.get("matchFields") or ()]
    return bool(requirements) and all(
        Requirement(each["key"], each["operator"], frozenset(each.get("values") or ())).matches(values)
        for values, each in requirements
    )


def _host_ports(pod: Object) -> set[tuple[str, int]]:
    return {
        (port.get("protocol", "TCP"), port["hostPort"])
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def free_share(pod: Object, node: Object, placed: Sequence[Object]) -> Fraction:
    """The mean share of cpu and memory, and of room for pods, that the node has left with the pod on it."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    taken = {**_taken((*placed, pod)), "pods": Fraction(len(placed) + 1)}
    shares = []
    for name in ("cpu", "memory", "pods"):
        have = quantities.parse(str(allocatable.get(name, "0")))
        if have > 0:
            shares.append(1 - taken.get(name, Fraction(0)) / have)
    return Fraction(sum(shares), max(1, len(shares)))


def why_nowhere(reasons: Sequence[Sequence[str]]) -> str:
    """What is told of a pod that fits no node; one list of reasons for each node."""
    if not reasons:
        return "no nodes available to schedule pods"
    counts = Counter(reason for each in reasons for reason in each)
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{len(reasons)} nodes are available: {told}."
