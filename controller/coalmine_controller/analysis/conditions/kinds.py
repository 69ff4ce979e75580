"""The types of values in a condition, as far as expr-lang tells them apart before evaluation."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple


class Kind(Enum):
    """ANY is what stands inside a map or a list: known only when it is evaluated."""

    ANY = "any value"
    NIL = "nil"
    BOOL = "a bool"
    INT = "an integer"
    FLOAT = "a number"
    STRING = "a string"
    LIST = "a list"
    MAP = "a map"

    @property
    def words(self) -> str:
        """For sentences: "a string"."""
        return self.value


class Type(NamedTuple):
    """What is known of a value before evaluation: its kind and, of a list, that of its elements.

    `element` is None where elements may be anything: in JSON, and in ``[1, 'a']``.
    """

    kind: Kind
    element: Type | None = None

    @property
    def words(self) -> str:
        return self.kind.words


ANYTHING: Final = Type(Kind.ANY)


def kind_of(value: Any) -> Kind:
    """The kind of a value. TypeError for what no provider may hand over."""
    if value is None:
        return Kind.NIL
    # bool first: it is an int to Python
    for python, kind in (
        (bool, Kind.BOOL),
        (int, Kind.INT),
        (float, Kind.FLOAT),
        (str, Kind.STRING),
        (list, Kind.LIST),
        (dict, Kind.MAP),
    ):
        if isinstance(value, python):
            return kind
    raise TypeError(f"a result cannot be a {type(value).__name__}")
