"""What a status of the Rollout means, in a sentence for somebody who sees this for the first time.

Pure. A sentence is about a stage of the release, not about each change of the status: the same
stage of the same attempt has the same key, and is told once.
"""

from __future__ import annotations

from typing import NamedTuple

from coalmine.model.rollout import Phase, Revision, Status
from coalmine.model.weights import Weight


class Said(NamedTuple):
    """A sentence, what it is about, and whether the rollout is at rest there: a moment for a tree."""

    key: tuple[object, ...]
    text: str
    rest: bool = False


def release_of(revision: Revision | None) -> str:
    """``2.0``: the tag of its first image."""
    image = revision.images[0] if revision is not None and revision.images else ""
    return image.rpartition(":")[2] or "?"


def said(status: Status) -> Said | None:
    """The sentence for `status`; None while there is nothing new to say."""
    if status.canary is None:
        return _alone(status)
    new, old, n = release_of(status.canary), release_of(status.stable), status.replicas.desired
    key = (status.attempt, new)
    if status.phase is Phase.DEGRADED or status.aborted_at is not None:
        if status.phase is not Phase.DEGRADED:
            return None
        why = status.abort_message.removeprefix("canary aborted: ") or "it was aborted"
        text = f"{new} is taken back: {why}. All requests go to {old}, whose {_pods(n)} had never left."
        return Said((*key, "aborted"), text, rest=True)
    if status.handover_at is not None:
        text = f"The {_pods(n)} of {new} become the Deployment's own as they are: no restart, no request lost."
        return Said((*key, "handover"), text)
    weight, actual = status.weight, status.actual_weight
    if weight == actual > Weight.ZERO and (status.phase is Phase.PAUSED or weight == Weight.FULL):
        return _at(key, weight, new, old)
    if status.step >= status.steps > 0:
        text = f"No objection at {actual} %: as many pods of {new} as of {old}, and then all requests go to {new}."
        return Said((*key, "full"), text)
    if status.step == 0 and weight == Weight.ZERO:
        text = f"{new} is held: the {_pods(n)} of {old} keep all requests, one pod of {new} starts beside them."
        return Said((*key, "held"), text)
    if actual > Weight.ZERO and status.phase is Phase.PROGRESSING and status.step > 1:
        return Said((*key, "more", status.step), f"No objection at {actual} %: more pods of {new} for the next share.")
    return None


def _at(key: tuple[object, ...], weight: Weight, new: str, old: str) -> Said:
    if weight == Weight.FULL:
        text = f"All requests go to {new}; the pods of {old} still stand by, in case."
        return Said((*key, "at", weight), text)
    text = f"Exactly {weight} % of the requests go to {new}, acknowledged by every sidecar; {new} is checked."
    return Said((*key, "at", weight), text, rest=True)


def _alone(status: Status) -> Said | None:
    n, stable = status.replicas.desired, release_of(status.stable)
    if status.phase is not Phase.HEALTHY or not n or status.replicas.available < n:
        return None
    text = f"{stable} is stable: {_pods(n)}, a native Deployment like any other."
    return Said(("stable", status.attempt, stable), text, rest=True)


def _pods(number: int) -> str:
    return "one pod" if number == 1 else f"{number} pods"
