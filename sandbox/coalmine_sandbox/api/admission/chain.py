"""Admission: the plugins in their order (kubeapiserver's AllOrderedPlugins, those that the sandbox has).

Mutation: NamespaceLifecycle, ServiceAccount, TaintNodesByCondition, Priority, DefaultTolerationSeconds, webhooks; and
all of them a second time if a webhook changed something. Validation: PodSecurity, and at the very end ResourceQuota,
which counts what it lets in. What stands between the two, and who calls them, is the server's.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Protocol

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.admission import lifecycle, nodes, pod_security, pods, quota
from coalmine_sandbox.api.admission.attributes import Attributes, Reader
from coalmine_sandbox.api.admission.calling import Caller, HttpsCaller
from coalmine_sandbox.api.admission.webhooks import Rounds, Webhooks


class Storage(Reader, Protocol):
    """The store: quotas are counted in it."""

    def put(self, resource: Resource, obj: Object) -> Object: ...


class Admission:
    """All plugins over one store."""

    def __init__(
        self,
        store: Storage,
        chance: random.Random,
        caller: Callable[[Reader], Caller] = HttpsCaller,
    ) -> None:
        """`chance` names volumes and reviews; `caller` reaches webhooks."""
        self._store = store
        self._chance = chance
        self._caller = caller(store)
        self._webhooks = Webhooks(store, self._caller, chance)

    async def mutate(self, attributes: Attributes) -> tuple[Object | None, list[str]]:
        """The object as plugins and webhooks want it, and warnings; the very same object where none changed it.

        A deletion has no object, and is asked about all the same. Raises StatusError.
        """
        rounds = Rounds()
        attributes = await self._round(attributes, rounds)
        if rounds.again:
            rounds.second = True
            attributes = await self._round(attributes, rounds)
        return attributes.object, rounds.warnings + pod_security.warnings(attributes, self._store)

    async def validate(self, attributes: Attributes) -> None:
        """Raises StatusError. What is let through is counted in its namespace's quotas."""
        if pods.is_new(attributes):
            pods.check_account(attributes, self._store)
        pod_security.enforce(attributes, self._store)
        quota.charge(attributes, self._store, self._store.put)

    async def close(self) -> None:
        """Close the connections to webhooks."""
        await self._caller.close()

    async def _round(self, attributes: Attributes, rounds: Rounds) -> Attributes:
        lifecycle.admit(attributes, self._store)
        attributes = dataclasses.replace(attributes, object=nodes.complete(attributes))
        if pods.is_new(attributes):
            attributes = dataclasses.replace(attributes, object=pods.complete(attributes, self._store, self._chance))
        return dataclasses.replace(attributes, object=await self._webhooks.admit(attributes, rounds))
