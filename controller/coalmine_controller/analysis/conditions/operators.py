"""Which types an operator takes, and what it gives, before anything is evaluated.

Rules: expr-lang's checker. What is not known fits whatever would fit if it were known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coalmine_controller.analysis.conditions.kinds import (
    BOOL,
    FLOAT,
    INT,
    NIL,
    STRING,
    UNKNOWN,
    Kind,
    Type,
    assignable,
    comparable,
    element_of,
    list_of,
)
from coalmine_controller.analysis.conditions.signatures import require_key
from coalmine_controller.analysis.conditions.syntax import ConditionError

_Test = Callable[[Type], bool]


def _is_number(found: Type) -> bool:
    return found.number


def _is_integer(found: Type) -> bool:
    return found.integer


def _is_string(found: Type) -> bool:
    return found.kind is Kind.STRING


def _is_bool(found: Type) -> bool:
    return found.kind is Kind.BOOL


_TAKES: Final[dict[str, tuple[_Test, ...]]] = {
    **dict.fromkeys(("&&", "||"), (_is_bool,)),
    **dict.fromkeys(("<", ">", "<=", ">=", "+"), (_is_number, _is_string)),
    **dict.fromkeys(("-", "*", "/", "**"), (_is_number,)),
    **dict.fromkeys(("%", ".."), (_is_integer,)),
    **dict.fromkeys(("matches", "contains", "startsWith", "endsWith"), (_is_string,)),
}
_GIVES: Final = {"/": FLOAT, "**": FLOAT, "%": INT, "..": list_of(INT)}


def binary_type(operator: str, at: int, left: Type, right: Type) -> Type:
    """What `operator` gives of operands of these types. Raises ConditionError when it does not take them."""
    match operator:
        case "??":
            return _coalesced(left, right)
        case "==" | "!=":
            if not comparable(left, right):
                raise _mismatch(operator, at, left, right)
            return BOOL
        case "in":
            return _in(at, left, right)
    if not any(_fit(left, right, test) for test in _TAKES[operator]):
        raise _mismatch(operator, at, left, right)
    if operator in ("+", "-", "*"):
        return _combined(left, right)
    return _GIVES.get(operator, BOOL)


def _fit(left: Type, right: Type, test: _Test) -> bool:
    return (left.unknown or test(left)) and (right.unknown or test(right))


def _combined(left: Type, right: Type) -> Type:
    if left.unknown or right.unknown:
        return UNKNOWN
    if left.kind is Kind.STRING:
        return STRING
    return FLOAT if Kind.FLOAT in (left.kind, right.kind) else INT


def _coalesced(left: Type, right: Type) -> Type:
    if left.kind is Kind.NIL:
        return right
    return left if right == NIL or assignable(right, left) else UNKNOWN


def _in(at: int, item: Type, container: Type) -> Type:
    if container.kind is Kind.MAP:
        try:
            require_key(container, item)
        except ValueError as error:
            raise ConditionError(at, str(error)) from error
        return BOOL
    if container.kind is Kind.LIST:
        element = element_of(container)
        if comparable(item, element):
            return BOOL
        raise ConditionError(at, f"in does not take {item.words} and a list of {element.words}")
    if container.unknown or (item.unknown and container.kind is Kind.STRING):
        return BOOL
    raise _mismatch("in", at, item, container)


def _mismatch(operator: str, at: int, left: Type, right: Type) -> ConditionError:
    hint = ""
    if operator in ("%", "..") and {left.kind, right.kind} <= {Kind.INT, Kind.INT64, Kind.FLOAT, Kind.ANY}:
        hint = "; JSON numbers are not integers: write int(...)"
    return ConditionError(at, f"{operator} does not take {left.words} and {right.words}{hint}")
