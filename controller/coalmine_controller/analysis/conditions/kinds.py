"""What is known of a value's type before evaluation, as far as expr-lang tells types apart.

Rules: types are Go's, for what fits where is Go's rule, and what surprises comes from it. Two
types may both be unknown and still differ: what stands inside JSON is an `ANYTHING` (Go's
``any``, which every value fits), of `UNKNOWN` nothing is known at all, and nothing fits.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple


class Kind(Enum):
    """ANY is known only when it is evaluated. INT64 is what asInt gives: an integer of another type."""

    ANY = "any value"
    NIL = "nil"
    BOOL = "a bool"
    INT = "an integer"
    INT64 = "an integer (of asInt)"
    FLOAT = "a number"
    STRING = "a string"
    LIST = "a list"
    MAP = "a map"

    @property
    def words(self) -> str:
        """For sentences: "a string"."""
        return self.value


class Type(NamedTuple):
    """A type: its kind, its name in Go, and of a list what is known of the elements.

    Two types are one when their Go names are; `element` is looked at only when an element is.
    """

    kind: Kind
    go: str
    element: Type | None = None

    @property
    def words(self) -> str:
        return self.kind.words

    @property
    def unknown(self) -> bool:
        return self.kind is Kind.ANY

    @property
    def integer(self) -> bool:
        return self.kind in _INTEGERS

    @property
    def number(self) -> bool:
        return self.kind in _NUMBERS


_INTEGERS: Final = frozenset({Kind.INT, Kind.INT64})
_NUMBERS: Final = _INTEGERS | {Kind.FLOAT}

UNKNOWN: Final = Type(Kind.ANY, "")
ANYTHING: Final = Type(Kind.ANY, "any")
NIL: Final = Type(Kind.NIL, "")
BOOL: Final = Type(Kind.BOOL, "bool")
INT: Final = Type(Kind.INT, "int")
INT64: Final = Type(Kind.INT64, "int64")
FLOAT: Final = Type(Kind.FLOAT, "float64")
STRING: Final = Type(Kind.STRING, "string")
LIST: Final = Type(Kind.LIST, "[]any")
STRINGS: Final = Type(Kind.LIST, "[]string", STRING)
MAP: Final = Type(Kind.MAP, "map[string]any")
#: Of fromPairs: keys of any type.
ANY_MAP: Final = Type(Kind.MAP, "map[any]any")
#: Of groupBy.
GROUPS: Final = Type(Kind.MAP, "map[any][]any")

#: In Go's names for what JSON is read into. bool first: it is an int to Python.
_OF_JSON: Final[tuple[tuple[type, Type], ...]] = (
    (bool, BOOL),
    (int, INT),
    (float, FLOAT),
    (str, STRING),
    (list, LIST),
    (dict, MAP),
)


def list_of(element: Type) -> Type:
    """A list of which all elements are known to be `element`."""
    return Type(Kind.LIST, LIST.go, element)


def element_of(container: Type) -> Type:
    """The type of what an index gives."""
    if container == GROUPS:
        return LIST
    return container.element or ANYTHING


def assignable(value: Type, to: Type) -> bool:
    """Go's rule: the same type, or anything to ``any``."""
    if value.kind is Kind.NIL:
        return to.go == ANYTHING.go
    return bool(value.go and to.go) and to.go in (ANYTHING.go, value.go)


def comparable(left: Type, right: Type) -> bool:
    """Whether ``==`` makes sense: numbers with numbers, nil and what is not known with anything."""
    if left.unknown or right.unknown or Kind.NIL in (left.kind, right.kind):
        return True
    if (left.number and right.number) or left.kind is right.kind is Kind.LIST:
        return True
    return assignable(left, right)


def type_of(result: Any) -> Type:
    """The type of the whole result. TypeError for what no provider may hand over."""
    if result is None:
        return NIL
    for python, known in _OF_JSON:
        if isinstance(result, python):
            return known
    raise TypeError(f"a result cannot be a {type(result).__name__}")
