"""What every namespace has: the ServiceAccount `default`, and the authority's certificate in a ConfigMap.

Two controllers of kube-controller-manager: serviceaccount and root-ca-certificate-publisher.
"""

from __future__ import annotations

import contextlib
from typing import Final

from coalmine.kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    Object,
    Resource,
    name_of,
    namespace_of,
)
from coalmine.kube.verbs import ConflictError, Verbs
from coalmine_sandbox.native.informers import Informers, synced
from coalmine_sandbox.native.owners import is_deleting
from coalmine_sandbox.native.work import Work

_ACCOUNT: Final = "default"
ROOT_CA: Final = "kube-root-ca.crt"
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def _active(namespace: Object | None) -> bool:
    return namespace is not None and not is_deleting(namespace)


class ServiceAccountController:
    """Call `run`."""

    def __init__(self, api: Verbs, informers: Informers) -> None:
        self._api = api
        self._namespaces = informers.of(NAMESPACES)
        self._accounts = informers.of(SERVICE_ACCOUNTS)
        self._work: Work[str] = Work("serviceaccount", self._sync)
        self._namespaces.listen(self._namespace_changed)
        self._accounts.listen(self._account_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._namespaces, self._accounts))
        await self._work.run()

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or _active(new) != _active(old)):
            self._work.add(name_of(new))

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and name_of(old) == _ACCOUNT:
            self._work.add(namespace_of(old))

    async def _sync(self, namespace: str) -> float | None:
        if not _active(self._namespaces.get("", namespace)) or self._accounts.get(namespace, _ACCOUNT) is not None:
            return None
        body = {"apiVersion": "v1", "kind": SERVICE_ACCOUNTS.kind, "metadata": {"name": _ACCOUNT}}
        await _create(self._api, SERVICE_ACCOUNTS, namespace, body)
        return None


class RootCaPublisher:
    """Call `run`. `authority` is the API server's authority as PEM."""

    def __init__(self, api: Verbs, informers: Informers, authority: str) -> None:
        self._api = api
        self._authority = authority
        self._namespaces = informers.of(NAMESPACES)
        self._maps = informers.of(CONFIG_MAPS)
        self._work: Work[str] = Work("root-ca", self._sync)
        self._namespaces.listen(self._namespace_changed)
        self._maps.listen(self._map_changed)

    async def run(self) -> None:
        """Never returns."""
        await synced((self._namespaces, self._maps))
        await self._work.run()

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or _active(new) != _active(old)):
            self._work.add(name_of(new))

    def _map_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if changed is not None and name_of(changed) == ROOT_CA:
            self._work.add(namespace_of(changed))

    async def _sync(self, namespace: str) -> float | None:
        if not _active(self._namespaces.get("", namespace)):
            return None
        data = {"ca.crt": self._authority}
        current = self._maps.get(namespace, ROOT_CA)
        if current is None:
            metadata = {"name": ROOT_CA, "annotations": {"kubernetes.io/description": _DESCRIPTION}}
            body = {"apiVersion": "v1", "kind": CONFIG_MAPS.kind, "metadata": metadata, "data": data}
            await _create(self._api, CONFIG_MAPS, namespace, body)
        elif current.get("data") != data:
            self._maps.remember(await self._api.replace(CONFIG_MAPS, namespace, {**current, "data": data}))
        return None


async def _create(api: Verbs, resource: Resource, namespace: str, body: Object) -> None:
    with contextlib.suppress(ConflictError):  # it is there, and its event on the way
        await api.create(resource, namespace, body)
