"""The API server as the native controllers see it: some of `coalmine.kube.client.Client`'s methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from coalmine.kube.client import MERGE, Event
from coalmine.kube.resources import Object, Resource


class Api(Protocol):
    """`coalmine.kube.client.Client`, or the sandbox's own way without HTTP. Raises ApiError and its kinds."""

    async def get(
        self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None
    ) -> Object: ...

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None: ...

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[list[Object], str]: ...

    def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]: ...

    async def create(
        self, resource: Resource, namespace: str | None, body: Object, subresource: str | None = None
    ) -> Object: ...

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Any,
        subresource: str | None = None,
        *,
        kind: str = MERGE,
        query: Mapping[str, str] | None = None,
    ) -> Object: ...

    async def replace(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object: ...

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> None: ...

    async def raw(self, method: str, path: str, body: Any = None) -> Object:
        """Discovery, and a deletion with preconditions other than the uid."""
        ...


#: An API client that acts as the user of this name (a controller's own service account).
Connect = Callable[[str], Api]
