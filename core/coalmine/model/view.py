"""What `get rollout` shows, as values: the header's fields and the tree.

Pure: made by `view` of raw objects as the API server stores them; drawn elsewhere. Rules:
- Words are Argo Rollouts' and kubectl's, so that what people know from there holds here.
- A ReplicaSet belongs to the Deployment when it refers to it as its owner (in the handover not yet
  as its controller), or when it is hidden from it and names its uid. A pod belongs to the
  ReplicaSet that controls it, an AnalysisRun to the revision whose template it judged. Runs of
  revisions that are gone are not shown.
- The canary's revision is shown as the one that it will become.
- A status that is older than the last change is not shown as the present one (`standing`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from coalmine.model import names
from coalmine.model.durations import format_time, parse_time
from coalmine.model.fingerprint import fingerprint
from coalmine.model.pod_status import pod_containers, pod_status
from coalmine.model.rollout import Phase, Replicas, Revision, Status, Wish, Wishes
from coalmine.model.weights import Weight

_Raw = Mapping[str, Any]


class Kind(StrEnum):
    """Kinds of nodes; a revision is no object of its own."""

    ROLLOUT = "Rollout"
    REVISION = "Revision"
    REPLICA_SET = "ReplicaSet"
    POD = "Pod"
    ANALYSIS_RUN = "AnalysisRun"


class Mark(StrEnum):
    """How a status is to be taken."""

    GOOD = "good"
    BAD = "bad"
    WAITING = "waiting"
    PAUSED = "paused"
    IDLE = "idle"
    WARNING = "warning"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of measurements with one outcome."""

    mark: Mark
    number: int


@dataclass(frozen=True, slots=True)
class Node:
    """A line of the tree. `since` is the Unix time of the object's creation."""

    kind: Kind
    name: str
    status: str = ""
    mark: Mark | None = None
    since: float | None = None
    info: tuple[str | Count, ...] = ()
    children: tuple[Node, ...] = ()

    def to_json(self) -> dict[str, Any]:
        raw: dict[str, Any] = {"kind": self.kind.value, "name": self.name}
        if self.status:
            raw["status"] = self.status
        if self.since is not None:
            raw["creationTimestamp"] = format_time(self.since)
        words = [i for i in self.info if isinstance(i, str)]
        counts = {_COUNTED[i.mark]: i.number for i in self.info if isinstance(i, Count)}
        if words:
            raw["info"] = words
        if counts:
            raw["measurements"] = counts
        if self.children:
            raw["children"] = [child.to_json() for child in self.children]
        return raw


