"""Values of a known structure: the fields they have, how two differ, what becomes of them when they are merged.

Rules (structured-merge-diff's typed package): an object or a map is taken field by field, unless it is atomic; a list
is atomic, unless it has keys or is a set; where nothing is known, maps are taken apart and lists are not. What is not
taken apart is a leaf, and has one owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, cast

from coalmine_sandbox.api.merge import fields
from coalmine_sandbox.api.merge.fields import Fields, Path
from coalmine_sandbox.api.schema.node import Node, Shape

#: There is no such field, as opposed to null.
ABSENT: Final = object()
_UNKNOWN: Final = Node(Shape.ANY)


class TypedError(Exception):
    """A value that cannot be taken apart; the text begins with its path."""


class _Form(Enum):
    LEAF = 0
    MAP = 1
    LIST = 2


def _form(node: Node, value: Any) -> _Form:
    match node.shape:
        case Shape.OBJECT | Shape.MAP if not node.atomic and (value is None or isinstance(value, dict)):
            return _Form.MAP
        case Shape.LIST if node.list_type != "atomic" and (value is None or isinstance(value, list)):
            return _Form.LIST
        case Shape.ANY if not node.atomic and isinstance(value, dict):
            return _Form.MAP
    return _Form.LEAF


def _child(node: Node, name: str) -> Node:
    """A field's or a key's node."""
    return node.fields.get(name) or (node.items if node.shape is Shape.MAP else None) or _UNKNOWN


def _item(node: Node) -> Node:
    return node.items or _UNKNOWN


def _element(node: Node, item: Any, path: Path) -> str:
    """Which item of a list this is. Raises TypedError."""
    if not node.keys:
        if item is None or isinstance(item, dict | list):
            raise TypedError(f"{fields.printed(path)}: an item of a set must be a scalar")
        return fields.valued(item)
    if not isinstance(item, dict):
        raise TypedError(f"{fields.printed(path)}: associative list with keys may not have non-map elements")
    found = {}
    for key in node.keys:
        if key in item:
            found[key] = item[key]
        elif (default := _item(node).fields.get(key, _UNKNOWN).rules.get("default")) is not None:
            found[key] = default
    if not found:
        names = ", ".join(node.keys)
        raise TypedError(f"{fields.printed(path)}: associative list with keys has an element that omits all of {names}")
    return fields.keyed(found)


# --- the fields of a value --------------------------------------------------------------------------


def of(node: Node, value: Any) -> Fields:
    """The fields that a value has. Raises TypedError."""
    found: set[Path] = set()
    _collect(node, value, (), found)
    return frozenset(found)


def _collect(node: Node, value: Any, path: Path, found: set[Path]) -> None:
    match _form(node, value):
        case _Form.LEAF:
            found.add(path)
        case _Form.MAP:
            for name, item in (value or {}).items():
                below = (*path, fields.field(name))
                _collect(_child(node, name), item, below, found)
                if item is None or item == {} or name not in node.fields:
                    found.add(below)
        case _Form.LIST:
            for element, items in _indexed(node, value, path).items():
                below = (*path, element)
                found.add(below)
                if len(items) == 1:
                    _collect(_item(node), items[0], below, found)


def _indexed(node: Node, value: Any, path: Path) -> dict[str, list[Any]]:
    """The items by element; what is stored may hold two of a kind."""
    answer: dict[str, list[Any]] = {}
    for item in value or ():
        answer.setdefault(_element(node, item, path), []).append(item)
    return answer


def checked(node: Node, value: Any) -> None:
    """What is applied has only fields that the schema declares, and no item twice. Raises TypedError."""
    _check(node, value, ())


def _check(node: Node, value: Any, path: Path) -> None:
    match _form(node, value):
        case _Form.MAP:
            for name, item in (value or {}).items():
                below = (*path, fields.field(name))
                if node.shape is Shape.OBJECT and not node.open and name not in node.fields:
                    raise TypedError(f"{fields.printed(below)}: field not declared in schema")
                _check(_child(node, name), item, below)
        case _Form.LIST:
            for element, items in _indexed(node, value, path).items():
                if len(items) > 1:
                    key = fields.printed((element,))
                    raise TypedError(f"{fields.printed(path)}: duplicate entries for key {key}")
                _check(_item(node), items[0], (*path, element))


# --- differences ------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """What `new` did to `old`."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    def touched(self, reset: Iterable[Path] = ()) -> Fields:
        """Added and modified fields, without those that a write to this endpoint cannot change."""
        return fields.without(frozenset(self.added | self.modified), reset)

    def gone(self, reset: Iterable[Path] = ()) -> Fields:
        return fields.without(frozenset(self.removed), reset)


def compare(node: Node, old: Any, new: Any) -> Comparison:
    """How two objects of one structure differ. Raises TypedError."""
    found = Comparison()
    _compare(node, old, new, (), found)
    return found


def _compare(node: Node, old: Any, new: Any, path: Path, found: Comparison) -> None:
    was = _form(node, old) if old is not ABSENT else None
    now = _form(node, new) if new is not ABSENT else None
    form = now if now is not None else was
    if was is not None and now is not None and was is not now:
        _compare_below(node, was, old, ABSENT, path, found)
        _compare_below(node, now, ABSENT, new, path, found)
        form = _Form.LEAF
    if form is _Form.LEAF or (_empty(old) and _empty(new)):
        if old is ABSENT:
            found.added.add(path)
        elif new is ABSENT:
            found.removed.add(path)
        elif not same(old, new):
            found.modified.add(path)
        return
    assert form is not None
    _compare_below(node, form, old, new, path, found)
    if path and old is ABSENT:
        found.added.add(path)
    elif path and new is ABSENT:
        found.removed.add(path)


