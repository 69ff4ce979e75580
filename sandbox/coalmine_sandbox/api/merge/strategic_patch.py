"""Strategic merge patch: what kubectl apply, edit, set and rollout undo send for built-in kinds.

Rules (apimachinery's pkg/util/strategicpatch): maps are merged; a null removes; a list is replaced, unless its type
says that it is merged: by the merge key of its items, or, of scalars, as a set. Directives, which the patch holds
beside the fields: ``$patch: replace|delete`` in a map or as an item of a merged list, ``$retainKeys``,
``$setElementOrder/<field>``, ``$deleteFromPrimitiveList/<field>``.

Order of a merged list: the patch's items (or those that $setElementOrder names) in the patch's order, the others in
theirs; where both kinds meet, as they stood before, and what is new comes first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final, cast

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import StatusError, bad_request
from coalmine_sandbox.api.merge.patches import rejected
from coalmine_sandbox.api.schema.node import Node, Shape

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"
_UNKNOWN: Final = Node(Shape.ANY)
_ABSENT: Final = object()


def strategic(node: Node, current: Object, patch: Any) -> Object:
    """The object after the patch. Raises StatusError for a patch that is none or does not fit."""
    if not isinstance(patch, dict):
        raise bad_request("Invalid JSON document")
    return _map(node, copy.deepcopy(current), copy.deepcopy(patch))


def _map(node: Node, original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Both are ours to change."""
    if (directive := patch.pop(_PATCH, None)) is not None:
        if directive == "replace":
            return patch
        if directive == "delete":
            return {}
        raise StatusError(500, "", f'unknown patch type found: "{directive}" in map: {patch}')
    _retain(original, patch)
    orders = {key.removeprefix(_ORDER): patch.pop(key) for key in [*patch] if key.startswith(_ORDER)}
    for key, wanted in orders.items():
        _ordered_field(_child(node, key), original, patch, key, wanted)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            _delete_scalars(original, key.removeprefix(_DELETE), value)
        elif value is None:
            original.pop(key, None)
        else:
            merged = _field(_child(node, key), original.get(key), value)
            if merged is _ABSENT:
                original.pop(key, None)
            else:
                original[key] = merged
    return original


def _field(node: Node, original: Any, value: Any) -> Any:
    """A field's value after the patch; _ABSENT for one that is not to be there."""
    if isinstance(original, dict) and isinstance(value, dict):
        if node.replaced:
            return value
        return _map(node, original, value)
    if isinstance(original, list) and isinstance(value, list):
        return _list(node, original, value)
    return _plain(value)


def _list(node: Node, original: list[Any], patch: list[Any]) -> list[Any]:
    if not (node.merge_key or node.merged):
        return patch
    if not original and not patch:
        return original
    if any(isinstance(item, list) for item in (*original, *patch)):
        raise rejected()  # a list of lists
    if not node.merge_key:
        both = _unique([*original, *patch])
        return _in_order(both, patch, original, _identity)
    key = node.merge_key
    items, patch, base = _special(key, original, patch)
    for item in patch:
        at = next((n for n, found in enumerate(items) if _key(key, found) == _key(key, item)), None)
        if at is None:
            items.append(_plain(item))
        else:
            items[at] = _map(node.items or _UNKNOWN, items[at], item)
    return _in_order(items, patch, base, lambda item: _key(key, item))


