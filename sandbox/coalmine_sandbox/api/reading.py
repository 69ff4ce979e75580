"""Get and list: objects straight from the store, their JSON joined rather than made again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from coalmine.kube.resources import Object
from coalmine_sandbox.api import errors, events, selectors
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.http import Request
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.selectors import Match
from coalmine_sandbox.api.store import Entry, Store, encoded


def whole(kind: Kind, entry: Entry) -> bytes:
    """An entry's JSON as the kind shows it."""
    if kind.storage != kind.resource:
        return encoded(events.shown(entry.object))
    return entry.json


def shown(kind: Kind, obj: Object) -> Object:
    """An object as the kind shows it. Not to be written to."""
    return obj if kind.storage == kind.resource else events.shown(obj)


def match_of(kind: Kind, request: Request) -> Match | None:
    """The request's selectors; None: everything. Raises StatusError (400)."""
    labels = selectors.parse_labels(request.parameter("labelSelector"))
    supported = kind.selectable
    terms = selectors.parse_fields(request.parameter("fieldSelector"), supported, default=not kind.fields)
    if kind.storage != kind.resource:
        terms = tuple(term._replace(path=events.stored_field(term.path)) for term in terms)
    return selectors.matcher(labels, terms, _field)


def _field(obj: Object, path: str) -> str:
    if obj["kind"] == "Event":
        if path == "source":
            return selectors.field(obj, "source.component") or selectors.field(obj, "reportingComponent")
        if path == "reportingComponent":
            return selectors.field(obj, path) or selectors.field(obj, "source.component")
    if path in ("spec.hostNetwork", "spec.unschedulable"):
        return selectors.field(obj, path) or "false"
    if path in ("status.replicas", "status.successful"):
        return selectors.field(obj, path.replace("successful", "succeeded")) or "0"
    return selectors.field(obj, path)


class Position(NamedTuple):
    """Where a list goes on: what a continue token says."""

    version: int
    after: tuple[str, str]

    def token(self) -> str:
        said = {"v": "meta.k8s.io/v1", "rv": self.version, "start": "/".join(self.after)}
        return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")

    @classmethod
    def of(cls, token: str) -> Position:
        """Raises StatusError (400)."""
        try:
            said = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            namespace, _, name = str(said["start"]).partition("/")
            return cls(int(said["rv"]), (namespace, name))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise errors.bad_request(f"continue key is not valid: {error}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list."""

    entries: list[Entry]
    version: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> Object:
        said: Object = {"resourceVersion": str(self.version)}
        if self.token:
            said["continue"] = self.token
        if self.remaining is not None:
            said["remainingItemCount"] = self.remaining
        return said


_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


def page(store: Store, kind: Kind, namespace: str | None, request: Request) -> Page:
    """The part of a list that the request asks for. Raises StatusError (400, 410, 504)."""
    match = match_of(kind, request)
    limit = number(request, "limit")
    position: Position | None = None
    if token := request.parameter("continue"):
        position = Position.of(token)
        version = position.version
        try:
            found = store.entries_at(kind.storage, namespace, version)
        except StatusError as error:
            raise StatusError(410, "Expired", _TOO_OLD) from error
        found = [entry for entry in found if entry.key > position.after]
    else:
        version = at_version(store, request)
        found = store.entries_at(kind.storage, namespace, version)
    if match is not None:
        found = [entry for entry in found if match(entry.object)]
    if not limit or len(found) <= limit:
        return Page(found, version)
    kept = found[:limit]
    remaining = None if match is not None else len(found) - limit
    return Page(kept, version, Position(version, kept[-1].key).token(), remaining)


def at_version(store: Store, request: Request) -> int:
    """The version that a list is to show. Raises StatusError (400, 504)."""
    wanted = number(request, "resourceVersion")
    if wanted > store.version:
        raise too_large(wanted, store.version)
    if request.parameter("resourceVersionMatch") == "Exact":
        return wanted
    return store.version


def too_large(wanted: int, current: int) -> StatusError:
    """A version that was not reached yet: of another server, or of a time that was lost."""
    message = f"Too large resource version: {wanted}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return StatusError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def number(request: Request, name: str) -> int:
    """A query's number; 0 without one. Raises StatusError (400)."""
    said = request.parameter(name)
    if not said:
        return 0
    # longer ones are no counter of ours, and int() has a limit of its own
    if not said.isascii() or not said.isdigit() or len(said) > 19:
        raise errors.bad_request(f'strconv.ParseUint: parsing "{said[:50]}": invalid syntax')
    return int(said)


def listed(kind: Kind, found: Page, show: Callable[[Kind, Entry], bytes] = whole) -> bytes:
    """A list's JSON."""
    head = {"kind": f"{kind.resource.kind}List", "apiVersion": kind.resource.api_version, "metadata": found.metadata()}
    items = b",".join(show(kind, entry) for entry in found.entries)
    return encoded(head)[:-1] + b',"items":[' + items + b"]}"
