"""The controller's copy of the cluster: caches of what it watches, indexed by Deployment.

A ReplicaSet belongs to the Deployment that an owner reference names, or, while it has none, that its
annotation names; a pod to the ReplicaSet that controls it. Changes are passed on as keys:
the namespace and name of a Deployment, never what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from coalmine.kube.cache import Cache, Key
from coalmine.kube.client import Client
from coalmine.kube.resources import (
    ANALYSIS_RUNS,
    ANALYSIS_TEMPLATES,
    CLUSTER_ANALYSIS_TEMPLATES,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    Object,
    annotations_of,
    controller_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.model import names
from coalmine_controller.convert import deployment_from, pod_from, replica_set_from, sidecar_boot
from coalmine_controller.observed import Deployment, ReplicaSet
from coalmine_controller.reading import Reading


class World:
    """Everything that is watched. `changed` is called with the key of each Deployment that may need a
    look; `run_changed` with that of each AnalysisRun."""

    def __init__(self, client: Client, changed: Callable[[Key], None], run_changed: Callable[[Key], None]) -> None:
        self.deployments = Cache(client, DEPLOYMENTS, labels=names.ROLLOUT_SELECTOR)
        self.replica_sets = Cache(client, REPLICA_SETS, labels=names.SIDECAR_SELECTOR)
        self.pods = Cache(client, PODS, labels=names.SIDECAR_SELECTOR, keep=_placed)
        self.rollouts = Cache(client, ROLLOUTS)
        self.runs = Cache(client, ANALYSIS_RUNS)
        self.templates = Cache(client, ANALYSIS_TEMPLATES)
        self.cluster_templates = Cache(client, CLUSTER_ANALYSIS_TEMPLATES)
        self.caches = (
            self.deployments,
            self.replica_sets,
            self.pods,
            self.rollouts,
            self.runs,
            self.templates,
            self.cluster_templates,
        )
        self._changed = changed
        self._run_changed = run_changed
        self._sets_of: dict[Key, set[str]] = {}
        self._pods_of: dict[Key, set[str]] = {}
        #: What was read of Deployments and pods, kept while they do not change.
        self.deployment = Reading(deployment_from)
        self.pod = Reading(pod_from)
        self.boot = Reading(sidecar_boot)
        self.deployments.listen(self.deployment.listen)
        self.pods.listen(self.pod.listen)
        self.pods.listen(self.boot.listen)
        self._readings: dict[str, tuple[Object, str, ReplicaSet]] = {}
        for cache in (self.deployments, self.rollouts):
            cache.listen(lambda old, new: self._notify(old, new, _own_key))
        self.replica_sets.listen(self._on_replica_set)
        self.pods.listen(self._on_pod)
        self.runs.listen(self._on_run)
        self.templates.listen(self._on_template)
        self.cluster_templates.listen(self._on_template)

    async def synced(self) -> None:
        """Wait until every cache has been listed once."""
        for cache in self.caches:
            await cache.synced.wait()

    def sets_of(self, key: Key) -> list[Object]:
        """The ReplicaSets of the Deployment `key`."""
        found = (self.replica_sets.get(key[0], name) for name in self._sets_of.get(key, ()))
        return [obj for obj in found if obj is not None]

    def replica_set(self, raw: Object, deployment: Deployment) -> ReplicaSet:
        """What is read of a ReplicaSet of `deployment`, kept as long as it is the same for the same."""
        kept = self._readings.get(uid_of(raw))
        if kept is not None and kept[0] is raw and kept[1] == deployment.uid:
            return kept[2]
        read = replica_set_from(raw, deployment)
        self._readings[uid_of(raw)] = raw, deployment.uid, read
        return read

    def pods_of(self, namespace: str, replica_sets: Iterable[str]) -> list[Object]:
        """The pods that those ReplicaSets control."""
        found = (
            self.pods.get(namespace, pod) for name in replica_sets for pod in self._pods_of.get((namespace, name), ())
        )
        return [obj for obj in found if obj is not None]

    def _notify(self, old: Object | None, new: Object | None, key_of: Callable[[Object], Key | None]) -> None:
        for key in {key_of(obj) for obj in (old, new) if obj is not None}:
            if key is not None:
                self._changed(key)

    def _on_replica_set(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._readings.pop(uid_of(old), None)
        for obj, add in ((old, False), (new, True)):
            key = deployment_of(obj) if obj is not None else None
            if obj is not None and key is not None:
                _index(self._sets_of, key, name_of(obj), add)
        self._notify(old, new, deployment_of)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for obj, add in ((old, False), (new, True)):
            owner = _replica_set_of(obj) if obj is not None else None
            if obj is not None and owner is not None:
                _index(self._pods_of, owner, name_of(obj), add)
        self._notify(old, new, self.deployment_of_pod)

    def deployment_of_pod(self, pod: Object) -> Key | None:
        """The Deployment that a pod belongs to, by way of its ReplicaSet."""
        owner = _replica_set_of(pod)
        replica_set = self.replica_sets.get(*owner) if owner else None
        return deployment_of(replica_set) if replica_set else None

    def _on_run(self, old: Object | None, new: Object | None) -> None:
        self._notify(old, new, _owner_key)
        if new is not None:
            self._run_changed(_own_key(new))

    def _on_template(self, old: Object | None, new: Object | None) -> None:
        # a template that appears may be what a held Deployment waits for
        obj = new or old
        for deployment in self.deployments.objects():
            if obj is not None and namespace_of(obj) in ("", namespace_of(deployment)):
                self._changed(_own_key(deployment))


def _placed(pod: Object) -> Object:
    """A pod without what its template says, which is the greater part of it; of its spec only whether it has a node."""
    node = (pod.get("spec") or {}).get("nodeName")
    return {**pod, "spec": {"nodeName": node} if node else {}}


def _index(index: dict[Key, set[str]], key: Key, name: str, add: bool) -> None:
    """Note `name` under `key`, or strike it out; a key with nothing left goes too, as names are made for ever."""
    if add:
        index.setdefault(key, set()).add(name)
    elif key in index:
        index[key].discard(name)
        if not index[key]:
            del index[key]


def deployment_of(replica_set: Object) -> Key | None:
    """The Deployment that a ReplicaSet belongs to."""
    for owner in replica_set["metadata"].get("ownerReferences") or ():
        if owner.get("kind") == "Deployment":
            return namespace_of(replica_set), str(owner["name"])
    name = annotations_of(replica_set).get(names.DEPLOYMENT_NAME)
    return (namespace_of(replica_set), name) if name else None


def _own_key(obj: Object) -> Key:
    return namespace_of(obj), name_of(obj)


def _owner_key(obj: Object) -> Key | None:
    owner = controller_of(obj)
    return (namespace_of(obj), str(owner["name"])) if owner else None


def _replica_set_of(pod: Object) -> Key | None:
    owner = controller_of(pod)
    return (namespace_of(pod), str(owner["name"])) if owner and owner.get("kind") == "ReplicaSet" else None


async def run_caches(world: World, group: asyncio.TaskGroup) -> None:
    """Start all caches in `group` and wait for their first lists."""
    for cache in world.caches:
        group.create_task(cache.run())
    await world.synced()
