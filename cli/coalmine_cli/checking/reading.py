"""Reads a cluster for `check`: once, and as much as the person may read.

Rules: nothing is written; the one dry run is a CREATE that must be refused. What is forbidden, or a kind that is not
served, is a `problem`, never an error of the call. Of the Secrets only that they are there, and the public
certificate, are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from coalmine.kube.client import Client
from coalmine.kube.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    LEASES,
    LIMIT_RANGES,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    NETWORK_POLICIES,
    PEER_AUTHENTICATIONS,
    PODS,
    QUOTAS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    Object,
    Resource,
)
from coalmine.kube.verbs import ApiError, NotFoundError
from coalmine.model import names
from coalmine_cli.checking import controller, mesh, rights, webhook
from coalmine_cli.checking.server import is_installed
from coalmine_cli.checking.sight import Access, Listing, One, Probe, Sight, Tried

#: Requests at one time: an API server gives one client's flow about as many seats.
_AT_ONCE: Final = 8
_EXCLUDED: Final = ("kube-system", "cert-manager", names.SYSTEM_NAMESPACE)
_NAME: Final = "coalmine-check"


class Reader:
    """Reads for one call. `namespace` None is all of them."""

    def __init__(self, client: Client, namespace: str | None, default: str, now: float) -> None:
        self._client = client
        self._namespace = namespace
        self._default = default
        self._now = now
        self._seats = asyncio.Semaphore(_AT_ONCE)

    async def read(self, *, before: bool | None) -> tuple[Sight, bool]:
        """What there is, and whether it was looked at as before an installation; `before` None: by our kinds.

        Raises ApiError when the API server cannot be asked at all.
        """
        version = await self._client.raw("GET", "/version")
        crds = await self._list(CRDS, None)
        groups = await self._groups()
        if before is None:
            served = f"{names.API_VERSION}" in groups
            before = not served and not is_installed(Sight(0, version, groups, Listing(), crds, {}))
        wanted = [DEPLOYMENTS, REPLICA_SETS, PODS, SERVICES, QUOTAS, LIMIT_RANGES, DISRUPTION_BUDGETS, AUTOSCALERS]
        async with asyncio.TaskGroup() as group:
            lists = {r: group.create_task(self._list(r, self._namespace)) for r in wanted}
            lists[CONFIG_MAPS] = group.create_task(
                self._list(CONFIG_MAPS, self._namespace, fields=f"metadata.name={names.KEYS_CONFIGMAP}")
            )
            lists[NETWORK_POLICIES] = group.create_task(self._policies())
            authentications = group.create_task(self._authentications())
            spaces = group.create_task(self._spaces())
            system = group.create_task(self._one(NAMESPACES, None, names.SYSTEM_NAMESPACE))
            answers = group.create_task(self._rights(rights.needed(self._namespace or "", before=before)))
            registration = group.create_task(self._one(MUTATING_WEBHOOKS, None, webhook.REGISTRATION))
            own = {
                name: group.create_task(self._system(DEPLOYMENTS, name)) for name in (webhook.SERVICE, controller.NAME)
            }
            lease = group.create_task(self._system(LEASES, names.LEASE))
            key = group.create_task(self._secret(names.SIGNING_SECRET))
            certificates = group.create_task(self._secret(webhook.CERTIFICATES))
            endpoints = group.create_task(self._endpoints())
            probe = group.create_task(self._probe())
        sight = Sight(
            now=self._now,
            version=version,
            groups=groups,
            namespaces=spaces.result(),
            crds=crds,
            rights=answers.result(),
            registration=registration.result(),
            webhook=own[webhook.SERVICE].result(),
            controller=own[controller.NAME].result(),
            lease=lease.result(),
            signing_key=key.result(),
            certificates=certificates.result(),
            endpoints=endpoints.result(),
            probe=probe.result(),
            system=system.result(),
            lists={r: task.result() for r, task in lists.items()} | {PEER_AUTHENTICATIONS: authentications.result()},
        )
        return sight, before

    async def _groups(self) -> frozenset[str]:
        try:
            found = await self._client.raw("GET", "/apis")
        except ApiError:
            return frozenset()
        return frozenset(str(v.get("groupVersion")) for g in found.get("groups") or () for v in g.get("versions") or ())

    async def _list(self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = "") -> Listing:
        try:
            async with self._seats:
                items, _ = await self._client.list(resource, namespace, labels=labels, fields=fields)
        except ApiError as error:
            return Listing(problem=_problem(error))
        return Listing(tuple(items))

    async def _one(self, resource: Resource, namespace: str | None, name: str) -> One:
        try:
            async with self._seats:
                return One(await self._client.get(resource, namespace, name))
        except NotFoundError:
            return One()
        except ApiError as error:
            return One(problem=_problem(error))

    async def _system(self, resource: Resource, name: str) -> One:
        return await self._one(resource, names.SYSTEM_NAMESPACE, name)

    async def _secret(self, name: str) -> One:
        found = await self._system(SECRETS, name)
        if found.object is None:
            return found
        public = (found.object.get("data") or {}).get("tls.crt")
        return One({"metadata": found.object["metadata"], "data": {"tls.crt": public} if public else {}})

    async def _endpoints(self) -> Listing:
        selector = f"kubernetes.io/service-name={webhook.SERVICE}"
        return await self._list(ENDPOINT_SLICES, names.SYSTEM_NAMESPACE, labels=selector)

    async def _spaces(self) -> Listing:
        if self._namespace is None:
            return await self._list(NAMESPACES, None)
        found = await self._one(NAMESPACES, None, self._namespace)
        return Listing((found.object,)) if found.object else Listing(problem=found.problem)

    async def _policies(self) -> Listing:
        """Those around the pods, and those around the controller."""
        found = await self._list(NETWORK_POLICIES, self._namespace)
        if found.problem or self._namespace in (None, names.SYSTEM_NAMESPACE):
            return found
        system = await self._list(NETWORK_POLICIES, names.SYSTEM_NAMESPACE)
        return Listing((*found.items, *system.items))

    async def _authentications(self) -> Listing:
        """Istio's, of the namespace and of the mesh's root; none where it is not installed."""
        try:
            async with self._seats:
                items, _ = await self._client.list(PEER_AUTHENTICATIONS, self._namespace)
                if self._namespace not in (None, mesh.ISTIO_ROOT):
                    items += (await self._client.list(PEER_AUTHENTICATIONS, mesh.ISTIO_ROOT))[0]
        except NotFoundError:
            return Listing()
        except ApiError as error:
            return Listing(problem=_problem(error))
        return Listing(tuple(items))

    async def _rights(self, asked: Iterable[Access]) -> dict[Access, bool | None]:
        async with asyncio.TaskGroup() as group:
            answers = {access: group.create_task(self._may(access)) for access in asked}
        return {access: task.result() for access, task in answers.items()}

    async def _may(self, access: Access) -> bool | None:
        kind = "SubjectAccessReview" if access.user else "SelfSubjectAccessReview"
        about = {"verb": access.verb, "group": access.group, "resource": access.resource, "version": "*"}
        about |= {"subresource": access.subresource, "namespace": access.namespace, "name": access.name}
        spec: Object = {"resourceAttributes": {k: v for k, v in about.items() if v}}
        if access.user:
            account = access.user.split(":")
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[2]}", "system:authenticated"]
            spec |= {"user": access.user, "groups": groups}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        try:
            async with self._seats:
                answer = await self._client.raw("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
        except ApiError:
            return None
        return bool((answer.get("status") or {}).get("allowed"))

    async def _probe(self) -> Probe:
        """A CREATE, as a server-side dry run, of what the webhook must refuse."""
        space = self._namespace or self._default
        if space in _EXCLUDED:
            return Probe(Tried.UNKNOWN, f"the webhook leaves out the namespace {space}: name another one")
        try:
            async with self._seats:
                await self._client.raw("POST", f"{DEPLOYMENTS.path(space)}?dryRun=All", refused_deployment())
        except ApiError as error:
            return judged(error)
        return Probe(Tried.PASSED)


def judged(error: ApiError) -> Probe:
    """What an error of the dry run says of our webhook."""
    message = " ".join(error.message.split())
    if "denied the request" in message and f".{names.GROUP}" in message.partition("denied the request")[0]:
        return Probe(Tried.REFUSED)
    if "failed calling webhook" in message and f".{names.GROUP}" in message:
        return Probe(Tried.UNREACHABLE, message)
    return Probe(Tried.UNKNOWN, message)


def refused_deployment() -> Object:
    """A Deployment whose annotation nobody can mean. It has no replicas, should it ever pass."""
    labels = {"app": _NAME}
    container = {"name": "app", "image": "none", "ports": [{"name": "web", "containerPort": 80}]}
    template: dict[str, Any] = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {"name": _NAME, "annotations": {names.CANARY: "steps: [{setWeight: 1000}]"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def _problem(error: ApiError) -> str:
    if error.status == 404 and error.reason != "NotFound":
        return "the API server does not serve them"
    if error.status == 403:
        return "you may not read them"
    return " ".join(error.message.split())
