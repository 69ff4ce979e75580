"""Which pods go first when there are too many. Pure.

Source: controller_utils.go (ActivePodsWithRanks) and replica_set.go (getPodsRankedByRelatedPodsOnSameNode). Times
count in a logarithmic scale, so that among pods of about one age it is chance, here the uid, that decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from typing import Final

from coalmine.kube.resources import Object, annotations_of, uid_of
from coalmine_sandbox.api.times import seconds_of
from coalmine_sandbox.native.pods import is_active, is_native_sidecar, is_ready, phase, ready_since

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}
_LEAST_COST, _MOST_COST = -(2**31), 2**31 - 1


def to_delete(pods: Sequence[Object], related: Iterable[Object], count: int, now: float) -> list[Object]:
    """`count` of `pods`, those that are missed least. `related` are all pods of the same Deployment, these included."""
    if count >= len(pods):
        return list(pods)
    on_node = Counter(_node(pod) for pod in related if is_active(pod))

    def before(one: Object, other: Object) -> int:
        return _compare(one, other, on_node, now)

    return sorted(pods, key=cmp_to_key(before))[:count]


def _compare(one: Object, other: Object, on_node: Counter[str], now: float) -> int:
    """Negative: `one` goes first."""

    def key(pod: Object) -> tuple[bool, int, bool, int, int]:
        return bool(_node(pod)), _PHASES.get(phase(pod), 0), is_ready(pod), _cost(pod), -on_node[_node(pod)]

    if key(one) != key(other):
        return -1 if key(one) < key(other) else 1
    if is_ready(one):
        decided = _younger(ready_since(one), ready_since(other), one, other, now)
        if decided:
            return decided
    if _restarts(one) != _restarts(other):
        return -1 if _restarts(one) > _restarts(other) else 1
    return _younger(_created(one), _created(other), one, other, now)


def _younger(at: float | None, other_at: float | None, one: Object, other: Object, now: float) -> int:
    """Negative: `one` is the younger; a time that nobody knows is the youngest."""
    if at == other_at:
        return 0
    if at is None or other_at is None:
        return -1 if at is None else 1
    rank, other_rank = _magnitude(now - at), _magnitude(now - other_at)
    if rank != other_rank:
        return rank - other_rank
    return -1 if uid_of(one) < uid_of(other) else 1


def _magnitude(seconds: float) -> int:
    """The binary order of magnitude of an age, which Go counts in nanoseconds."""
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def _node(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def _created(pod: Object) -> float | None:
    return seconds_of(pod["metadata"].get("creationTimestamp"))


def _cost(pod: Object) -> int:
    """What its deletion costs; 0 where that cannot be read."""
    text = annotations_of(pod).get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if _LEAST_COST <= cost <= _MOST_COST else 0


def _restarts(pod: Object) -> tuple[int, int]:
    """The most restarts of a container, and of a native sidecar."""
    status = pod.get("status") or {}
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if is_native_sidecar(c)}
    regular = [c.get("restartCount", 0) for c in status.get("containerStatuses") or ()]
    beside = [c.get("restartCount", 0) for c in status.get("initContainerStatuses") or () if c["name"] in sidecars]
    return max(regular, default=0), max(beside, default=0)
