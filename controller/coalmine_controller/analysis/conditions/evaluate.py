"""The value of a checked tree on a result.

Rules: an evaluator on the tree, never Python's eval. Types that `check` could not know are
checked here: ``==`` across types is false, ordering and arithmetic across types is an error.
Integers are of 64 bits and wrap, as Go's do; JSON numbers are floats.
"""

from __future__ import annotations

import math
from typing import Any, Final

from coalmine_controller.analysis.conditions.functions import call
from coalmine_controller.analysis.conditions.kinds import Kind, kind_of
from coalmine_controller.analysis.conditions.syntax import (
    Binary,
    Call,
    Conditional,
    ConditionError,
    ListOf,
    Literal,
    Member,
    Name,
    Node,
    Unary,
)

#: Twice the longest answer of a provider: without a bound a short condition could build gigabytes.
MAX_STRING: Final = 2 * 1024 * 1024
_NUMBERS: Final = frozenset({Kind.INT, Kind.FLOAT})


def evaluate(node: Node, result: Any) -> Any:
    """The value of `node`. Raises ConditionError for what only the values show to be wrong."""
    # Long chains of operators lean to the left: they are walked in a loop, not by recursion.
    spine: list[Binary | Member] = []
    while isinstance(node, Binary | Member):
        spine.append(node)
        node = node.left if isinstance(node, Binary) else node.target
    value = _leaf(node, result)
    while spine:
        parent = spine.pop()
        value = _binary(parent, value, result) if isinstance(parent, Binary) else _member(parent, value, result)
    return value


def equal(left: Any, right: Any) -> bool:
    """Equality within a type, and between integers and floats; across other types false."""
    one, other = kind_of(left), kind_of(right)
    if one in _NUMBERS and other in _NUMBERS:
        return bool(left == right if one is other else float(left) == float(right))
    if one is not other:
        return False
    if one is Kind.LIST:
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if one is Kind.MAP:
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _leaf(node: Node, result: Any) -> Any:
    match node:
        case Literal(value=value):
            return value
        case Name():
            return result
        case ListOf(items=items):
            return [evaluate(item, result) for item in items]
        case Unary(at=at, operator="!", operand=operand):
            return not _bool(evaluate(operand, result), at, "!")
        case Unary(operator="+", operand=operand):
            return evaluate(operand, result)  # expr-lang emits nothing for it: only `check` looks at the type
        case Unary(at=at, operand=operand):
            value = evaluate(operand, result)
            if kind_of(value) not in _NUMBERS:
                raise ConditionError(at, f"- takes a number, not {kind_of(value).words}")
            return _number(-value)
        case Conditional(at=at, test=test, then=then, otherwise=otherwise):
            return evaluate(then if _bool(evaluate(test, result), at, "?") else otherwise, result)
        case Call(at=at, name=name, arguments=arguments):
            values = [evaluate(argument, result) for argument in arguments]
            try:
                return call(name, result, values)
            except ValueError as error:
                raise ConditionError(at, str(error)) from error
        case _:  # pragma: no cover  walked by evaluate
            raise AssertionError(node)


def _binary(node: Binary, left: Any, result: Any) -> Any:
    match node.operator:
        case "&&":
            return _bool(left, node.at, "&&") and _bool(evaluate(node.right, result), node.at, "&&")
        case "||":
            return _bool(left, node.at, "||") or _bool(evaluate(node.right, result), node.at, "||")
        case "??":
            return evaluate(node.right, result) if left is None else left
    right = evaluate(node.right, result)
    match node.operator:
        case "==":
            return equal(left, right)
        case "!=":
            return not equal(left, right)
        case "in":
            return _contains(node, left, right)
        case "contains" | "startsWith" | "endsWith":
            return _text(node, left, right)
        case "<" | ">" | "<=" | ">=":
            return _ordered(node, left, right)
        case _:
            return _arithmetic(node, left, right)


def _contains(node: Binary, needle: Any, haystack: Any) -> bool:
    if isinstance(haystack, list):
        return any(equal(needle, item) for item in haystack)
    if isinstance(haystack, dict) and (needle is None or isinstance(needle, str)):
        return needle in haystack
    raise _mismatch(node, needle, haystack)


def _text(node: Binary, left: Any, right: Any) -> bool:
    if not (isinstance(left, str) and isinstance(right, str)):
        raise _mismatch(node, left, right)
    if node.operator == "contains":
        return right in left
    return left.startswith(right) if node.operator == "startsWith" else left.endswith(right)


def _ordered(node: Binary, left: Any, right: Any) -> bool:
    kinds = {kind_of(left), kind_of(right)}
    if not (kinds <= _NUMBERS or kinds == {Kind.STRING}):
        raise _mismatch(node, left, right)
    if len(kinds) == 2:  # an integer meets a float: Go converts, and so loses digits above 2**53
        left, right = float(left), float(right)
    match node.operator:
        case "<":
            return bool(left < right)
        case ">":
            return bool(left > right)
        case "<=":
            return bool(left <= right)
        case _:
            return bool(left >= right)


def _arithmetic(node: Binary, left: Any, right: Any) -> Any:
    kinds = {kind_of(left), kind_of(right)}
    if node.operator == "+" and kinds == {Kind.STRING}:
        if len(left) + len(right) > MAX_STRING:
            raise ConditionError(node.at, f"the string grows beyond {MAX_STRING} characters")
        return left + right
    if not kinds <= _NUMBERS or (node.operator == "%" and kinds != {Kind.INT}):
        raise _mismatch(node, left, right)
    match node.operator:
        case "+":
            return _number(left + right)
        case "-":
            return _number(left - right)
        case "*":
            return _number(left * right)
        case "/":
            return _divided(float(left), float(right))
        case "**":
            return _power(float(left), float(right))
        case _:
            if right == 0:
                raise ConditionError(node.at, "% by 0")
            return _number(int(math.copysign(1, left)) * (abs(left) % abs(right)))


def _divided(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _power(left: float, right: float) -> float:
    odd = right.is_integer() and right % 2 == 1
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and odd else math.inf
    except ValueError:  # 0 to a negative power, or a root of a negative number
        if left != 0:
            return math.nan
        return math.copysign(math.inf, left) if odd else math.inf


def _member(node: Member, target: Any, result: Any) -> Any:
    key = evaluate(node.key, result)
    if isinstance(target, dict) and isinstance(key, str):
        return target.get(key)
    if isinstance(target, list) and kind_of(key) in _NUMBERS and math.isfinite(key):
        index = int(key)
        if not -len(target) <= index < len(target):
            raise ConditionError(node.at, f"there is no element {index} in a list of {len(target)}")
        return target[index]
    shown = repr(key)[:40] if isinstance(key, str) else kind_of(key).words
    raise ConditionError(node.at, f"{kind_of(target).words} has no member {shown}")


def _bool(value: Any, at: int, operator: str) -> bool:
    if not isinstance(value, bool):
        raise ConditionError(at, f"{operator} takes a bool, not {kind_of(value).words}")
    return value


def _number(value: int | float) -> int | float:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return (value + 2**63) % 2**64 - 2**63
    return value


def _mismatch(node: Binary, left: Any, right: Any) -> ConditionError:
    return ConditionError(node.at, f"{node.operator} does not take {kind_of(left).words} and {kind_of(right).words}")
