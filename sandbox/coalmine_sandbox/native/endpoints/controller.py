"""The EndpointSlice controller's shell."""

from __future__ import annotations

from coalmine.kube.cache import Key
from coalmine.kube.resources import (
    ENDPOINT_SLICES,
    NODES,
    PODS,
    SERVICES,
    Object,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.kube.verbs import Verbs
from coalmine_sandbox.native.endpoints.slices import CONTROLLER, MANAGED_BY, SERVICE_NAME, reconcile
from coalmine_sandbox.native.informers import Informers, in_namespace, synced
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.work import Work


class EndpointSliceController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers) -> None:
        self._api = api
        self._services = informers.of(SERVICES)
        self._pods = informers.of(PODS)
        self._slices = informers.of(ENDPOINT_SLICES)
        self._nodes = informers.of(NODES)
        #: Slices that were deleted, by uid, until that is seen: nothing is moved into them.
        self._gone: set[str] = set()
        self._work: Work[Key] = Work("endpointslice", self._sync, workers=5)
        self._services.listen(self._service_changed)
        self._pods.listen(self._pod_changed)
        self._slices.listen(self._slice_changed)
        self._nodes.listen(self._node_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._services, self._pods, self._slices, self._nodes))
        await self._work.run()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        self._work.add((namespace_of(changed), name_of(changed)))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """The Services that select the pod, or did; a change of what no endpoint shows is none."""
        if old is not None and new is not None and _shown(old) == _shown(new):
            return
        for each in (old, new):
            if each is None:
                continue
            for service in in_namespace(self._services, namespace_of(each)):
                selector = service["spec"].get("selector")
                if selector and selector.items() <= labels_of(each).items():
                    self._work.add((namespace_of(service), name_of(service)))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._gone.discard(uid_of(old))
        for each in (old, new):
            if each is not None and labels_of(each).get(MANAGED_BY) == CONTROLLER:
                self._work.add((namespace_of(each), labels_of(each).get(SERVICE_NAME, "")))

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """A node that comes or goes: a pod is no endpoint without its node."""
        if old is None or new is None:
            for service in self._services.objects():
                self._work.add((namespace_of(service), name_of(service)))

    async def _sync(self, key: Key) -> float | None:
        service = self._services.get(*key)
        if service is None or service["spec"].get("type") == "ExternalName":
            return None
        selector = service["spec"].get("selector")
        if not selector:  # its slices are somebody else's
            return None
        pods = [pod for pod in in_namespace(self._pods, key[0]) if selector.items() <= labels_of(pod).items()]
        if not service["spec"].get("publishNotReadyAddresses"):
            pods = [pod for pod in pods if self._nodes.get("", pod["spec"].get("nodeName", "")) is not None]
        existing = [
            each
            for each in in_namespace(self._slices, key[0])
            if labels_of(each).get(SERVICE_NAME) == key[1]
            and labels_of(each).get(MANAGED_BY) == CONTROLLER
            and not is_deleting(each)
            and uid_of(each) not in self._gone
        ]
        changes = reconcile(service, pods, existing)
        if not is_deleting(service):
            for each in changes.create:
                self._slices.remember(await self._api.create(ENDPOINT_SLICES, key[0], each))
        for each in changes.update:
            self._slices.remember(await self._api.replace(ENDPOINT_SLICES, key[0], each))
        for each in changes.delete:
            await self._api.delete(ENDPOINT_SLICES, key[0], name_of(each), uid=uid_of(each))
            if self._slices.get(key[0], name_of(each)) is not None:
                self._gone.add(uid_of(each))
        return None


def _shown(pod: Object) -> tuple[object, ...]:
    """What of a pod its Services' slices depend on."""
    status = pod.get("status") or {}
    ready = [c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"]
    return (
        labels_of(pod),
        uid_of(pod),
        pod["spec"],
        is_deleting(pod),
        status.get("phase"),
        status.get("podIPs"),
        ready,
    )
