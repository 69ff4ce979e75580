"""The values of a condition while it is evaluated, where Python's own are not like Go's.

Rules: nil, bools, floats, strings, lists and maps of JSON are Python's. Integers are int (of 64
bits, see `wrapped`), except what asInt and an index into a string give: other integer types to Go,
which shows when maps are compared. Lists of other types than ``[]any`` are subclasses; a range
(``[]int``) is Python's own, so that a million elements cost nothing. A Go slice may be nil and a list.
Strings are bytes to Go: a byte that a slice has cut off a character is kept as Python's
surrogateescape has it, and joined again by `joined`.
"""

from __future__ import annotations

import math
import operator as operators
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from coalmine_controller.analysis.conditions.budget import CHARACTERS, Budget


class UnfitError(ValueError):
    """A value that an operator or a function does not take."""


class Int64(int):
    """What asInt gives."""


class Byte(int):
    """What an index into a string gives: uint8."""


class Strings(list[Any]):
    """``[]string``: what split gives."""


class Pair(list[Any]):
    """``[2]any``: an element of what toPairs gives. Cannot be sliced."""


class Pairs(list[Any]):
    """``[][2]any``: what toPairs gives."""


class NilList(list[Any]):
    """A nil ``[]any``: empty, and equal to nil."""


class NilStrings(Strings):
    """A nil ``[]string``."""


