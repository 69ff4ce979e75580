"""What there is of an installation.

Rules: everything is found by its name, or by the label that each object of the manifests carries. What cannot be read
ends the call: who uninstalls must see it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coalmine.kube.client import Client
from coalmine.kube.resources import (
    ANALYSIS_TEMPLATES,
    CLUSTER_ANALYSIS_TEMPLATES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    LEASES,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    REPLICA_SETS,
    ROLLOUTS,
    Object,
    Resource,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
)
from coalmine.kube.verbs import NotFoundError
from coalmine.model import names
from coalmine_cli.checking.controller import leader
from coalmine_cli.checking.webhook import REGISTRATION

PART_OF: Final = "app.kubernetes.io/part-of"
COALMINE: Final = "coalmine"
LABEL: Final = f"{PART_OF}={COALMINE}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Raw objects; `registration` and `namespace` are None where there is none."""

    registration: Object | None
    deployments: tuple[Object, ...]
    hidden: tuple[Object, ...]
    rollouts: tuple[Object, ...]
    templates: int
    keys: tuple[Object, ...]
    components: tuple[Object, ...]
    #: Who leads; "" when no controller does.
    leader: str
    cluster_roles: tuple[tuple[Resource, str], ...]
    crds: tuple[str, ...]
    namespace: Object | None

    @property
    def owns_namespace(self) -> bool:
        """Whether the namespace came with the manifests."""
        return self.namespace is not None and labels_of(self.namespace).get(PART_OF) == COALMINE


async def take(client: Client, now: float) -> Inventory:
    """Read it all; `now` is a Unix time. Raises ApiError."""
    roles = [
        (resource, name_of(one))
        for resource in (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES)
        for one in (await client.list(resource, labels=LABEL))[0]
    ]
    crds, _ = await client.list(CRDS)
    templates = await _ours(client, ANALYSIS_TEMPLATES) + await _ours(client, CLUSTER_ANALYSIS_TEMPLATES)
    return Inventory(
        registration=await client.find(MUTATING_WEBHOOKS, None, REGISTRATION),
        deployments=tuple(sorted((await client.list(DEPLOYMENTS))[0], key=lambda d: (namespace_of(d), name_of(d)))),
        hidden=await hidden(client),
        rollouts=tuple(await _ours(client, ROLLOUTS)),
        templates=len(templates),
        keys=tuple((await client.list(CONFIG_MAPS, fields=f"metadata.name={names.KEYS_CONFIGMAP}"))[0]),
        components=tuple((await client.list(DEPLOYMENTS, names.SYSTEM_NAMESPACE, labels=LABEL))[0]),
        leader=leader(await client.find(LEASES, names.SYSTEM_NAMESPACE, names.LEASE), now),
        cluster_roles=tuple(roles),
        crds=tuple(sorted(name_of(c) for c in crds if name_of(c).endswith(f".{names.GROUP}"))),
        namespace=await client.find(NAMESPACES, None, names.SYSTEM_NAMESPACE),
    )


async def hidden(client: Client) -> tuple[Object, ...]:
    """The canary ReplicaSets that are hidden from their Deployments. Raises ApiError."""
    sets, _ = await client.list(REPLICA_SETS)
    return tuple(s for s in sets if annotations_of(s).get(names.ROLE) == names.ROLE_CANARY)


async def _ours(client: Client, resource: Resource) -> list[Object]:
    """Objects of a kind of ours, which may not be served any more."""
    try:
        return (await client.list(resource))[0]
    except NotFoundError:
        return []
