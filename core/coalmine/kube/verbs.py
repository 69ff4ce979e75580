"""What can be asked of an API server, whoever carries it there: get, list, watch, create, replace, patch, delete.

Also what it answers: objects, events, errors. `Client` carries it by HTTP.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

from coalmine.kube.resources import Object, Resource
from coalmine.model.errors import RemoteError

MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

#: The server is asked to end a watch after this long, so that a dead connection is noticed
#: at the latest a little after.
WATCH_SECONDS: Final = 240
_LIST_PAGE: Final = 500


class ApiError(RemoteError):
    """The API server answered with an error status, or not at all (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        super().__init__(message)


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409: the object changed since it was read, or exists already."""


class GoneError(ApiError):
    """410: the resourceVersion is too old: list again."""


class Event(NamedTuple):
    """One change that a watch saw: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


def api_error(status: int, body: Mapping[str, Any] | None, text: str = "") -> ApiError:
    """The exception for an error answer (a metav1.Status, or whatever stood in its place)."""
    reason = str((body or {}).get("reason") or "")
    message = str((body or {}).get("message") or text[:500] or f"HTTP status {status}")
    kind = {404: NotFoundError, 409: ConflictError, 410: GoneError}.get(status, ApiError)
    return kind(status, reason, message)


class Verbs(abc.ABC):
    """The verbs, in terms of two requests. Raises ApiError and its kinds."""

    async def get(self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> Object:
        return await self._json("GET", _path(resource, namespace, name, subresource))

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """The object, or None when there is none."""
        try:
            return await self.get(resource, namespace, name)
        except NotFoundError:
            return None

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[list[Object], str]:
        """All objects, page by page, and the resourceVersion to watch from.

        Items carry apiVersion and kind, which the API server leaves out in lists.
        """
        items: list[Object] = []
        query = {"limit": str(_LIST_PAGE)} | _selectors(labels, fields)
        while True:
            page = await self._json("GET", _path(resource, namespace), query=query)
            for item in page.get("items") or ():
                items.append({"apiVersion": resource.api_version, "kind": resource.kind, **item})
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        """Changes since `resource_version`, until the server ends the watch.

        Raises GoneError when the version is too old, ApiError for any other fault.
        """
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        } | _selectors(labels, fields)
        # who leaves in the middle ends the request at once, not when the garbage is collected
        async with contextlib.aclosing(self._events(_path(resource, namespace), query)) as events:
            async for event in events:
                if event.type == "ERROR":
                    raise api_error(int(event.object.get("code") or 0), event.object)
                yield event

    async def create(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        """Create an object (or a subresource of the object that it names). Raises ConflictError."""
        name = str(obj["metadata"]["name"]) if subresource else None
        return await self._json("POST", _path(resource, namespace, name, subresource), obj)

    async def replace(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        """Write an object whole; its resourceVersion, when given, must be the current one."""
        return await self._json("PUT", _path(resource, namespace, str(obj["metadata"]["name"]), subresource), obj)

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
    ) -> Object:
        """Change parts of an object. A ``metadata.resourceVersion`` in a merge patch is a precondition."""
        path = _path(resource, namespace, name, subresource)
        return await self._json("PATCH", path, patch, query=query, content_type=kind)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete an object if it is still the one with `uid`; one that is gone already is no error."""
        options: Object = {"propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        with contextlib.suppress(NotFoundError):
            await self._json("DELETE", _path(resource, namespace, name), options)

    async def raw(self, method: str, path: str, body: Any = None) -> Object:
        """Any request that answers JSON: evictions, reviews, versions."""
        return await self._json(method, path, body)

    @abc.abstractmethod
    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request that answers JSON; `path` may carry a query."""

    @abc.abstractmethod
    def _events(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        """The events of a watch, ERROR included."""


def _selectors(labels: str, fields: str) -> dict[str, str]:
    query = {}
    if labels:
        query["labelSelector"] = labels
    if fields:
        query["fieldSelector"] = fields
    return query


def _path(resource: Resource, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    """What the API server would answer to a path that is none: so callers need know no other error."""
    try:
        return resource.path(namespace, name, subresource)
    except RemoteError as error:
        raise ApiError(400, "BadRequest", str(error)) from error
