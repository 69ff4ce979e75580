"""metadata.managedFields: which manager owns which fields, by which operation.

Rules (apimachinery's pkg/util/managedfields): an entry is known by manager, operation, subresource and, of updates,
apiVersion; empty entries vanish; entries stand in order of operation and time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from coalmine.kube.resources import Object
from coalmine_sandbox.api.merge import fields
from coalmine_sandbox.api.merge.fields import Fields, Path
from coalmine_sandbox.api.schema.node import Node

APPLY: Final = "Apply"
UPDATE: Final = "Update"
#: Fields that nobody owns: the API server's own, and what names the object.
STRIPPED: Final[Fields] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)
#: DefaultMaxUpdateManagers: older entries of updates are thrown together, or an object would grow with its writers.
UPDATES_LIMIT: Final = 10
_ANCIENT: Final = "ancient-changes"


class Key(NamedTuple):
    """Who an entry belongs to."""

    manager: str
    operation: str
    api_version: str  # "" of an apply: a manager has one such entry, whatever the version
    subresource: str

    def printed(self) -> str:
        """As conflicts name it."""
        said = f'"{self.manager}"'
        if self.subresource:
            said += f' with subresource "{self.subresource}"'
        return f"{said} using {self.api_version}" if self.operation == UPDATE else said


@dataclass(frozen=True, slots=True)
class Entry:
    owned: Fields
    api_version: str
    time: str = ""


Managers = dict[Key, Entry]


def key(manager: str, operation: str, api_version: str, subresource: str) -> Key:
    return Key(manager or "unknown", operation, "" if operation == APPLY else api_version, subresource)


def read(obj: Object) -> Managers | None:
    """An object's entries; None if they cannot be read."""
    answer: Managers = {}
    for entry in obj.get("metadata", {}).get("managedFields") or ():
        operation, version = entry.get("operation"), entry.get("apiVersion")
        if operation not in (APPLY, UPDATE) or not version or entry.get("fieldsType") != "FieldsV1":
            return None
        owner = Key(
            entry.get("manager", ""), operation, "" if operation == APPLY else version, entry.get("subresource", "")
        )
        try:
            owned = fields.decode(entry.get("fieldsV1") or {})
        except ValueError:
            return None
        answer[owner] = Entry(owned, version, entry.get("time", ""))
    return answer


def write(obj: Object, managers: Managers) -> Object:
    """The object with these entries, or without any."""
    metadata = {name: value for name, value in obj.get("metadata", {}).items() if name != "managedFields"}
    if managers:
        metadata["managedFields"] = [_entry(owner, entry) for owner, entry in sorted(managers.items(), key=_order)]
    return {**obj, "metadata": metadata}


def _order(item: tuple[Key, Entry]) -> tuple[str, ...]:
    owner, entry = item
    return owner.operation, entry.time, owner.manager, entry.api_version, owner.subresource


def _entry(owner: Key, entry: Entry) -> dict[str, Any]:
    written: dict[str, Any] = {
        "manager": owner.manager,
        "operation": owner.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields.encode(entry.owned),
        "subresource": owner.subresource,
    }
    return {name: value for name, value in written.items() if value != "" or name == "fieldsV1"}


def without(managers: Managers, gone: Fields, *, but: Key | None = None) -> Managers:
    """Without those fields in any entry but one; entries that are left empty vanish."""
    found = {
        owner: entry if owner == but else replace(entry, owned=entry.owned - gone) for owner, entry in managers.items()
    }
    return {owner: entry for owner, entry in found.items() if entry.owned}


def capped(managers: Managers) -> Managers:
    """With at most UPDATES_LIMIT updates: the oldest of each version are one entry."""
    updates = sorted((o for o in managers if o.operation == UPDATE), key=lambda o: (managers[o].time, o))
    found = dict(managers)
    excess = len(updates) - UPDATES_LIMIT
    first: dict[str, Key] = {}
    for owner in updates:
        if excess <= 0:
            break
        entry = found[owner]
        bucket = Key(_ANCIENT, UPDATE, entry.api_version, "")
        if owner == bucket or entry.api_version not in first:
            first[entry.api_version] = owner
            continue
        older = found.pop(first[entry.api_version])
        del found[owner]
        found[bucket] = Entry(older.owned | entry.owned, entry.api_version, entry.time)
        first[entry.api_version] = bucket
        excess -= 1
    return found


def settled(old: Object, new: Object) -> Object:
    """`new`, with the old entries where nothing differs but their times: a write that changes nothing is none."""
    was = old["metadata"].get("managedFields")
    if was and _timeless(old) == _timeless(new):
        return {**new, "metadata": {**new["metadata"], "managedFields": was}}
    return new


def _timeless(obj: Object) -> Object:
    metadata = dict(obj.get("metadata", {}))
    entries: Iterable[Any] = metadata.get("managedFields") or ()
    metadata["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in entries]
    return {**obj, "metadata": metadata}


def resets(node: Node, subresource: str, *, status: bool) -> tuple[Path, ...]:
    """The fields that a write to an endpoint cannot change, so that nobody comes to own them there.

    `status`: whether a custom resource has a status subresource; a built-in kind with a status has one.
    """
    if subresource == "status":
        return (("f:spec",),) if node.name else (("f:spec",), ("f:metadata",))
    if subresource or not (status and (not node.name or "status" in node.fields)):
        return ()
    return (("f:status",),)
