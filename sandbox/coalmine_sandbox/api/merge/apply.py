"""Server-side apply: an applied configuration merged into an object, field by field, by who owns what.

Rules (structured-merge-diff's merge.Updater under apimachinery's field manager):
1. what is applied goes on top of the live object; what is there and not applied stays,
2. except what this manager applied last time, does not now, and nobody else owns: it is removed;
3. a field that the apply would change and another manager owns is a conflict, unless forced: then the other loses it;
4. a field that several apply with one value is owned by all of them;
5. an apply that changes nothing gives the live object back.
"""

from __future__ import annotations

import copy
from typing import Any

from coalmine.kube.resources import Object, name_of, namespace_of
from coalmine_sandbox.api.errors import StatusError, bad_request
from coalmine_sandbox.api.merge import fields, last_applied, managers, typed
from coalmine_sandbox.api.merge.fields import EMPTY, Fields
from coalmine_sandbox.api.merge.managers import Entry, Key, Managers
from coalmine_sandbox.api.schema import spelling
from coalmine_sandbox.api.schema.node import Node

#: Who owns what was there before an object without a record was applied for the first time.
_BEFORE: str = "before-first-apply"
#: The manager that may take over what its client-side apply owned (see `last_applied`).
_KUBECTL: str = "kubectl"


class _ConflictError(Exception):
    def __init__(self, found: list[tuple[Key, fields.Path]]) -> None:
        super().__init__()
        self.found = found


def apply(
    node: Node,
    live: Object | None,
    applied: Object,
    *,
    manager: str,
    force: bool,
    subresource: str = "",
    time: str,
    status: bool = True,
) -> Object:
    """The object after the apply, its defaults not yet filled in, with metadata.managedFields.

    `live` is None where the apply creates; `time` and `status` as `managed.updated` takes them. Raises StatusError:
    400 for managedFields in what is applied, 409 for conflicts, 500 (as the real one) for what has no place in
    the schema.
    """
    if applied.get("metadata", {}).get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    version = str(applied.get("apiVersion", ""))
    header = {"apiVersion": version, "kind": applied.get("kind")}
    zero = {**spelling.zero(node), **header}
    before = zero if live is None else {**managers.write(live, {}), **header}
    reset = managers.resets(node, subresource, status=status)
    try:
        typed.checked(node, applied)
        config = typed.of(node, applied)
        entries = {} if live is None else managers.read(live)
        if not entries:
            entries = _untracked(node, zero, before, version, reset, time)
    except typed.TypedError as error:
        raise _untyped(applied, error) from error
    me = managers.key(manager, managers.APPLY, version, subresource)
    owned = fields.without(config, reset)
    try:
        made, found = _applied(node, before, applied, entries, me, Entry(owned, version), force, reset)
    except _ConflictError as error:
        left = _not_mine(node, before, manager, version, error.found)
        if left:
            raise _conflict(left) from error
        made, found = _applied(node, before, applied, entries, me, Entry(owned, version), True, reset)
    mine = found[me].owned - managers.STRIPPED if me in found else EMPTY
    if mine:
        # who comes to own what is there already has no time: as the real one writes it
        previous = entries[me].time if me in entries else ""
        found[me] = Entry(mine, version, previous if typed.same(before, made) else time)
    else:
        found.pop(me, None)
    answer = copy.deepcopy(made)
    if manager == _KUBECTL:
        answer = last_applied.refreshed(answer, applied)
    answer = managers.write(answer, found)
    return answer if live is None else managers.settled(live, answer)


def _untracked(
    node: Node, zero: Object, live: Object, version: str, reset: tuple[fields.Path, ...], time: str
) -> Managers:
    """What an object without a record has is owned by somebody, so that an apply does not change it unnoticed."""
    touched = typed.compare(node, zero, live).touched(reset) - managers.STRIPPED
    owner = managers.key(_BEFORE, managers.UPDATE, version, "")
    return {owner: Entry(touched, version, time)} if touched else {}


def _applied(
    node: Node,
    live: Object,
    applied: Object,
    entries: Managers,
    me: Key,
    mine: Entry,
    force: bool,
    reset: tuple[fields.Path, ...],
) -> tuple[Object, Managers]:
    """The merged object and the entries. Raises _ConflictError."""
    last = entries[me].owned if me in entries else EMPTY
    found = {**entries, me: mine}
    made = typed.merge(node, live, applied)
    made = _pruned(node, made, last, found)
    difference = typed.compare(node, live, made)
    touched = difference.touched(reset)
    conflicts = [(owner, path) for owner, entry in found.items() if owner != me for path in entry.owned & touched]
    if conflicts and not force:
        raise _ConflictError(conflicts)
    return made, managers.without(found, touched | difference.gone(reset), but=me)


def _pruned(node: Node, merged: Any, last: Fields, found: Managers) -> Any:
    """Without what this manager owned alone and no longer applies."""
    if not last:
        return merged
    last = typed.named(node, last)
    pruned = typed.remove(node, merged, last)
    # what others own comes back, and what it stands in
    there = typed.named(node, typed.of(node, merged))
    owned = frozenset[fields.Path]().union(*(typed.named(node, entry.owned) for entry in found.values()))
    kept = typed.named(node, typed.of(node, pruned))
    pruned = typed.remove(node, merged, there - (kept | owned))
    # and so does what nobody owns, unless this manager did
    kept = typed.named(node, typed.of(node, pruned))
    return typed.remove(node, merged, (there - kept) & last)


# --- refusals ---------------------------------------------------------------------------------------


def _not_mine(
    node: Node, live: Object, manager: str, version: str, found: list[tuple[Key, fields.Path]]
) -> list[tuple[Key, fields.Path]]:
    """The conflicts that stand: kubectl may go from client-side to server-side apply without any."""
    if manager != _KUBECTL:
        return found
    allowed = last_applied.owned(node, live, version)
    return [(owner, path) for owner, path in found if path not in allowed]


def _conflict(found: list[tuple[Key, fields.Path]]) -> StatusError:
    found = sorted(found, key=lambda item: (item[0].printed(), item[1]))
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {owner.printed()}",
            "field": fields.printed(path),
        }
        for owner, path in found
    ]
    if len(found) == 1:
        said = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines: list[str] = []
        for owner in dict.fromkeys(owner for owner, _ in found):
            lines.append(f"conflicts with {owner.printed()}:")
            lines += [f"- {fields.printed(path)}" for other, path in found if other == owner]
        said = f"{len(found)} conflicts: " + "\n".join(lines)
    return StatusError(409, "Conflict", f"Apply failed with {said}", {"causes": causes})


def _untyped(applied: Object, error: typed.TypedError) -> StatusError:
    group, _, version = str(applied.get("apiVersion", "")).rpartition("/")
    kind = f"{group}/{version}, Kind={applied.get('kind')}"
    about = f"{namespace_of(applied)}/{name_of(applied)}"
    return StatusError(500, "", f"failed to create typed patch object ({about}; {kind}): {error}")
