"""What the reviews need to know of the cluster: a pod's ReplicaSet, and the access modes of claims.

Rules: every look-up is a live GET with a time limit well below the webhook's own
(`timeoutSeconds` 5), and never fails: an answer that does not come is an unknown, a name that none can have as well,
and the pure rules say what an unknown means. Nothing is cached: a role changes at the handover.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from coalmine.kube.resources import REPLICA_SETS, Object, Resource
from coalmine.model.errors import RemoteError

_log = logging.getLogger(__name__)

#: The API server waits 5 s for us; a GET that takes two is not going to be quick, and the rest of the
#: time is for the answer's way back.
LIMIT_SECONDS: Final = 2.0
#: Claims are read one for each volume: more than a few shared claims in one template is a mistake or an attack.
MOST_CLAIMS: Final = 8

CLAIMS: Final = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")


class Reader(Protocol):
    """The part of `coalmine.kube.client.Client` that is used here."""

    async def get(
        self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None
    ) -> Object: ...


async def owner(reader: Reader, namespace: str, name: str, limit: float = LIMIT_SECONDS) -> Object | None:
    """The ReplicaSet of that name; None when the API server refused, failed or was late."""
    return await _within(limit, reader.get(REPLICA_SETS, namespace, name), f"ReplicaSet {namespace}/{name}")


async def access_modes(
    reader: Reader, namespace: str, names: Sequence[str], limit: float = LIMIT_SECONDS
) -> dict[str, tuple[str, ...]]:
    """The access modes of the claims that could be read, by name."""
    asked = names[:MOST_CLAIMS]
    gets = (_within(limit, reader.get(CLAIMS, namespace, n), f"PersistentVolumeClaim {namespace}/{n}") for n in asked)
    found = await asyncio.gather(*gets)
    return {
        name: tuple((claim.get("spec") or {}).get("accessModes") or ())
        for name, claim in zip(asked, found, strict=True)
        if claim is not None
    }


async def _within(limit: float, get: Awaitable[Object], what: str) -> Object | None:
    try:
        async with asyncio.timeout(limit):
            return await get
    except RemoteError as error:
        _log.warning("%s cannot be read: %s", what, error)
    except TimeoutError:
        _log.warning("%s cannot be read: no answer within %g s", what, limit)
    return None