def _compare_below(node: Node, form: _Form, old: Any, new: Any, path: Path, found: Comparison) -> None:
    left, right = (None if value is ABSENT else value for value in (old, new))
    if form is _Form.MAP:
        left, right = left or {}, right or {}
        for name in left | right:
            below = (*path, fields.field(name))
            _compare(_child(node, name), left.get(name, ABSENT), right.get(name, ABSENT), below, found)
    elif form is _Form.LIST:
        before, after = _indexed(node, left, path), _indexed(node, right, path)
        for element in before | after:
            below = (*path, element)
            _compare_items(_item(node), before.get(element, []), after.get(element, []), below, found)


def _compare_items(node: Node, before: list[Any], after: list[Any], path: Path, found: Comparison) -> None:
    """Items of one element; several of them are taken as one leaf."""
    match len(before) > 1, len(after) > 1:
        case False, False:
            _compare(node, before[0] if before else ABSENT, after[0] if after else ABSENT, path, found)
        case True, True:
            if not same(before, after):
                found.modified.add(path)
        case True, False:
            if after:
                _compare(node, ABSENT, after[0], path, found)
            found.removed.add(path)
        case False, True:
            if before:
                _compare(node, before[0], ABSENT, path, found)
            found.added.add(path)


def _empty(value: Any) -> bool:
    return value is ABSENT or value is None or value in ({}, [])


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: Python's True is 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


# --- merging and removing ---------------------------------------------------------------------------


def merge(node: Node, live: Any, applied: Any) -> Any:
    """`live` with what is applied on top. Raises TypedError. Parts are shared with both."""
    found = _merge(node, live, applied, ())
    return {} if found is ABSENT else found


def _merge(node: Node, live: Any, applied: Any, path: Path) -> Any:
    chosen = live if applied is ABSENT else applied
    form = _form(node, chosen)
    if form is _Form.LEAF:
        return chosen
    # what has another form, as a text in place of a map, counts as nothing
    wanted = dict if form is _Form.MAP else list
    left, right = (cast("Any", value if value and isinstance(value, wanted) else wanted()) for value in (live, applied))
    if not left and not right:
        return chosen  # nothing, null and empty are not the same
    if form is _Form.MAP:
        answer = {}
        for name in left | right:
            below = (*path, fields.field(name))
            value = _merge(_child(node, name), left.get(name, ABSENT), right.get(name, ABSENT), below)
            if value is not ABSENT:
                answer[name] = value
        return answer or ABSENT
    return _merge_lists(node, left, right, path) or ABSENT


def _merge_lists(node: Node, live: list[Any], applied: list[Any], path: Path) -> list[Any]:
    """Applied items in their order; live ones that are not applied stay behind the neighbour they had."""
    lefts = [_element(node, item, path) for item in live]
    rights = [_element(node, item, path) for item in applied]
    count = Counter(lefts)
    of_live = {key: item for key, item in zip(lefts, live, strict=True) if count[key] == 1}
    of_applied = dict(zip(rights, applied, strict=True))
    shared = [key for key in rights if key in count]
    answer: list[Any] = []
    done: set[str] = set()

    def take(key: str) -> None:
        done.add(key)
        below = (*path, key)
        answer.append(_merge(_item(node), of_live.get(key, ABSENT), of_applied[key], below))
        if shared and shared[0] == key:
            shared.pop(0)

    at = to = 0
    while at < len(live) or to < len(applied):
        if at < len(live):
            key = lefts[at]
            if key not in of_applied:
                answer.append(live[at])
                at += 1
                continue
            if to < len(applied):
                if key == rights[to]:
                    take(key)
                    at, to = at + 1, to + 1
                    continue
                if shared and shared[0] != key:
                    at += 1  # wanted later, or had already
                    continue
            if key in done:
                at += 1
        if to < len(applied):
            take(rights[to])
            to += 1
    return [item for item in answer if item is not ABSENT]


def remove(node: Node, value: Any, gone: Fields) -> Any:
    """`value` without those fields.

    What is emptied by it stays, empty: an object that nobody wants is among `gone` itself (`named`).
    """
    if not gone:
        return value
    found = _remove(node, value, fields.encode(gone))
    return {} if found is ABSENT else found


def _remove(node: Node, value: Any, tree: Mapping[str, Any]) -> Any:
    """`tree` is fieldsV1."""
    form = _form(node, value)
    if form is _Form.LEAF:
        return ABSENT
    if not value:
        return value
    if form is _Form.MAP:
        answer = {}
        for name, item in value.items():
            kept = _kept(_child(node, name), item, tree.get(fields.field(name)))
            if kept is not ABSENT:
                answer[name] = kept
        return answer
    items = [_kept(_item(node), item, tree.get(_element(node, item, ()))) for item in value]
    return [item for item in items if item is not ABSENT]


def _kept(node: Node, value: Any, tree: Mapping[str, Any] | None) -> Any:
    if tree is None:
        return value
    return ABSENT if not tree or "." in tree else _remove(node, value, tree)


def named(node: Node, found: Fields) -> Fields:
    """With the named fields on the way to each member: an object is there because something in it is."""
    answer = set(found)
    for path in found:
        at = node
        for end, element in enumerate(path[:-1], start=1):
            name = element[2:]
            if element.startswith("f:"):
                if name in at.fields:
                    answer.add(path[:end])
                at = _child(at, name)
            else:
                at = _item(at)
    return frozenset(answer)
