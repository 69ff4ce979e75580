"""Which resource a request's path names (apiserver's RequestInfo)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from coalmine_sandbox.api.kinds import Kind, Kinds

_OF_NAMESPACES = ("status", "finalize")


class Target(NamedTuple):
    """`namespace` is None for all namespaces, and for what is in none."""

    kind: Kind
    namespace: str | None
    name: str
    subresource: str


def target(kinds: Kinds, path: str) -> Target | None:
    """The target of ``/api/v1/...`` or ``/apis/GROUP/VERSION/...``; None when it names nothing that is served."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[:2] == ["api", "v1"]:
        api_version, rest = "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        api_version, rest = f"{parts[1]}/{parts[2]}", parts[3:]
    else:
        return None
    if not rest or not all(rest):
        return None
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in _OF_NAMESPACES):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    kind = kinds.find(api_version, plural)
    if kind is None or (kind.resource.namespaced is False and namespace is not None):
        return None
    if kind.resource.namespaced and namespace is None and name:
        return None
    if subresource and kind.subresource(subresource) is None:
        return None
    return Target(kind, namespace, name, subresource)


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def verb(method: str, target: Target, *, watch: bool) -> str:
    """The verb, as authorisation knows it; "" for a method that means nothing."""
    if method == "GET":
        return "get" if target.name else "watch" if watch else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return _VERBS.get(method, "")
