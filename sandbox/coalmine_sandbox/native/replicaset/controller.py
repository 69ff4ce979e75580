"""The ReplicaSet controller's shell: claims pods, has them made and deleted, writes the status."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coalmine.kube.cache import Key
from coalmine.kube.resources import (
    PODS,
    REPLICA_SETS,
    Object,
    controller_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.kube.verbs import ApiError, ConflictError, NotFoundError, Verbs
from coalmine_sandbox.api.selectors import of_object
from coalmine_sandbox.native.claim import claim
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.owners import controlled_by, is_deleting, selects
from coalmine_sandbox.native.pod_control import BURST, PodControl
from coalmine_sandbox.native.pods import is_active, is_terminating
from coalmine_sandbox.native.replicaset.ranking import to_delete
from coalmine_sandbox.native.replicaset.status import calculate, next_available
from coalmine_sandbox.native.work import Work


class ReplicaSetController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._sets = informers.of(REPLICA_SETS)
        self._pods = informers.of(PODS)
        self._control = PodControl(api, self._pods, recorder)
        self._work: Work[Key] = Work("replicaset", self._sync, workers=5)
        self._sets.listen(self._set_changed)
        self._pods.listen(self._pod_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._sets, self._pods))
        await self._work.run()

    # --- what it is told of --------------------------------------------------------------------

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._control.forget(old)
        self._work.add((namespace_of(changed), name_of(changed)))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for each in (old, new):
            if each is None:
                continue
            owner = controller_of(each)
            if owner is not None:
                if owner["kind"] == REPLICA_SETS.kind:
                    self._work.add((namespace_of(each), owner["name"]))
            elif new is not None:
                self._add_matching(each)

    def _add_matching(self, pod: Object) -> None:
        for each in in_namespace(self._sets, namespace_of(pod)):
            if selects(of_object(each["spec"].get("selector")), pod):
                self._work.add((namespace_of(each), name_of(each)))

    # --- one look ------------------------------------------------------------------------------

    async def _sync(self, key: Key) -> float | None:
        replica_set = self._sets.get(*key)
        if replica_set is None:
            return None
        settled = self._control.settled(replica_set)
        selector = of_object(replica_set["spec"].get("selector"))
        pods = list(in_namespace(self._pods, key[0]))
        active, written = await claim(
            self._api, replica_set, (REPLICA_SETS, PODS), selector, [pod for pod in pods if is_active(pod)]
        )
        for each in written:
            self._pods.remember(each)
        going = [
            pod for pod in pods if is_terminating(pod) and controlled_by(pod, replica_set) and selects(selector, pod)
        ]
        failure: ApiError | None = None
        if settled and not is_deleting(replica_set):
            failure = await self._manage(replica_set, active)
        now = self._clock()
        status = calculate(replica_set, active, going, failure.message if failure else "", now)
        if status != (replica_set.get("status") or {}):
            await self._write_status(replica_set, status)
        if failure is not None:
            raise failure
        return next_available(replica_set, active, now)

    async def _manage(self, replica_set: Object, active: Sequence[Object]) -> ApiError | None:
        """Make or delete pods; the first refusal."""
        surplus = len(active) - int(replica_set["spec"].get("replicas", 1))
        if surplus < 0:
            return await self._control.create(replica_set, -surplus)
        if surplus == 0:
            return None
        chosen = to_delete(active, self._related(replica_set), min(surplus, BURST), self._clock())
        return await self._control.delete(replica_set, chosen)

    def _related(self, replica_set: Object) -> list[Object]:
        """The pods of all ReplicaSets with the same controller: those that are doubled up on a node go first."""
        owner = controller_of(replica_set)
        family = [replica_set]
        if owner is not None:
            namespace = in_namespace(self._sets, namespace_of(replica_set))
            family = [each for each in namespace if (controller_of(each) or {}).get("uid") == owner["uid"]]
        selectors = [of_object(each["spec"].get("selector")) for each in family]
        return [
            pod
            for pod in in_namespace(self._pods, namespace_of(replica_set))
            if any(selects(selector, pod) for selector in selectors)
        ]

    async def _write_status(self, replica_set: Object, status: Object) -> None:
        """Write what was seen; when a write came in between, once more on the version after it."""
        try:
            answer = await self._put_status(replica_set, status)
        except ConflictError:
            fresh = await self._api.get(REPLICA_SETS, namespace_of(replica_set), name_of(replica_set))
            if uid_of(fresh) != uid_of(replica_set):
                raise NotFoundError(404, "NotFound", f"{name_of(replica_set)} is another one now") from None
            answer = await self._put_status(fresh, status)
        self._sets.remember(answer)

    async def _put_status(self, replica_set: Object, status: Object) -> Object:
        body = {**replica_set, "status": status}
        return await self._api.replace(REPLICA_SETS, namespace_of(replica_set), body, "status")
