"""An API server for tests: no socket, a clock that stands still, admission that the test may replace."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from coalmine.kube.resources import Object
from coalmine_sandbox.api import writing
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.assembly import Api
from coalmine_sandbox.api.authentication import Tokens
from coalmine_sandbox.api.authorization import Rbac
from coalmine_sandbox.api.crds import judge
from coalmine_sandbox.api.http import Answer, Request, Stream
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.api.user import AUTHENTICATED, MASTERS, User
from coalmine_sandbox.certificates import signing_key

ADMIN = User("admin", (MASTERS,))
SOMEBODY = User("somebody", (AUTHENTICATED,))
NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z


class Admission:
    """Lets everything pass, notes what it was asked; `mutator` and `validator` may do more."""

    def __init__(self) -> None:
        self.asked: list[Attributes] = []
        self.mutator: Callable[[Attributes], Any] | None = None
        self.validator: Callable[[Attributes], Any] | None = None
        self.warnings: list[str] = []

    async def mutate(self, attributes: Attributes) -> tuple[Object | None, list[str]]:
        self.asked.append(attributes)
        found = attributes.object
        if self.mutator is not None:
            found = await self.mutator(attributes) or found
        return found, self.warnings

    async def validate(self, attributes: Attributes) -> None:
        if self.validator is not None:
            await self.validator(attributes)


class Stand:
    """Ask it by method and path; `now` may be moved."""

    def __init__(self, store: Store | None = None, admission: writing.Admission | None = None) -> None:
        """`admission`: the real one, say, instead of one that lets everything pass."""
        self.now = NOON
        self.store = store or Store()
        self.admission = Admission()
        self.api = Api(
            self.store,
            admission or self.admission,
            Tokens(self.store, signing_key()[0], lambda: self.now, random.Random(3)),
            Rbac(self.store),
            judge(lambda: self.now),
            services="127.30.0.0/24",
            address="127.0.0.1:6443",
            clock=lambda: self.now,
            chance=random.Random(7),
        )

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        user: User = ADMIN,
        **query: str,
    ) -> Answer | Stream:
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = {key: [value] for key, value in query.items()}
        return await self.api.handler.handle(Request(method, path, user, asked, headers or {}, sent))

    async def answer(self, method: str, path: str, body: Any = None, **how: Any) -> Answer:
        found = await self.raw(method, path, body, **how)
        assert isinstance(found, Answer)
        return found

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 0, **how: Any) -> Object:
        """The answer's object; `status` is asserted, or that it is a success."""
        answer = await self.answer(method, path, body, **how)
        found: Object = json.loads(answer.body)
        assert answer.status == status if status else answer.status < 300, found
        return found

    async def patch(self, path: str, body: Any, kind: str = "merge", **how: Any) -> Object:
        media = {
            "merge": "application/merge-patch+json",
            "json": "application/json-patch+json",
            "strategic": "application/strategic-merge-patch+json",
            "apply": "application/apply-patch+yaml",
        }[kind]
        return await self.ask("PATCH", path, body, headers={"content-type": media}, **how)

    async def watch(self, path: str, **query: str) -> Stream:
        found = await self.raw("GET", path, watch="true", **query)
        assert isinstance(found, Stream), found
        return found


async def next_events(stream: Stream, count: int) -> list[tuple[str, Object]]:
    """The next events of a watch."""
    found: list[tuple[str, Object]] = []
    async for lines in stream.chunks:
        for line in lines.splitlines():
            event = json.loads(line)
            found.append((event["type"], event["object"]))
        if len(found) >= count:
            break
    return found


def deployment(name: str = "web", **spec: Any) -> Object:
    labels = {"app": name}
    container = {"name": "app", "image": "python:1", "ports": [{"name": "web", "containerPort": 80}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def pod(name: str = "one", **spec: Any) -> Object:
    container = {"name": "app", "image": "python:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 30, **spec},
    }


def config_map(name: str = "settings", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
