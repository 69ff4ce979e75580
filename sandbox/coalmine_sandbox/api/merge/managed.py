"""Who owns which field after a write that is no apply: a create, an update, a patch.

What changed goes to the writer's Update entry and leaves all others; what is gone leaves all. The object must be
spelled as it will be stored (`defaults.complete`): the writer of an object owns its defaults, too.
"""

from __future__ import annotations

from typing import Any

from coalmine.kube.resources import Object
from coalmine_sandbox.api.merge import managers, typed
from coalmine_sandbox.api.merge.managers import Entry, Managers
from coalmine_sandbox.api.schema import spelling
from coalmine_sandbox.api.schema.node import Node


def updated(
    node: Node,
    old: Object | None,
    new: Object,
    *,
    manager: str,
    subresource: str = "",
    time: str,
    status: bool = True,
) -> Object:
    """`new` with metadata.managedFields, or `old`'s times where the write changes nothing.

    `old` is None for a create; `time` is RFC 3339 in UTC, of whole seconds; `status`: see `managers.resets`.
    An object whose fields are not tracked (its managedFields were reset) stays so until the next apply.
    """
    entries = _given(old, new, subresource)
    bare = managers.write(new, {})
    if old is not None and not entries:
        return bare
    before = spelling.zero(node) if old is None else managers.write(old, {})
    try:
        made = managers.write(bare, _recorded(node, before, bare, entries, manager, subresource, time, status))
    except typed.TypedError:
        return bare  # as the real one does: no record rather than a wrong one
    return made if old is None else managers.settled(old, made)


def _given(old: Object | None, new: Object, subresource: str) -> Managers:
    """The entries to go on from: a client may replace, or reset, them, but not through a subresource."""
    kept = (managers.read(old) or {}) if old is not None else {}
    sent: Any = new.get("metadata", {}).get("managedFields")
    if subresource or sent is None:
        return kept
    if sent in ([], [{}]):
        return {}
    return managers.read(new) or kept


def _recorded(
    node: Node,
    before: Object,
    after: Object,
    entries: Managers,
    manager: str,
    subresource: str,
    time: str,
    status: bool,
) -> Managers:
    reset = managers.resets(node, subresource, status=status)
    difference = typed.compare(node, before, after)
    touched = difference.touched(reset)
    found = managers.without(entries, touched | difference.gone(reset))
    mine = touched - managers.STRIPPED
    if mine:
        version = str(after.get("apiVersion", ""))
        owner = managers.key(manager, managers.UPDATE, version, subresource)
        previous = found.get(owner)
        found[owner] = Entry(mine | previous.owned if previous else mine, version, time)
    return managers.capped(found)
