"""The arithmetic of a condition.

Rules: integers are of 64 bits and wrap, as Go's do; JSON numbers are floats; ``/`` and ``**`` give
floats, ``%`` takes integers only. ValueError for operands that an operator does not take.
"""

from __future__ import annotations

import math
from typing import Any

from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.values import (
    INTEGERS,
    NUMBERS,
    Byte,
    Int64,
    UnfitError,
    joined,
    words_of,
    wrapped,
)


def arithmetic(operator: str, left: Any, right: Any, budget: Budget) -> Any:
    """``left operator right`` for ``+ - * / % **``."""
    one, other = type(left), type(right)
    if operator == "+" and one is str and other is str:
        budget.text(len(left) + len(right))
        return joined(left + right)
    wanted = INTEGERS if operator == "%" else NUMBERS
    if one not in wanted or other not in wanted:
        raise UnfitError(f"{operator} does not take {words_of(left)} and {words_of(right)}")
    match operator:
        case "/":
            return _divided(float(left), float(right))
        case "**":
            return _power(float(left), float(right))
        case "%":
            if right == 0:
                raise UnfitError("% by 0")
            return int(math.copysign(1, left)) * (abs(left) % abs(right))
    if float in (one, other):
        left, right = float(left), float(right)
    match operator:
        case "+":
            value = left + right
        case "-":
            value = left - right
        case _:
            value = left * right
    return value if type(value) is float else wrapped(value)


def negated(value: Any) -> Any:
    """``-value``, of the same type."""
    kind = type(value)
    if kind is float:
        return -value
    if kind is Byte:
        return Byte(-value % 256)
    if kind is int or kind is Int64:
        return kind(wrapped(-value))
    raise UnfitError(f"- takes a number, not {words_of(value)}")


def _divided(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _power(base: float, exponent: float) -> float:
    """Go's math.Pow, which squares and multiplies: libm's pow gives another last digit here and there."""
    if exponent == 0 or base == 1:
        return 1.0
    if math.isnan(base) or math.isnan(exponent):
        return math.nan
    odd = exponent.is_integer() and exponent % 2 == 1 and abs(exponent) < 2**53
    if base == 0 or math.isinf(base):
        grows = (exponent > 0) is (base != 0)
        return math.copysign(math.inf if grows else 0.0, base if odd else 1.0)
    if math.isinf(exponent):
        if base == -1:
            return 1.0
        return math.inf if (abs(base) > 1) is (exponent > 0) else 0.0
    if abs(exponent) == 0.5:
        root = math.sqrt(base) if base >= 0 else math.nan
        return root if exponent > 0 else 1 / root
    fraction, whole = math.modf(abs(exponent))
    if fraction and base < 0:
        return math.nan
    if whole >= 2.0**63:
        if base == -1:
            return 1.0
        return 0.0 if (abs(base) < 1) is (exponent > 0) else math.inf
    return _squared(base, int(whole), fraction, inverse=exponent < 0)


def _squared(base: float, whole: int, fraction: float, *, inverse: bool) -> float:
    product, power = 1.0, 0
    if fraction:
        if fraction > 0.5:
            fraction, whole = fraction - 1, whole + 1
        product = math.exp(fraction * math.log(base))
    square, shift = math.frexp(base)
    while whole:
        if abs(shift) > 1 << 12:  # beyond all doubles, or nothing
            power += shift
            break
        if whole & 1:
            product, power = product * square, power + shift
        square, shift, whole = square * square, shift << 1, whole >> 1
        if square < 0.5:
            square, shift = square + square, shift - 1
    if inverse:
        product, power = 1 / product, -power
    try:
        return math.ldexp(product, power)
    except OverflowError:
        return math.copysign(math.inf, product)
