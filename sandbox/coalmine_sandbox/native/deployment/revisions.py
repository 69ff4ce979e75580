"""Revisions: which ReplicaSet has the Deployment's template, and what is noted on it. Pure.

Source: deployment_util.go (FindNewReplicaSet, SetNewReplicaSetAnnotations).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from coalmine.kube.resources import Object, annotations_of
from coalmine.model.names import DESIRED_REPLICAS, MAX_REPLICAS, POD_TEMPLATE_HASH, REVISION
from coalmine_sandbox.native.deployment.sizes import age_order, max_surge, replicas

REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
#: A ReplicaSet's annotations that are its own: not copied from its Deployment.
_NOT_COPIED: Final = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
#: maxRevHistoryLengthInChars: some hundreds of revisions.
_LONGEST_HISTORY: Final = 2000
#: A DNS subdomain's length.
_LONGEST_NAME: Final = 253
#: rand.SafeEncodeString's letters and digits: no vowels, so no words.
_SAFE: Final = "bcdfghjklmnpqrstvwxz2456789"


def equal_templates(one: Object, other: Object) -> bool:
    """Whether two pod templates are the same but for the label pod-template-hash (EqualIgnoreHash)."""
    return _bare(one) == _bare(other)


def _bare(template: Object) -> Object:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != POD_TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def find_new(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet that has the Deployment's template, whatever its name and its hash."""
    template = deployment["spec"]["template"]
    equal = [each for each in replica_sets if equal_templates(each["spec"]["template"], template)]
    return min(equal, key=age_order, default=None)


def revision(obj: Object) -> int | None:
    """The revision noted on an object, 0 where there is none; None when it cannot be read."""
    text = annotations_of(obj).get(REVISION, "0")
    try:
        return int(text)
    except ValueError:
        return None


def next_revision(old: Iterable[Object]) -> int:
    """The number of the new ReplicaSet, going by the old ones."""
    return max((revision(each) or 0 for each in old), default=0) + 1


def revision_order(replica_set: Object) -> tuple[int, str, str]:
    """The oldest revision first."""
    return (revision(replica_set) or 0, *age_order(replica_set))


def noted_anew(deployment: Object, new: Object, number: int, *, exists: bool) -> dict[str, str]:
    """The annotations that the new ReplicaSet is to have: the Deployment's, its revision and the ones before it."""
    annotations = dict(annotations_of(new))
    annotations.update({k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED})
    before = annotations.get(REVISION)
    known = revision(new)
    if known is None:  # somebody wrote something else there: it stays
        return annotations
    if known < number:
        annotations[REVISION] = str(number)
        if before is not None:
            annotations[REVISION_HISTORY] = _history(annotations.get(REVISION_HISTORY, ""), before)
    if not exists:
        annotations.update(sizes_noted(deployment))
    return annotations


def _history(history: str, last: str) -> str:
    """`history` with one more revision; the oldest are forgotten when it grows too long."""
    if not history:
        return last
    revisions = [*history.split(","), last]
    while len(revisions) > 1 and len(",".join(revisions)) > _LONGEST_HISTORY:
        del revisions[0]
    return ",".join(revisions)


def sizes_noted(deployment: Object) -> dict[str, str]:
    """What a ReplicaSet that is scaled is told of the Deployment's sizes."""
    size = replicas(deployment)
    return {DESIRED_REPLICAS: str(size), MAX_REPLICAS: str(size + max_surge(deployment))}


def template_hash(template: Object, collisions: int | None) -> str:
    """pod-template-hash of a new ReplicaSet. The digits of 32 bits, as letters: what the real one's look like."""
    text = json.dumps([template, collisions], sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(number))


def set_name(deployment_name: str, pod_hash: str) -> str:
    return f"{deployment_name[: _LONGEST_NAME - 1 - len(pod_hash)]}-{pod_hash}"
