"""The API server for who lives in its process: the native controllers, through admission and all, without HTTP.

What they get is theirs: made from JSON for each of them, never shared with the store.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from coalmine.kube.resources import Object
from coalmine.kube.verbs import Event, Verbs, api_error
from coalmine_sandbox.api.handler import Handler
from coalmine_sandbox.api.http import Answer, Request, Stream
from coalmine_sandbox.api.store import encoded
from coalmine_sandbox.api.user import AUTHENTICATED, User, service_account

_PROGRAMS: Final = {"system:kube-scheduler": "kube-scheduler", "system:apiserver": "kube-apiserver"}
_ACCOUNT: Final = "system:serviceaccount:"


def user_named(name: str) -> User:
    """The user of a controller: a service account, or a name of its own as the scheduler's."""
    if name.startswith(_ACCOUNT):
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        return service_account(namespace, account)
    return User(name, (AUTHENTICATED,))


class LocalApi(Verbs):
    """The verbs as a user who may do everything."""

    def __init__(self, handler: Handler, user: User) -> None:
        self._handler = handler
        self._user = user
        # the manager of its fields: all controllers are named by their program
        self._agent = _PROGRAMS.get(user.name, "kube-controller-manager")

    async def _events(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        answer = await self._handler.handle(self._request("GET", path, _lists(query)))
        if isinstance(answer, Answer):
            raise api_error(answer.status, json.loads(answer.body))
        try:
            async for lines in answer.chunks:
                for line in lines.splitlines():
                    event = json.loads(line)
                    yield Event(event["type"], event["object"])
        finally:
            await answer.close()

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
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        bare, _, more = path.partition("?")
        asked = parse_qs(more, keep_blank_values=True) | _lists(query or {})
        answer = await self._handler.handle(self._request(method, bare, asked, body, content_type))
        if isinstance(answer, Stream):
            await answer.close()
            raise api_error(0, None, f"{method} {path}: the answer is a stream")
        found: Object = json.loads(answer.body)
        if answer.status >= 400:
            raise api_error(answer.status, found)
        return found


def _lists(query: Mapping[str, str]) -> dict[str, list[str]]:
    return {key: [value] for key, value in query.items()}
