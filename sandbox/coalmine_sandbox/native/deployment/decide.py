"""What the Deployment controller does: a pure function of a Deployment, what it owns and the time.

The order of the writes is the real one's, and each is decided as if those before it succeed; who
performs them stops at the first that fails, and everything is decided anew. So a decision depends
on nothing but what it is given.
Source: deployment_controller.go (syncDeployment), sync.go, rolling.go and recreate.go.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from coalmine.kube.resources import REPLICA_SETS, Object, annotations_of, name_of, namespace_of, uid_of
from coalmine.model.condition import PROGRESSING
from coalmine.model.names import DESIRED_REPLICAS, POD_TEMPLATE_HASH, REVISION
from coalmine_sandbox.native.deployment import revisions, sizes, status
from coalmine_sandbox.native.owners import controller_reference, is_deleting


@dataclass(frozen=True, slots=True)
class UpdateSet:
    """Write a ReplicaSet; `event` is told when that succeeded."""

    replica_set: Object
    event: str = ""


@dataclass(frozen=True, slots=True)
class CreateSet:
    replica_set: Object
    event: str = ""


@dataclass(frozen=True, slots=True)
class DeleteSet:
    replica_set: Object


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the Deployment's status, and with it its annotations (the revision)."""

    deployment: Object


Write = UpdateSet | CreateSet | DeleteSet | WriteStatus


@dataclass(frozen=True, slots=True)
class Decision:
    """`check_after`: seconds until the progress deadline is to be looked at."""

    writes: tuple[Write, ...]
    check_after: float | None = None


def decide(deployment: Object, owned: Sequence[Object], *, old_pods: bool, now: float) -> Decision:
    """`owned` are the ReplicaSets that the Deployment has claimed; `old_pods`: whether a pod of one
    other than the new has not ended (only Recreate asks)."""
    sync = _Sync(copy.deepcopy(deployment), [copy.deepcopy(each) for each in owned], old_pods, now)
    sync.run()
    return Decision(tuple(sync.writes), sync.check_after)