@dataclass(frozen=True, slots=True)
class Image:
    """An image, and whose it is: stable, canary, or both."""

    name: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is shown of one rollout."""

    name: str
    namespace: str
    phase: Phase
    message: str
    step: str
    set_weight: Weight
    actual_weight: Weight
    images: tuple[Image, ...]
    replicas: Replicas
    tree: Node

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "namespace": self.namespace,
            "phase": self.phase.value,
            "message": self.message,
            "strategy": "Canary",
            "step": self.step,
            "setWeight": self.set_weight.percent,
            "actualWeight": self.actual_weight.percent,
            "images": [{"image": i.name, "roles": list(i.roles)} for i in self.images],
            "replicas": {
                "desired": self.replicas.desired,
                "current": self.replicas.current,
                "updated": self.replicas.updated,
                "ready": self.replicas.ready,
                "available": self.replicas.available,
            },
            "tree": self.tree.to_json(),
        }


PHASE_MARKS: Final = {
    Phase.HEALTHY: Mark.GOOD,
    Phase.PROGRESSING: Mark.WAITING,
    Phase.PAUSED: Mark.PAUSED,
    Phase.DEGRADED: Mark.BAD,
}
_RUN_MARKS: Final = {
    "Pending": Mark.WAITING,
    "Running": Mark.WAITING,
    "Successful": Mark.GOOD,
    "Failed": Mark.BAD,
    "Error": Mark.WARNING,
    "Inconclusive": Mark.UNKNOWN,
}
#: The counters of an AnalysisRun's metric results, in the order in which they are shown.
_COUNTED: Final = {
    Mark.GOOD: "successful",
    Mark.BAD: "failed",
    Mark.UNKNOWN: "inconclusive",
    Mark.WARNING: "error",
}
#: Statuses of a pod that is on its way, up or down; all others that are not Running are trouble.
_ON_ITS_WAY: Final = re.compile(r"Pending|ContainerCreating|PodInitializing|Terminating|NotReady|Init:\d+/\d+")


def standing(deployment: _Raw, rollout: _Raw | None, status: Status) -> tuple[Phase, str]:
    """Phase and message as they may be told now.

    What the controller wrote about an earlier Deployment, an earlier generation or before a retry
    is not the present state: `set image` followed at once by `status` must not say Healthy.
    """
    if rollout is None:
        return Phase.PROGRESSING, "waiting for the controller to make the Rollout"
    metadata = deployment["metadata"]
    owner = _controller(rollout)
    if owner is not None and owner != str(metadata.get("uid")):
        return Phase.PROGRESSING, "the Deployment was made anew: waiting for the controller to see it"
    if status.workload_generation < int(metadata.get("generation", 0)):
        return Phase.PROGRESSING, "waiting for the controller to see the latest change"
    retry = Wishes.from_json(rollout.get("spec") or {}).retry
    if retry is not None and status.aborted_at is not None and retry == wish_of(status):
        return Phase.PROGRESSING, "waiting for the controller to begin the retry"
    return status.phase, status.message


def wish_of(status: Status) -> Wish | None:
    """The revision and attempt that a person who looks at `status` is talking about."""
    return None if status.canary is None else Wish(status.canary.fingerprint, status.attempt)


def view(
    deployment: _Raw,
    rollout: _Raw,
    replica_sets: Iterable[_Raw] = (),
    pods: Iterable[_Raw] = (),
    runs: Iterable[_Raw] = (),
) -> View:
    """The view of one rollout; ReplicaSets, pods and runs of others may be among those given.

    Raises ValueError, KeyError or TypeError when the Rollout's status is not what this
    version of Coalmine writes.
    """
    status = Status.from_json(rollout.get("status") or {})
    phase, message = standing(deployment, rollout, status)
    metadata = deployment["metadata"]
    sets = [r for r in replica_sets if _belongs(r, str(metadata.get("uid")))]
    pods = list(pods)
    nodes = _revisions(sets, pods, [r for r in runs if _owned_by(r, rollout)], status)
    root = Node(
        Kind.ROLLOUT, str(metadata["name"]), phase.value, PHASE_MARKS[phase], _created(rollout), (), tuple(nodes)
    )
    done = status.canary is None  # then all requests go to the one template that there is
    return View(
        name=str(metadata["name"]),
        namespace=str(metadata.get("namespace", "")),
        phase=phase,
        message=message,
        step=f"{status.steps}/{status.steps}" if done else status.step_text,
        set_weight=Weight.FULL if done else status.weight,
        actual_weight=Weight.FULL if done else status.actual_weight,
        images=_images(deployment, status, sets),
        replicas=status.replicas,
        tree=root,
    )


def _images(deployment: _Raw, status: Status, sets: Sequence[_Raw]) -> tuple[Image, ...]:
    """Stable's images, then the canary's while it is being brought up or still has pods."""
    roles: dict[str, list[str]] = {image: ["stable"] for image in status.stable.images}
    canary = status.canary
    if canary is not None:
        left = [r for r in sets if _role(r, status) == "canary"]
        pods = any((r.get("spec") or {}).get("replicas") or (r.get("status") or {}).get("replicas") for r in left)
        if pods or status.aborted_at is None:
            for image in canary.images:
                roles.setdefault(image, []).append("canary")
    if not roles:  # the controller has not written a status yet
        spec = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
        roles = {str(c.get("image", "")): [] for c in spec.get("containers") or ()}
    return tuple(Image(name, tuple(dict.fromkeys(of))) for name, of in roles.items())


def _revisions(sets: list[_Raw], pods: list[_Raw], runs: list[_Raw], status: Status) -> list[Node]:
    """A node for each revision, the newest first; hidden ReplicaSets without a number come last."""
    numbers = {str(r["metadata"].get("uid")): _number(r, status) for r in sets}
    highest = max(numbers.values(), default=0)
    grouped: dict[int, list[_Raw]] = {}
    for replica_set in sets:
        grouped.setdefault(numbers[str(replica_set["metadata"].get("uid"))], []).append(replica_set)
    canary = status.canary
    if canary is not None and not any(_role(r, status) == "canary" for r in sets):
        grouped.setdefault(canary.number or highest + 1, [])  # its ReplicaSet is still to be made, or is gone
    nodes = []
    for number in sorted(grouped, reverse=True):
        members = sorted(grouped[number], key=_age_order)
        prints = {_fingerprint(r) for r in members}
        if canary is not None and number == (canary.number or highest + 1):
            prints.add(canary.fingerprint)
        judged = [r for r in runs if _judged(r, members, prints)]
        children = [_replica_set(r, pods, status) for r in members]
        children += [_run(r) for r in sorted(judged, key=_age_order, reverse=True)]
        nodes.append(Node(Kind.REVISION, f"revision:{number}" if number else "superseded", children=tuple(children)))
    return nodes


def _number(replica_set: _Raw, status: Status) -> int:
    """The revision of a ReplicaSet: the canary's is the coming one; 0 where there is none."""
    if _role(replica_set, status) == "canary" and status.canary is not None and status.canary.number:
        return status.canary.number
    text = str(_annotations(replica_set).get(names.REVISION, ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def _role(replica_set: _Raw, status: Status) -> str:
    """``stable``, ``canary`` or "": by name where the status gives one, else by template."""
    name, hidden = replica_set["metadata"]["name"], names.ROLE in _annotations(replica_set)

    def matches(revision: Revision) -> bool:
        if revision.replica_set:
            return bool(revision.replica_set == name)
        return bool(revision.fingerprint) and revision.fingerprint == _fingerprint(replica_set)

    if status.canary is not None and matches(status.canary):
        return "canary"
    return "stable" if not hidden and matches(status.stable) else ""


def _replica_set(replica_set: _Raw, pods: Sequence[_Raw], status: Status) -> Node:
    uid = replica_set["metadata"].get("uid")
    own = [_pod(p) for p in sorted(pods, key=_age_order) if _controller(p) == uid]
    spec, state = replica_set.get("spec") or {}, replica_set.get("status") or {}
    wanted, current = int(spec.get("replicas", 1)), int(state.get("replicas", 0))
    info = [role] if (role := _role(replica_set, status)) else []
    refused = next((c for c in state.get("conditions") or () if _is_true(c, "ReplicaFailure")), None)
    if refused is not None:
        info.append(str(refused.get("reason") or "ReplicaFailure"))
    available = int(state.get("availableReplicas", 0))
    seen = int(state.get("observedGeneration", 0)) >= int(replica_set["metadata"].get("generation", 0))
    if not wanted and not current and seen:
        text, mark = "ScaledDown", Mark.IDLE
    elif refused is not None or (available < wanted and any(p.mark is Mark.BAD for p in own)):
        text, mark = "Degraded", Mark.BAD
    elif seen and current == wanted and available >= wanted:
        text, mark = "Healthy", Mark.GOOD
    else:
        text, mark = "Progressing", Mark.WAITING
    name = str(replica_set["metadata"]["name"])
    return Node(Kind.REPLICA_SET, name, text, mark, _created(replica_set), tuple(info), tuple(own))


def _run(run: _Raw) -> Node:
    state = run.get("status") or {}
    phase = str(state.get("phase") or "Pending")
    results = [m for m in state.get("metricResults") or () if not m.get("dryRun")]
    counts = [Count(mark, sum(int(m.get(key, 0)) for m in results)) for mark, key in _COUNTED.items()]
    shown = tuple(c for c in counts if c.number)
    mark = _RUN_MARKS.get(phase, Mark.UNKNOWN)
    return Node(Kind.ANALYSIS_RUN, str(run["metadata"]["name"]), phase, mark, _created(run), shown)


def _judged(run: _Raw, members: Sequence[_Raw], prints: set[str]) -> bool:
    """Whether `run` judged a template of this revision; without the annotation its name tells."""
    judged = _annotations(run).get(names.FINGERPRINT)
    if judged is not None:
        return judged in prints
    return any(str(run["metadata"]["name"]).startswith(f"{r['metadata']['name']}-") for r in members)


def _pod(pod: _Raw) -> Node:
    """`ready` counts containers and sidecars, as kubectl does."""
    text, containers = pod_status(pod), pod_containers(pod)
    if text == "Running":
        mark = Mark.GOOD if containers.all_ready else Mark.WAITING
    elif text in ("Completed", "Succeeded"):
        mark = Mark.IDLE
    elif text == "Unknown":
        mark = Mark.UNKNOWN
    else:
        mark = Mark.WAITING if _ON_ITS_WAY.fullmatch(text) else Mark.BAD
    info = [f"ready:{containers.ready}/{containers.total}"]
    if containers.restarts:
        info.append(f"restarts:{containers.restarts}")
    return Node(Kind.POD, str(pod["metadata"]["name"]), text, mark, _created(pod), tuple(info))


def _is_true(condition: _Raw, kind: str) -> bool:
    return bool(condition.get("type") == kind and condition.get("status") == "True")


def _annotations(obj: _Raw) -> _Raw:
    return obj["metadata"].get("annotations") or {}


def _fingerprint(replica_set: _Raw) -> str:
    known = _annotations(replica_set).get(names.FINGERPRINT)
    return str(known) if known else fingerprint((replica_set.get("spec") or {}).get("template") or {})


def _controller(obj: _Raw) -> str | None:
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(o.get("uid")) for o in owners if o.get("controller")), None)


def _belongs(replica_set: _Raw, uid: str) -> bool:
    if any(o.get("uid") == uid for o in replica_set["metadata"].get("ownerReferences") or ()):
        return True
    return names.ROLE in _annotations(replica_set) and _annotations(replica_set).get(names.DEPLOYMENT_UID) == uid


def _owned_by(run: _Raw, rollout: _Raw) -> bool:
    uid = rollout["metadata"].get("uid")
    return any(o.get("uid") == uid for o in run["metadata"].get("ownerReferences") or ())


def _created(obj: _Raw) -> float | None:
    stamp = obj["metadata"].get("creationTimestamp")
    return parse_time(stamp) if stamp else None


def _age_order(obj: _Raw) -> tuple[float, str]:
    return _created(obj) or 0.0, str(obj["metadata"]["name"])
