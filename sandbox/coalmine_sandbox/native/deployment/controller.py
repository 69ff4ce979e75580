"""The Deployment controller's shell: what it is told of, what it claims, and how decisions are written."""

from __future__ import annotations

import logging
from collections.abc import Callable

from coalmine.kube.cache import Key
from coalmine.kube.resources import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Object,
    controller_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from coalmine.kube.verbs import ApiError, ConflictError, NotFoundError, Verbs
from coalmine.model.condition import PROGRESSING
from coalmine_sandbox.api.selectors import of_object
from coalmine_sandbox.native.claim import claim
from coalmine_sandbox.native.deployment import revisions, status
from coalmine_sandbox.native.deployment.decide import (
    CreateSet,
    DeleteSet,
    UpdateSet,
    WriteStatus,
    decide,
    old_pods_left,
)
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.owners import controlled_by, selects
from coalmine_sandbox.native.work import Work, namespace_ends

log = logging.getLogger(__name__)


class DeploymentController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._api = api
        self._recorder = recorder
        self._clock = clock
        self._deployments = informers.of(DEPLOYMENTS)
        self._sets = informers.of(REPLICA_SETS)
        self._pods = informers.of(PODS)
        self._work: Work[Key] = Work("deployment", self._sync, workers=5)
        self._deployments.listen(self._deployment_changed)
        self._sets.listen(self._set_changed)
        self._pods.listen(self._pod_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._deployments, self._sets, self._pods))
        await self._work.run()

    # --- what it is told of --------------------------------------------------------------------

    def _deployment_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        self._work.add((namespace_of(changed), name_of(changed)))

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        for each in (old, new):
            if each is None:
                continue
            if controller_of(each) is not None:
                self._add_owner(each)
            elif new is not None:
                self._add_matching(each)

    def _add_owner(self, replica_set: Object) -> None:
        owner = controller_of(replica_set)
        if owner is not None and owner["kind"] == DEPLOYMENTS.kind:
            self._work.add((namespace_of(replica_set), owner["name"]))

    def _add_matching(self, replica_set: Object) -> None:
        """Nobody controls it: whoever selects it may adopt it."""
        for each in in_namespace(self._deployments, namespace_of(replica_set)):
            if selects(of_object(each["spec"].get("selector")), replica_set):
                self._work.add((namespace_of(each), name_of(each)))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A pod that has gone lets a Deployment of the strategy Recreate go on."""
        if new is not None or old is None:
            return
        owner = controller_of(old)
        replica_set = self._sets.get(namespace_of(old), owner["name"]) if owner else None
        if replica_set is None or (grand := controller_of(replica_set)) is None:
            return
        deployment = self._deployments.get(namespace_of(old), grand["name"])
        if deployment is not None and (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            self._work.add((namespace_of(deployment), name_of(deployment)))

    # --- one look ------------------------------------------------------------------------------

    async def _sync(self, key: Key) -> float | None:
        deployment = self._deployments.get(*key)
        if deployment is None:
            return None
        owned, written = await claim(
            self._api,
            deployment,
            (DEPLOYMENTS, REPLICA_SETS),
            of_object(deployment["spec"].get("selector")),
            in_namespace(self._sets, key[0]),
        )
        for each in written:
            self._sets.remember(each)
        pods = list(in_namespace(self._pods, key[0]))
        old_pods = old_pods_left(revisions.find_new(deployment, owned), owned, pods)
        decision = decide(deployment, owned, old_pods=old_pods, now=self._clock())
        versions: dict[str, str] = {}
        for write in decision.writes:
            match write:
                case UpdateSet(replica_set, event):
                    await self._update_set(deployment, replica_set, event, versions)
                case CreateSet(replica_set, event):
                    await self._create_set(deployment, replica_set, event)
                case DeleteSet(replica_set):
                    await self._api.delete(REPLICA_SETS, key[0], name_of(replica_set), uid=uid_of(replica_set))
                case WriteStatus(changed):
                    answer = await self._write_status(changed)
                    moved = resource_version_of(answer) != resource_version_of(changed)
                    if moved and write is not decision.writes[-1]:
                        # what is left was decided on the version before
                        self._work.add(key)
                        return None
        return decision.check_after

    async def _update_set(self, deployment: Object, replica_set: Object, event: str, versions: dict[str, str]) -> None:
        name = name_of(replica_set)
        if name in versions:  # written a moment ago, by ourselves
            replica_set["metadata"]["resourceVersion"] = versions[name]
        answer = await self._api.replace(REPLICA_SETS, namespace_of(deployment), replica_set)
        versions[name] = resource_version_of(answer)
        self._sets.remember(answer)
        if event:
            self._recorder.normal(deployment, "ScalingReplicaSet", event)

    async def _create_set(self, deployment: Object, replica_set: Object, event: str) -> None:
        try:
            answer = await self._api.create(REPLICA_SETS, namespace_of(deployment), replica_set)
        except ConflictError:
            await self._collided(deployment, replica_set)
            raise
        except ApiError as error:
            if not namespace_ends(error):
                await self._tell_failure(deployment, replica_set, error)
            raise
        self._sets.remember(answer)
        if event:
            self._recorder.normal(deployment, "ScalingReplicaSet", event)

    async def _collided(self, deployment: Object, replica_set: Object) -> None:
        """The name is taken: by the ReplicaSet itself, which we have not seen yet, or by another one.

        Then the hash is to be another one: collisions count on.
        """
        found = await self._api.find(REPLICA_SETS, namespace_of(deployment), name_of(replica_set))
        if found is None:
            return
        template = deployment["spec"]["template"]
        if controlled_by(found, deployment) and revisions.equal_templates(found["spec"]["template"], template):
            self._sets.remember(found)
            return
        before = deployment.get("status") or {}
        count = int(before.get("collisionCount") or 0) + 1
        await self._write_status({**deployment, "status": {**before, "collisionCount": count}})

    async def _tell_failure(self, deployment: Object, replica_set: Object, error: ApiError) -> None:
        text = f'Failed to create new replica set "{name_of(replica_set)}": {error.message}'
        self._recorder.warning(deployment, status.CREATE_ERROR_REASON, text)
        if not status.has_deadline(deployment):
            return
        changed = dict(deployment.get("status") or {})
        told = status.new_condition(PROGRESSING, "False", status.CREATE_ERROR_REASON, text, self._clock())
        status.set_condition(changed, told)
        try:
            await self._write_status({**deployment, "status": changed})
        except (ConflictError, NotFoundError) as unwritten:  # the failure itself is what matters
            log.debug("%s: %s", name_of(deployment), unwritten)

    async def _write_status(self, deployment: Object) -> Object:
        answer = await self._api.replace(DEPLOYMENTS, namespace_of(deployment), deployment, "status")
        self._deployments.remember(answer)
        return answer