@dataclass
class _Sync:
    """One look at a Deployment. `deployment` and `owned` are as they will be after the `writes`."""

    deployment: Object
    owned: list[Object]
    old_pods: bool
    now: float
    writes: list[Write] = field(default_factory=list)
    check_after: float | None = None

    def __post_init__(self) -> None:
        self.deployment.setdefault("status", {})
        self._new: Object | None = None
        self._old: list[Object] = []

    @property
    def _all(self) -> list[Object]:
        return [*self._old, *([self._new] if self._new is not None else [])]

    def run(self) -> None:
        if is_deleting(self.deployment):
            self._recognise()
            self._sync_status()
            return
        self._tell_pause()
        if self.deployment["spec"].get("paused"):
            self._sync()
            return
        self._recognise()
        if self._is_scaling_event():
            self._sync()
        elif sizes.is_rolling(self.deployment):
            self._roll()
        else:
            self._recreate()

    # --- paused, or scaled ---------------------------------------------------------------------

    def _sync(self) -> None:
        self._recognise()
        self._scale()
        if self.deployment["spec"].get("paused"):
            self._clean_up()
        self._sync_status()

    def _tell_pause(self) -> None:
        told = status.paused_condition(self.deployment, self.deployment["status"], self.now)
        if told is not None:
            status.set_condition(self.deployment["status"], told)
            self._write_status()

    def _is_scaling_event(self) -> bool:
        """A ReplicaSet with pods was scaled for another size of the Deployment than it has now."""
        wanted = sizes.replicas(self.deployment)
        noted = [sizes.noted(each, DESIRED_REPLICAS) for each in sizes.active(self._all)]
        return any(size not in (None, wanted) for size in noted)

    def _scale(self) -> None:
        wanted = sizes.replicas(self.deployment)
        active = sizes.active(self._all)
        if len(active) <= 1:
            # none has pods: the new one gets them, else the youngest
            one = active[0] if active else self._new or max(self._old, key=sizes.age_order, default=None)
            if one is not None:
                self._scale_set(one, wanted)
        elif sizes.is_saturated(self.deployment, self._new):
            for each in sorted(sizes.active(self._old), key=sizes.age_order, reverse=True):
                self._scale_set(each, 0)
        elif sizes.is_rolling(self.deployment):
            for each, size in sizes.proportions(self.deployment, self._all):
                self._scale_set(each, size, note=True)

    # --- rolling update ------------------------------------------------------------------------

    def _roll(self) -> None:
        new = self._recognise_or_create()
        if not self._grow(new) and not self._shrink_old(new) and self._is_complete():
            self._clean_up()
        self._sync_progress()

    def _grow(self, new: Object) -> bool:
        """Scale the new ReplicaSet towards its size; whether that was to be done."""
        wanted = sizes.replicas(self.deployment)
        if sizes.replicas(new) == wanted:
            return False
        size = wanted if sizes.replicas(new) > wanted else sizes.new_size(self.deployment, self._all, new)
        return self._scale_set(new, size)

    def _shrink_old(self, new: Object) -> bool:
        """Take from the old ones what availability allows, what is not available first."""
        old = sorted(sizes.active(self._old), key=sizes.age_order)
        if not old:
            return False
        least = sizes.replicas(self.deployment) - sizes.max_unavailable(self.deployment)
        missing = sizes.replicas(new) - sizes.count(new, "availableReplicas")
        most = sizes.total(self._all) - least - missing
        if most <= 0:
            return False
        cleaned = self._shrink_unhealthy(old, most)
        if cleaned is None:
            return False
        spare = sizes.counted([*old, new], "availableReplicas") - least
        shrunk = 0
        for each in old:
            if shrunk >= spare:
                break
            by = min(sizes.replicas(each), spare - shrunk)
            if by:
                self._scale_set(each, sizes.replicas(each) - by)
            shrunk += by
        return cleaned + shrunk > 0

    def _shrink_unhealthy(self, old: list[Object], most: int) -> int | None:
        """Pods of old ReplicaSets that are not available go first: nobody misses them. How many went.

        None when a status is from before a scaling: what it calls available cannot be counted on.
        """
        cleaned = 0
        for each in old:
            if cleaned >= most:
                break
            by = min(most - cleaned, sizes.replicas(each) - sizes.count(each, "availableReplicas"))
            if by < 0:
                return None
            if by:
                self._scale_set(each, sizes.replicas(each) - by)
                cleaned += by
        return cleaned

    # --- recreate ------------------------------------------------------------------------------

    def _recreate(self) -> None:
        active = sizes.active(self._old)
        for each in active:
            self._scale_set(each, 0)
        if active or self.old_pods or sizes.counted(self._old, "replicas") > 0:
            self._sync_progress()
            return
        self._scale_set(self._recognise_or_create(), sizes.replicas(self.deployment))
        if self._is_complete():
            self._clean_up()
        self._sync_progress()

    # --- ReplicaSets ---------------------------------------------------------------------------

    def _recognise(self) -> None:
        """Tell the new ReplicaSet from the old ones, and bring its annotations and the revision up to date."""
        self._new = revisions.find_new(self.deployment, self.owned)
        self._old = [each for each in self.owned if each is not self._new]
        new = self._new
        if new is None:
            return
        annotations = revisions.noted_anew(self.deployment, new, revisions.next_revision(self._old), exists=True)
        seconds = self.deployment["spec"].get("minReadySeconds", 0)
        if annotations != annotations_of(new) or new["spec"].get("minReadySeconds", 0) != seconds:
            new["metadata"]["annotations"] = annotations
            new["spec"]["minReadySeconds"] = seconds
            self.writes.append(UpdateSet(copy.deepcopy(new)))
            return
        changed = self._set_revision(annotations.get(REVISION, ""))
        if status.has_deadline(self.deployment) and self._progressing() is None:
            self._set_progressing(status.FOUND_REASON, f'Found new replica set "{name_of(new)}"')
            changed = True
        if changed:
            self._write_status()

    def _recognise_or_create(self) -> Object:
        self._recognise()
        if self._new is None:
            self._new = self._create()
        return self._new

    def _create(self) -> Object:
        number = revisions.next_revision(self._old)
        made = new_set(self.deployment, number)
        size = sizes.new_size(self.deployment, [*self._old, made], made)
        made["spec"]["replicas"] = size
        event = f"Scaled up replica set {name_of(made)} from 0 to {size}" if size else ""
        self.writes.append(CreateSet(copy.deepcopy(made), event))
        self.owned.append(made)
        changed = self._set_revision(str(number))
        if status.has_deadline(self.deployment):
            self._set_progressing(status.CREATED_REASON, f'Created new replica set "{name_of(made)}"')
            changed = True
        if changed:
            self._write_status()
        return made

    def _scale_set(self, replica_set: Object, size: int, *, note: bool = False) -> bool:
        """Set a ReplicaSet's size, and tell it the Deployment's. With `note` tell it even at the same size."""
        before = sizes.replicas(replica_set)
        annotations = {**annotations_of(replica_set), **revisions.sizes_noted(self.deployment)}
        if before == size and not (note and annotations != annotations_of(replica_set)):
            return False
        replica_set["spec"]["replicas"] = size
        replica_set["metadata"]["annotations"] = annotations
        event = ""
        if before != size:
            direction = "up" if before < size else "down"
            event = f"Scaled {direction} replica set {name_of(replica_set)} from {before} to {size}"
        self.writes.append(UpdateSet(copy.deepcopy(replica_set), event))
        # as the API server will: its status is that of another size now
        replica_set["metadata"]["generation"] = replica_set["metadata"].get("generation", 0) + 1
        return before != size

    def _clean_up(self) -> None:
        """Delete the oldest revisions beyond the limit, if nothing is left of their pods."""
        limit = status.history_limit(self.deployment)
        if limit is None:
            return
        alive = sorted((each for each in self._old if not is_deleting(each)), key=revisions.revision_order)
        for each in alive[: max(0, len(alive) - limit)]:
            seen = sizes.count(each, "observedGeneration") >= each["metadata"].get("generation", 0)
            if seen and sizes.replicas(each) == sizes.count(each, "replicas") == 0:
                self.writes.append(DeleteSet(each))

    # --- the Deployment itself -----------------------------------------------------------------

    def _progressing(self) -> Object | None:
        return status.condition_of(self.deployment["status"], PROGRESSING)

    def _set_progressing(self, reason: str, message: str) -> None:
        told = status.new_condition(PROGRESSING, "True", reason, message, self.now)
        status.set_condition(self.deployment["status"], told)

    def _set_revision(self, number: str) -> bool:
        """Whether the Deployment had another one."""
        annotations = annotations_of(self.deployment)
        if annotations.get(REVISION) == number:
            return False
        self.deployment["metadata"]["annotations"] = {**annotations, REVISION: number}
        return True

    def _is_complete(self) -> bool:
        return status.is_complete(self.deployment, self.deployment["status"])

    def _sync_status(self) -> None:
        found = status.calculate(self.deployment, self._all, self._new, self.now)
        if found != self.deployment["status"]:
            self.deployment["status"] = found
            self._write_status()

    def _sync_progress(self) -> None:
        old = self.deployment["status"]
        found = status.progress(self.deployment, old, self._all, self._new, self.now)
        if found == old:
            self.check_after = status.next_check(self.deployment, old, found, self.now)
        else:
            self.deployment["status"] = found
            self._write_status()

    def _write_status(self) -> None:
        self.writes.append(WriteStatus(copy.deepcopy(self.deployment)))


