"""What a write is, as admission sees it (apiserver's admission.Attributes)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from coalmine.kube.resources import Object, Resource
from coalmine_sandbox.api.user import User

Operation = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(frozen=True, slots=True)
class Attributes:
    operation: Operation
    resource: Resource
    subresource: str
    namespace: str  # "" for what is cluster-scoped
    name: str  # "" while it is still to be generated
    object: Object | None
    old: Object | None
    user: User
    dry_run: bool
    options: Object
    uid: str  # of this request


class Reader(Protocol):
    """What is stored. Nothing that it gives may be written to."""

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None: ...

    def objects(self, resource: Resource, namespace: str | None = None) -> list[Object]: ...