def _special(key: str, original: list[Any], patch: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """The items that stay, the patch's items that are merged into them, and the list that gives the rest its order."""
    merged: list[Any] = []
    replace = False
    for item in patch:
        if not isinstance(item, dict):
            raise _no_merge_key(item, key)
        match item.get(_PATCH):
            case None:
                merged.append(item)
            case "delete":
                gone = _key(key, item)
                original = [found for found in original if _key(key, found) != gone]
            case "replace":
                replace = True
            case other:
                raise StatusError(500, "", f'unknown patch type found: "{other}" in map: {item}')
    return (merged, [], merged) if replace else ([*original], merged, original)


def _ordered_field(node: Node, original: dict[str, Any], patch: dict[str, Any], key: str, wanted: Any) -> None:
    """Apply ``$setElementOrder/<key>`` and the patch of that list, if there is one, to `original`."""
    if not isinstance(wanted, list):
        raise bad_request("invalid JSON document: $setElementOrder is no list")
    before, change = original.get(key, _ABSENT), patch.pop(key, _ABSENT)
    if not all(value is _ABSENT or value is None or isinstance(value, list) for value in (before, change)):
        raise bad_request(f"invalid JSON document: {key} is no list")
    old: list[Any] = before if isinstance(before, list) else []
    of = (lambda item: _key(node.merge_key, item)) if node.merge_key else _identity
    if change is None:
        original.pop(key, None)
    elif change is _ABSENT:
        if before is not _ABSENT:
            original[key] = _in_order(old, wanted, old, of)
    else:
        assert isinstance(change, list)
        _check_order(change, wanted, of, key)
        merged = _list(node, [*old], change) if before is not _ABSENT else cast("list[Any]", _plain(change))
        original[key] = _in_order(merged, wanted, old, of)


def _check_order(patch: list[Any], wanted: list[Any], of: Callable[[Any], Any], key: str) -> None:
    """The patch's own items stand in the order that it asks for."""
    rest = iter([of(item) for item in wanted])
    named = [of(item) for item in patch if not (isinstance(item, dict) and _PATCH in item)]
    if wanted and not all(item in rest for item in named):
        raise StatusError(500, "", f"The order in patch list:\n{patch}\n doesn't match {_ORDER}{key} list:\n{wanted}\n")


def _in_order(items: list[Any], first: list[Any], before: list[Any], of: Callable[[Any], Any]) -> list[Any]:
    """`items` with those that `first` names in its order, and the others as they stood in `before`."""
    wanted = [of(item) for item in first]
    stood = [of(item) for item in before]
    named = sorted((item for item in items if of(item) in wanted), key=lambda item: wanted.index(of(item)))
    others = [item for item in items if of(item) not in wanted]
    others.sort(key=lambda item: stood.index(of(item)) if of(item) in stood else len(stood))
    answer: list[Any] = []
    while named and others:
        left, right = of(others[0]), of(named[0])
        earlier = left in stood and right in stood and stood.index(left) < stood.index(right)
        answer.append((others if earlier else named).pop(0))
    return answer + named + others


def _retain(original: dict[str, Any], patch: dict[str, Any]) -> None:
    keys = patch.pop(_RETAIN, None)
    if keys is None:
        return
    fields = [key for key, value in patch.items() if value is not None and not key.startswith((_DELETE, _ORDER))]
    if not isinstance(keys, list) or not all(key in keys for key in fields):
        raise bad_request("invalid JSON document: $retainKeys does not name every field of the patch")
    for key in [*original]:
        if key not in keys:
            del original[key]


def _delete_scalars(original: dict[str, Any], key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise bad_request("invalid JSON document: $deleteFromPrimitiveList is no list")
    if isinstance(original.get(key), list):
        original[key] = [item for item in original[key] if item not in values]


def _plain(value: Any) -> Any:
    """A patch's value where there was none: without nulls and directives; _ABSENT for a map with ``$patch``."""
    if isinstance(value, dict):
        if _PATCH in value:
            return _ABSENT
        made = {
            key: _plain(item)
            for key, item in value.items()
            if item is not None and key != _RETAIN and not key.startswith((_ORDER, _DELETE))
        }
        return {key: item for key, item in made.items() if item is not _ABSENT}
    if isinstance(value, list):
        return [item for item in map(_plain, value) if item is not _ABSENT]
    return value


def _child(node: Node, key: str) -> Node:
    return node.fields.get(key) or (node.items if node.shape is Shape.MAP else None) or _UNKNOWN


def _key(key: str, item: Any) -> Any:
    if not isinstance(item, dict) or key not in item:
        raise _no_merge_key(item, key)
    return item[key]


def _no_merge_key(item: Any, key: str) -> StatusError:
    return StatusError(500, "", f"map: {item} does not contain declared merge key: {key}")


def _identity(item: Any) -> Any:
    return item


def _unique(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found