def new_set(deployment: Object, number: int) -> Object:
    """The ReplicaSet, of size 0, of a template that has none."""
    template = copy.deepcopy(deployment["spec"]["template"])
    pod_hash = revisions.template_hash(template, deployment["status"].get("collisionCount"))
    labels = {**((template.get("metadata") or {}).get("labels") or {}), POD_TEMPLATE_HASH: pod_hash}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), POD_TEMPLATE_HASH: pod_hash}
    made: Object = {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": revisions.set_name(name_of(deployment), pod_hash),
            "namespace": namespace_of(deployment),
            "labels": dict(labels),
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": deployment["spec"].get("minReadySeconds", 0),
            "selector": selector,
            "template": template,
        },
    }
    made["metadata"]["annotations"] = revisions.noted_anew(deployment, made, number, exists=False)
    return made


def old_pods_left(new: Object | None, owned: Sequence[Object], pods: Sequence[Object]) -> bool:
    """Whether a pod of an owned ReplicaSet other than the new one has not ended (oldPodsRunning)."""
    old = {uid_of(each) for each in owned if new is None or uid_of(each) != uid_of(new)}
    for pod in pods:
        owners = {owner["uid"] for owner in pod["metadata"].get("ownerReferences") or () if owner.get("controller")}
        if owners & old and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            return True
    return False
