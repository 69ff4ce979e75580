"""What a request to the API server was, in few words: for counting.

Pure. The words are those of Argo's ``controller_clientset_k8s_request_total``: the verb as client-go
names it, the resource by its plural. No namespace and no name is in them: who counts by them must
not keep a counter for each object that there ever was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple


class Call(NamedTuple):
    """One request. `status` is HTTP's, 0 when nobody answered; `seconds` until the answer began (of a watch, too)."""

    verb: str
    resource: str
    status: int
    seconds: float


Observer = Callable[[Call], None]

_VERBS: Final = {"POST": "Create", "PUT": "Update", "PATCH": "Patch", "DELETE": "Delete"}
#: Paths that name no resource (versions, discovery), and what is no path of the API server.
NO_RESOURCE: Final = "other"


def ignore(call: Call) -> None:
    """The observer of who counts nothing."""


def words(method: str, path: str, query: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The verb and the resource of a request, its subresource behind a slash: ``("Patch", "deployments/status")``."""
    parts = path.partition("?")[0].strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    verb = _VERBS.get(method, "Get")
    if not rest:
        return verb, NO_RESOURCE
    if method == "GET" and len(rest) == 1:
        verb = "Watch" if (query or {}).get("watch") == "true" else "List"
    return verb, "/".join((rest[0], *rest[2:3]))
