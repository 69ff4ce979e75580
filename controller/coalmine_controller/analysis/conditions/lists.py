"""What is done to lists, maps and strings by place: members, slices, ``in``, sorting.

Rules: as expr-lang does to Go's values. Here values are what they are, whatever `check` knew: an
index may be a float (it is cut off), a string that is indexed gives a byte. ValueError for the rest.
"""

from __future__ import annotations

import functools
from typing import Any

from coalmine_controller.analysis.conditions.budget import CHARACTERS, Budget
from coalmine_controller.analysis.conditions.values import (
    LISTS,
    AnyMap,
    Byte,
    NilList,
    NilStrings,
    Pair,
    Strings,
    UnfitError,
    decoded,
    encoded,
    equal,
    ordered,
    to_int,
    words_of,
)


def fetch(target: Any, key: Any, budget: Budget) -> Any:
    """``target[key]`` and ``target.key``: nil for a key that a map has not, an error past the end of a list."""
    if isinstance(target, (*LISTS, str)):
        items = _bytes(target, budget) if isinstance(target, str) else target
        index = to_int(key)
        if not -len(items) <= index < len(items):
            raise UnfitError(f"there is no element {index} in {words_of(target)} of {len(items)}")
        return Byte(items[index]) if isinstance(items, bytes) else items[index]
    if isinstance(target, AnyMap) and target.groups:
        return target.get(key, NilList())
    if isinstance(target, dict | AnyMap):
        return member(target, key)
    shown = repr(key)[:40] if isinstance(key, str) else words_of(key)
    raise UnfitError(f"{words_of(target)} has no member {shown}")


def _bytes(text: str, budget: Budget) -> bytes:
    budget.text(len(text))
    return encoded(text)


def member(target: dict[str, Any] | AnyMap, key: Any, *, missing: Any = None) -> Any:
    """What the map `target` has under `key`. ValueError for a key that is none."""
    if isinstance(target, AnyMap):
        return target.get(key, missing)
    return target.get(_key(key), missing)


def _key(key: Any) -> str:
    if key is None:  # the zero of Go's string
        return ""
    if not isinstance(key, str):
        raise UnfitError(f"this map has strings as keys, not {words_of(key)}")
    return key


def contains(container: Any, item: Any, budget: Budget) -> bool:
    """``item in container``."""
    if container is None:
        return False
    if isinstance(container, range) and type(item) is int:
        return item in container
    if isinstance(container, LISTS):
        return _holds(container, item, budget)
    if isinstance(container, dict | AnyMap):
        nothing = object()
        return member(container, item, missing=nothing) is not nothing
    raise UnfitError(f"in does not take {words_of(item)} and {words_of(container)}")


def _holds(container: Any, item: Any, budget: Budget) -> bool:
    for element in container:
        budget.spend(1)
        if equal(element, item, budget):
            return True
    return False


def sliced(target: Any, start: int, end: int | None, budget: Budget) -> Any:
    """``target[start:end]``: of a string the bytes. Ends beyond the target are its ends."""
    if not isinstance(target, (*LISTS, str)) or isinstance(target, Pair):
        raise UnfitError(f"{words_of(target)} cannot be sliced")
    items = _bytes(target, budget) if isinstance(target, str) else target
    length = len(items)
    upper = length if end is None else min(length, max(0, end + length if end < 0 else end))
    lower = min(upper, max(0, start + length if start < 0 else start))
    budget.spend((upper - lower) // 8)  # copied at once, but kept
    part = items[lower:upper]
    if isinstance(part, bytes):
        return decoded(part)
    if isinstance(target, range) or type(target) is list:
        return part
    return type(target)(part)


def take(target: Any, number: Any, budget: Budget) -> Any:
    """take: the first `number` elements."""
    if not isinstance(target, LISTS) or isinstance(target, Pair):
        raise UnfitError(f"take does not take {words_of(target)}")
    if type(number) is float or type(number) is Byte:
        raise UnfitError(f"take counts in integers, not {words_of(number)}")
    count = to_int(number)
    if count < 0:
        raise UnfitError(f"take cannot take {count} elements")
    return sliced(target, 0, min(count, len(target)), budget)


def sorted_by(keyed: list[tuple[Any, Any]], descending: bool, budget: Budget) -> list[tuple[Any, Any]]:
    """Pairs of key and item, by their keys; equal keys stay in their order."""
    work = len(keyed) + sum(len(key) for key, _ in keyed if isinstance(key, str)) // CHARACTERS
    budget.spend(work * max(1, len(keyed).bit_length()))

    def compare(one: tuple[Any, Any], other: tuple[Any, Any]) -> int:
        if descending:
            one, other = other, one
        return -1 if ordered("<", one[0], other[0]) else int(ordered("<", other[0], one[0]))

    return sorted(keyed, key=functools.cmp_to_key(compare))


def sort(target: Any, order: Any, budget: Budget) -> list[Any]:
    """sort: of a list of any, of strings or of integers; of anything else Go's nil."""
    if order not in ("asc", "desc"):
        raise UnfitError('the order of sort is "asc" or "desc"')
    if isinstance(target, range) or type(target) in (list, NilList, Strings, NilStrings):
        budget.keep(len(target))
        return [item for _, item in sorted_by([(item, item) for item in target], order == "desc", budget)]
    return NilList()