class AnyMap:
    """A map whose keys may be of any type: of fromPairs, and with `groups` of groupBy.

    Keys are Go's: 1, 1.0 and true are three, every NaN is another one.
    """

    def __init__(self, *, groups: bool = False) -> None:
        self.groups = groups
        self._entries: dict[Any, tuple[Any, Any]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __setitem__(self, key: Any, value: Any) -> None:
        """ValueError when a list or a map is the key."""
        self._entries[_identity(key)] = (key, value)

    def get(self, key: Any, missing: Any) -> Any:
        """ValueError when a list or a map is the key."""
        return self._entries.get(_identity(key), (None, missing))[1]

    def items(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._entries.values())


def _identity(key: Any) -> Any:
    if isinstance(key, Pair):
        return (Pair, tuple(_identity(item) for item in key))
    if isinstance(key, list | range | dict | AnyMap):
        raise UnfitError(f"{words_of(key)} cannot be a key")
    if isinstance(key, float) and math.isnan(key):
        return object()
    return (type(key), key)


INTEGERS: Final = frozenset({int, Int64, Byte})
NUMBERS: Final = INTEGERS | {float}
LISTS: Final = (list, range)
_TYPES: Final = {bool: "bool", int: "int", Int64: "int", Byte: "uint", float: "float", str: "string"}
_WORDS: Final = {"int": "an integer", "uint": "an integer", "float": "a number", "array": "a list"}
_ORDERINGS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operators.lt,
    ">": operators.gt,
    "<=": operators.le,
    ">=": operators.ge,
}
_CUT_OFF: Final = re.compile("[\udc80-\udcff]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_NO_BYTES: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def type_name(value: Any) -> str:
    """What expr-lang's type() says."""
    if value is None:
        return "nil"
    if isinstance(value, LISTS):
        return "array"
    return _TYPES.get(type(value), "map")


def words_of(value: Any) -> str:
    """For sentences: "a string"."""
    name = type_name(value)
    return name if name == "nil" else _WORDS.get(name, f"a {name}")


def is_nil(value: Any) -> bool:
    """nil, and what Go calls a nil slice."""
    return value is None or isinstance(value, NilList | NilStrings)


def wrapped(value: int) -> int:
    """An integer of 64 bits, as Go's wrap."""
    return value if -(2**63) <= value < 2**63 else (value + 2**63) % 2**64 - 2**63


def to_int(value: Any) -> int:
    """A number as an index: floats are cut off. ValueError for anything else."""
    if type(value) is float:
        # What an amd64 processor makes of a number that does not fit.
        return int(value) if math.isfinite(value) and -(2.0**63) <= value < 2.0**63 else -(2**63)
    if type(value) in INTEGERS:
        return int(value)
    raise UnfitError(f"expected a number, found {words_of(value)}")


def encoded(text: str) -> bytes:
    """The bytes that Go has for `text`."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _NO_BYTES.sub("\ufffd", text).encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    """The string of these bytes."""
    return data.decode("utf-8", "surrogateescape")


def valid(text: str) -> str:
    """`text` as Go reads it rune by rune: what is no character is U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def joined(text: str) -> str:
    """`text`, put together of parts: bytes that make a character again are one."""
    return text if text.isascii() or not _CUT_OFF.search(text) else decoded(encoded(text))


def like_bytes(one: str, other: str) -> tuple[str, str] | tuple[bytes, bytes]:
    """Both as they are, or as bytes where only bytes show what is a part of what."""
    if not (one.isascii() and other.isascii()) and (_CUT_OFF.search(one) or _CUT_OFF.search(other)):
        return encoded(one), encoded(other)
    return one, other


def equal(left: Any, right: Any, budget: Budget) -> bool:
    """expr-lang's ==: numbers of all types are one, lists element by element; the rest as Go's DeepEqual."""
    one, other = type(left), type(right)
    if one in NUMBERS and other in NUMBERS:
        return bool(left == right if float not in (one, other) else float(left) == float(right))
    if isinstance(left, LISTS) and isinstance(right, LISTS) and _elementwise(left, right):
        budget.spend(2 * min(len(left), len(right)))
        return len(left) == len(right) and all(equal(a, b, budget) for a, b in zip(left, right, strict=True))
    if one is other is str:
        budget.spend(min(len(left), len(right)) // CHARACTERS)
        return bool(left == right)
    if is_nil(left) and is_nil(right):
        return True
    return _deeply_equal(left, right, budget)


def _elementwise(left: Any, right: Any) -> bool:
    """Lists of any with lists of any, of strings or of integers; the latter two with their like."""
    kinds = {_list_type(left), _list_type(right)}
    return Pair not in kinds and Pairs not in kinds and (list in kinds or len(kinds) == 1)


def _list_type(value: Any) -> type:
    for known in (Strings, Pair, Pairs, range):
        if isinstance(value, known):
            return known
    return list


def _deeply_equal(left: Any, right: Any, budget: Budget) -> bool:
    budget.spend(2)
    if isinstance(left, LISTS) and isinstance(right, LISTS):
        if _list_type(left) is not _list_type(right) or is_nil(left) is not is_nil(right) or len(left) != len(right):
            return False
        return left is right or all(_deeply_equal(a, b, budget) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        if left is right:
            return True
        return left.keys() == right.keys() and all(_deeply_equal(left[key], right[key], budget) for key in left)
    if isinstance(left, AnyMap) and isinstance(right, AnyMap):
        if left is right:
            return True
        if left.groups is not right.groups or len(left) != len(right):
            return False
        nothing = object()
        return all(_deeply_equal(value, right.get(key, nothing), budget) for key, value in left.items())
    if type(left) is not type(right):
        return False
    if isinstance(left, str):
        budget.spend(min(len(left), len(right)) // CHARACTERS)
    return bool(left == right)


def ordered(operator: str, left: Any, right: Any) -> bool:
    """expr-lang's <, >, <=, >=: numbers with numbers, strings with strings. ValueError for others."""
    one, other = type(left), type(right)
    if one in NUMBERS and other in NUMBERS:
        if float in (one, other):  # an integer meets a float: Go converts, and so loses digits above 2**53
            left, right = float(left), float(right)
    elif one is str and other is str:
        left, right = like_bytes(left, right)
    else:
        raise UnfitError(f"{operator} does not take {words_of(left)} and {words_of(right)}")
    return bool(_ORDERINGS[operator](left, right))
