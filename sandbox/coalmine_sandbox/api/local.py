"""The API server for who lives in its process: the native controllers, through admission and all, without HTTP.

What they get is theirs: made from JSON for each of them, never shared with the store.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from coalmine.kube.client import MERGE, Event, NotFoundError, api_error
from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.handler import Handler
from coalmine_sandbox.api.http import Answer, Request, Stream
from coalmine_sandbox.api.store import encoded
from coalmine_sandbox.api.user import AUTHENTICATED, User, service_account

#: As `coalmine.kube.client`'s: a controller's watch is renewed like everybody's.
_WATCH_SECONDS: Final = "240"
_PROGRAMS: Final = {"system:kube-scheduler": "kube-scheduler", "system:apiserver": "kube-apiserver"}
_ACCOUNT: Final = "system:serviceaccount:"


def user_named(name: str) -> User:
    """The user of a controller: a service account, or a name of its own as the scheduler's."""
    if name.startswith(_ACCOUNT):
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        return service_account(namespace, account)
    return User(name, (AUTHENTICATED,))


class LocalApi:
    """Implements `native.client.Api` as a user who may do everything. Raises ApiError and its kinds."""

    def __init__(self, handler: Handler, user: User) -> None:
        self._handler = handler
        self._user = user
        # the manager of its fields: all controllers are named by their program
        self._agent = _PROGRAMS.get(user.name, "kube-controller-manager")

    async def get(self, resource: Resource, namespace: str | None, name: str, subresource: str | None = None) -> Object:
        return await self._json("GET", resource.path(namespace, name, subresource))

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        try:
            return await self.get(resource, namespace, name)
        except NotFoundError:
            return None

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> tuple[list[Object], str]:
        found = await self._json("GET", resource.path(namespace), query=_selectors(labels, fields))
        header = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [header | item for item in found["items"]], str(found["metadata"]["resourceVersion"])

    async def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        query = {
            "watch": ["true"],
            "resourceVersion": [resource_version],
            "allowWatchBookmarks": ["true"],
            "timeoutSeconds": [_WATCH_SECONDS],
        } | _selectors(labels, fields)
        answer = await self._handler.handle(self._request("GET", resource.path(namespace), query))
        if isinstance(answer, Answer):
            raise api_error(answer.status, json.loads(answer.body))
        try:
            async for lines in answer.chunks:
                for line in lines.splitlines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise api_error(int(event["object"].get("code") or 0), event["object"])
                    yield Event(event["type"], event["object"])
        finally:
            await answer.close()

    async def create(
        self, resource: Resource, namespace: str | None, body: Object, subresource: str | None = None
    ) -> Object:
        name = str(body["metadata"]["name"]) if subresource else None
        return await self._json("POST", resource.path(namespace, name, subresource), body)

    async def replace(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], subresource: str | None = None
    ) -> Object:
        return await self._json("PUT", resource.path(namespace, str(obj["metadata"]["name"]), subresource), obj)

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
        asked = {key: [value] for key, value in (query or {}).items()}
        path = resource.path(namespace, name, subresource)
        return await self._json("PATCH", path, patch, query=asked, content_type=kind)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> None:
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        with contextlib.suppress(NotFoundError):  # as the client over HTTP: gone already is no error
            await self._json("DELETE", resource.path(namespace, name), body)

    async def raw(self, method: str, path: str, body: Any = None) -> Object:
        """One request to any path; `path` may carry a query."""
        bare, _, query = path.partition("?")
        return await self._json(method, bare, body, query=parse_qs(query, keep_blank_values=True))

    # --- inside --------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Sequence[str]] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Request:
        headers = {"content-type": content_type, "user-agent": self._agent, "accept": "application/json"}
        data = b"" if body is None else encoded(body)
        return Request(method, path, self._user, query or {}, headers, data, checked=False)

    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Sequence[str]] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._handler.handle(self._request(method, path, query, body, content_type))
        if isinstance(answer, Stream):
            await answer.close()
            raise api_error(0, None, f"{method} {path}: the answer is a stream")
        found: Object = json.loads(answer.body)
        if answer.status >= 400:
            raise api_error(answer.status, found)
        return found


def _selectors(labels: str, fields: str) -> dict[str, list[str]]:
    query = {}
    if labels:
        query["labelSelector"] = [labels]
    if fields:
        query["fieldSelector"] = [fields]
    return query
