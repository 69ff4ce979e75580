"""How many pods a Deployment may have, and lack: surge, unavailability, proportions. Pure.

Source: deployment_util.go (ResolveFenceposts, NewRSNewReplicas, GetReplicaSetProportion).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from coalmine.kube.resources import Object, annotations_of, name_of
from coalmine.model.names import DESIRED_REPLICAS, MAX_REPLICAS

_INT32: Final = 2**31 - 1


def replicas(obj: Object) -> int:
    """spec.replicas of a Deployment or a ReplicaSet (the API server fills it in)."""
    return int(obj["spec"].get("replicas", 1))


def count(obj: Object, field: str) -> int:
    """A count in a status, 0 where there is none."""
    return int((obj.get("status") or {}).get(field) or 0)


def total(replica_sets: Iterable[Object]) -> int:
    """The sum of what they are to have."""
    return sum(replicas(each) for each in replica_sets)


def counted(replica_sets: Iterable[Object], field: str) -> int:
    """The sum of what their statuses say of `field`."""
    return sum(count(each, field) for each in replica_sets)


def active(replica_sets: Iterable[Object]) -> list[Object]:
    """Those that are to have pods."""
    return [each for each in replica_sets if replicas(each) > 0]


def scaled(value: int | str | None, of: int, *, round_up: bool) -> int:
    """An integer or a percentage of `of` (intstr.GetScaledValueFromIntOrPercent). Raises ValueError."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-percent * of // 100) if round_up else percent * of // 100


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "RollingUpdate")


def _fenceposts(deployment: Object) -> tuple[int, int]:
    """maxSurge and maxUnavailable. When both come to nothing, one may be unavailable: a surge may meet a quota."""
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    desired = replicas(deployment)
    surge = scaled(rolling.get("maxSurge"), desired, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), desired, round_up=False)
    return (0, 1) if surge == unavailable == 0 else (surge, unavailable)


def max_surge(deployment: Object) -> int:
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Object) -> int:
    if not is_rolling(deployment) or replicas(deployment) == 0:
        return 0
    return min(_fenceposts(deployment)[1], replicas(deployment))


def new_size(deployment: Object, replica_sets: Iterable[Object], new: Object) -> int:
    """What the new ReplicaSet may be scaled to; `replica_sets` are all, the new one included."""
    if not is_rolling(deployment):
        return replicas(deployment)
    room = replicas(deployment) + max_surge(deployment) - total(replica_sets)
    if room <= 0:
        return replicas(new)
    return replicas(new) + min(room, replicas(deployment) - replicas(new))


def noted(replica_set: Object, key: str) -> int | None:
    """A number in an annotation; None where there is none that can be read."""
    text = annotations_of(replica_set).get(key, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _INT32 else None


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """All that the new ReplicaSet is to have, was told to have and has is all that the Deployment wants."""
    if new is None:
        return False
    wanted = replicas(deployment)
    return replicas(new) == noted(new, DESIRED_REPLICAS) == count(new, "availableReplicas") == wanted


def age_order(replica_set: Object) -> tuple[str, str]:
    """The oldest first; creation times have whole seconds, so that names decide between some."""
    return str(replica_set["metadata"].get("creationTimestamp") or ""), name_of(replica_set)


def proportions(deployment: Object, replica_sets: Iterable[Object]) -> list[tuple[Object, int]]:
    """The active ReplicaSets, in the order in which they are scaled, each with its new size.

    What is missing from replicas + maxSurge, or too much, is dealt out in proportion to their sizes;
    the largest one takes what rounding leaves over.
    """
    ordered = active(replica_sets)
    allowed = replicas(deployment) + max_surge(deployment) if replicas(deployment) > 0 else 0
    to_add = allowed - total(ordered)
    ordered.sort(key=age_order, reverse=to_add > 0)
    if to_add:
        ordered.sort(key=replicas, reverse=True)
    sizes, added = [], 0
    for each in ordered:
        part = _proportion(deployment, each, to_add, added)
        sizes.append(replicas(each) + part)
        added += part
    if ordered and to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return list(zip(ordered, sizes, strict=True))


def _proportion(deployment: Object, replica_set: Object, to_add: int, added: int) -> int:
    if to_add in (0, added):
        return 0
    fraction, allowed = _fraction(deployment, replica_set), to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(deployment: Object, replica_set: Object) -> int:
    """By how much a ReplicaSet is to change, by what it was told when it was scaled last."""
    size = replicas(replica_set)
    if replicas(deployment) == 0:
        return -size
    before = noted(replica_set, MAX_REPLICAS) or count(deployment, "replicas")
    if before == 0:
        return 0
    exact = size * (replicas(deployment) + max_surge(deployment)) / before
    return math.floor(exact + 0.5) - size
