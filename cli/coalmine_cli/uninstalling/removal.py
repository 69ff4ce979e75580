"""Deletes what the installation brought, once no Deployment needs it.

Rules: the controller first, or it would make again what is deleted behind it; its rights after it. What is gone already
is no error. Each kind is waited for where another depends on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from coalmine.kube.client import Client
from coalmine.kube.resources import (
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    LEASES,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    QUOTAS,
    REPLICA_SETS,
    ROLLOUTS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Object,
    Resource,
    annotations_of,
    name_of,
    namespace_of,
    uid_of,
)
from coalmine.kube.verbs import ConflictError, NotFoundError
from coalmine.model import names
from coalmine_cli.checking.findings import about
from coalmine_cli.checking.webhook import CERTIFICATES, REGISTRATION
from coalmine_cli.uninstalling.inventory import LABEL, Inventory, hidden
from coalmine_cli.uninstalling.pace import Pace, TimeIsOverError
from coalmine_cli.uninstalling.standing import forget

#: For how long the controller is given to clean up behind a Deployment that was let go of, in seconds: it does so at
#: once, but for pods that drain and sidecars that do not answer (30 s, `sweep.PATIENCE`).
_CLEANING: Final = 60.0
_ROLES: Final = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
_ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
#: What the manifests put into the namespace, besides what has been deleted before.
_IN_NAMESPACE: Final = (
    SERVICES,
    DISRUPTION_BUDGETS,
    QUOTAS,
    NETWORK_POLICIES,
    _ROLE_BINDINGS,
    _ROLES,
    SERVICE_ACCOUNTS,
)


class Removal:
    """Deletes for one call; `tell` is told what is done."""

    def __init__(self, client: Client, pace: Pace, tell: Callable[[str], None]) -> None:
        self._client = client
        self._pace = pace
        self._tell = tell

    async def registration(self) -> None:
        """The webhook configuration: nothing is held from here on. Raises ApiError."""
        await self._delete(MUTATING_WEBHOOKS, None, REGISTRATION)

    async def leftovers(self, *, led: bool, keep_annotations: bool = False) -> None:
        """Rollouts and canary ReplicaSets; the controller, where there is one, is let do it in its own order.

        While the annotations stay (`keep_annotations`) it keeps the Rollouts: they are not waited for.
        """

        async def clean() -> bool | None:
            gone = keep_annotations or not await self._rollouts()
            return True if gone and not await hidden(self._client) else None

        if led:
            try:
                await self._pace.until(clean, lambda: "the controller cleans up", within=_CLEANING)
            except TimeIsOverError:
                self._tell("the controller does not clean up: it is done here")
        for one in await hidden(self._client):
            await self._unhide(one)
        for one in await self._rollouts():
            await self._delete(ROLLOUTS, namespace_of(one), name_of(one), uid_of(one))

    async def _rollouts(self) -> list[Object]:
        try:
            return (await self._client.list(ROLLOUTS))[0]
        except NotFoundError:
            return []

    async def _unhide(self, one: Object) -> None:
        """A ReplicaSet of a canary goes; one that was an older revision before is given back at 0."""
        if names.HIDDEN_LABELS not in annotations_of(one):
            await self._delete(REPLICA_SETS, namespace_of(one), name_of(one), uid_of(one))
            return
        from coalmine_controller.canary_set import give_back
        from coalmine_controller.convert import deployment_from, replica_set_from

        owner = await self._client.find(DEPLOYMENTS, namespace_of(one), annotations_of(one)[names.DEPLOYMENT_NAME])
        if owner is None or uid_of(owner) != annotations_of(one).get(names.DEPLOYMENT_UID):
            await self._delete(REPLICA_SETS, namespace_of(one), name_of(one), uid_of(one))
            return

        async def emptied() -> Object | None:
            now = await self._client.get(REPLICA_SETS, namespace_of(one), name_of(one))
            if now["spec"].get("replicas", 1):
                await self._client.patch(REPLICA_SETS, namespace_of(one), name_of(one), {"spec": {"replicas": 0}})
                return None
            return None if (now.get("status") or {}).get("replicas") else now

        now = await self._pace.until(emptied, lambda: f"ReplicaSet {about(one)} has pods")
        patch = give_back(replica_set_from(now, deployment_from(owner)))
        try:
            await self._client.patch(REPLICA_SETS, namespace_of(one), name_of(one), patch)
        except ConflictError:
            await self._unhide(one)
            return
        self._tell(f"gave the ReplicaSet {about(one)} back to its Deployment")

    async def histories(self) -> None:
        """Takes our annotations off the ReplicaSets to which the native controller copied them: `kubectl rollout undo`
        would bring them back. All of the cluster are looked at: an earlier call may have been cut off before this."""
        sets, _ = await self._client.list(REPLICA_SETS)
        changed = 0
        for one in sets:
            if (patch := forget(one)) is not None:
                with contextlib.suppress(NotFoundError):  # an old revision that was just cleaned up
                    await self._client.patch(REPLICA_SETS, namespace_of(one), name_of(one), patch)
                    changed += 1
        if changed:
            self._tell(f"took the annotations off {changed} ReplicaSet(s)")

    async def components(self) -> None:
        """Webhook and controller, to the end of their last pod."""
        found, _ = await self._client.list(DEPLOYMENTS, names.SYSTEM_NAMESPACE, labels=LABEL)
        for one in found:
            await self._delete(DEPLOYMENTS, names.SYSTEM_NAMESPACE, name_of(one), uid_of(one))

        async def gone() -> bool | None:
            pods, _ = await self._client.list(PODS, names.SYSTEM_NAMESPACE, labels=LABEL)
            return None if pods else True

        if found:
            await self._pace.until(gone, lambda: "the pods of webhook and controller are ending")

    async def everything_else(self, there: Inventory, *, keep_crds: bool) -> None:
        """Keys, roles, kinds, and the namespace."""
        keys, _ = await self._client.list(CONFIG_MAPS, fields=f"metadata.name={names.KEYS_CONFIGMAP}")
        for one in keys:
            await self._delete(CONFIG_MAPS, namespace_of(one), name_of(one), uid_of(one))
        for resource, name in there.cluster_roles:
            await self._delete(resource, None, name)
        if not keep_crds:
            for name in there.crds:
                await self._delete(CRDS, None, name)
                await self._gone(CRDS, name)
        if there.namespace is None:
            return
        if there.owns_namespace:
            await self._delete(NAMESPACES, None, names.SYSTEM_NAMESPACE, uid_of(there.namespace))
            await self._gone(NAMESPACES, names.SYSTEM_NAMESPACE)
            return
        for resource in _IN_NAMESPACE:
            for one in await self._labelled(resource):
                await self._delete(resource, names.SYSTEM_NAMESPACE, name_of(one), uid_of(one))
        for name in (names.SIGNING_SECRET, CERTIFICATES):
            await self._delete(SECRETS, names.SYSTEM_NAMESPACE, name)
        await self._delete(LEASES, names.SYSTEM_NAMESPACE, names.LEASE)

    async def _labelled(self, resource: Resource) -> list[Object]:
        try:
            return (await self._client.list(resource, names.SYSTEM_NAMESPACE, labels=LABEL))[0]
        except NotFoundError:  # a kind that this API server does not serve
            return []

    async def _gone(self, resource: Resource, name: str) -> None:
        async def gone() -> bool | None:
            return True if await self._client.find(resource, None, name) is None else None

        await self._pace.until(gone, lambda: f"the {resource.kind} {name} is being deleted")

    async def _delete(self, resource: Resource, namespace: str | None, name: str, uid: str | None = None) -> None:
        if uid is None and await self._client.find(resource, namespace, name) is None:
            return
        await self._client.delete(resource, namespace, name, uid=uid)
        self._tell(f"deleted the {resource.kind} {f'{namespace}/' if namespace else ''}{name}")
