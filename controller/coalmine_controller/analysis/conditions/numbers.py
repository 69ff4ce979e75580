"""Numbers: read from strings as Go's strconv reads them, rounded, summed up, taken apart into bits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.values import (
    LISTS,
    NUMBERS,
    UnfitError,
    ordered,
    to_int,
    words_of,
    wrapped,
)

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DIGITS: Final = r"[0-9]+(?:_[0-9]+)*"
_HEX: Final = r"[0-9a-f]+(?:_[0-9a-f]+)*"
_FLOAT: Final = re.compile(
    rf"[+-]?(?:(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?|inf|infinity)|nan", re.IGNORECASE
)
_HEX_FLOAT: Final = re.compile(rf"[+-]?0x_?(?:{_HEX}(?:\.(?:{_HEX})?)?|\.{_HEX})p[+-]?{_DIGITS}", re.IGNORECASE)


def read_int(name: str, text: str) -> int:
    """The whole number that `text` writes. ValueError, naming the function, for anything else."""
    if not _INTEGER.fullmatch(text):
        raise UnfitError(f"{name}: {text[:60]!r} is not a whole number")
    # 19 digits hold every 64-bit number; leading zeros are allowed as in Go
    sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > 19 or not -(2**63) <= int(sign + digits) < 2**63:
        raise UnfitError(f"{name}: {text[:60]!r} does not fit into 64 bits")
    return int(sign + digits)


def read_float(name: str, text: str) -> float:
    """The number that `text` writes; ``1_000``, ``Inf`` and ``0x1p-2`` are some. ValueError for anything else."""
    try:
        if _HEX_FLOAT.fullmatch(text):
            value = float.fromhex(text.replace("_", ""))
        elif _FLOAT.fullmatch(text):
            value = float(text)
        else:
            raise UnfitError(f"{name}: {text[:60]!r} is not a number")
    except OverflowError:
        value = math.inf
    if math.isinf(value) and "i" not in text.lower():
        raise UnfitError(f"{name}: {text[:60]!r} does not fit into a double")
    return value


def integer(value: Any, budget: Budget) -> int:
    """int(): of a string or a number, which is cut off."""
    if isinstance(value, str):
        budget.text(len(value))
        return read_int("int", value)
    return to_int(value)


def real(value: Any, budget: Budget) -> float:
    """float(): of a string or a number."""
    if isinstance(value, str):
        budget.text(len(value))
        return read_float("float", value)
    if type(value) not in NUMBERS:
        raise UnfitError(f"float does not take {words_of(value)}")
    return float(value)


def absolute(value: Any) -> Any:
    """abs(), of the same type."""
    if type(value) is float:
        return -value if value < 0 else value
    return type(value)(wrapped(abs(value)))


def _whole(value: float, function: Callable[[float], int]) -> float:
    if not math.isfinite(value):
        return value
    return math.copysign(float(function(value)), value)  # -0.5 rounds to -0


def ceil(value: Any) -> float:
    """The whole number above, a float."""
    return _whole(float(value), math.ceil)


def floor(value: Any) -> float:
    """The whole number below, a float."""
    return _whole(float(value), math.floor)


def rounded(value: Any) -> float:
    """The nearest whole number, halves away from zero, a float."""
    return _whole(float(value), _half_away)


def _half_away(number: float) -> int:
    whole = int(number)
    if abs(number - whole) < 0.5:
        return whole
    return whole + (1 if number > 0 else -1)


def extreme(name: str, operator: str, given: Sequence[Any], budget: Budget) -> Any:
    """max and min: of numbers and of lists of them. Of one value that is neither, that value; of none nil."""
    found: Any = None
    for value in given:
        if isinstance(value, LISTS):
            budget.spend(len(value))
            for item in value:
                best = extreme(name, operator, (item,), budget)
                if type(best) not in NUMBERS:
                    raise UnfitError(f"{name} does not take {words_of(best)}")
                if found is None or ordered(operator, found, best):
                    found = best
        elif type(value) in NUMBERS:
            if found is None or ordered(operator, found, value):
                found = value
        elif len(given) == 1:
            return value
        else:
            raise UnfitError(f"{name} does not take {words_of(value)}")
    return found


def mean(given: Sequence[Any], budget: Budget) -> float:
    """The mean of numbers and lists of them; 0 of none."""
    count, total = _summed(given, budget)
    return total / count if count else 0.0


def _summed(given: Sequence[Any], budget: Budget) -> tuple[int, float]:
    count, total = 0, 0.0
    budget.spend(len(given))
    for value in given:
        inner = _summed(value, budget) if isinstance(value, LISTS) else (1, _number("mean", value))
        count, total = count + inner[0], total + inner[1]
    return count, total


def median(given: Sequence[Any], budget: Budget) -> float:
    """The median of numbers and lists of them; 0 of none. NaN sorts first."""
    values = sorted(_numbers(given, budget), key=lambda value: (not math.isnan(value), value))
    half = len(values) // 2
    if not values:
        return 0.0
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _numbers(given: Sequence[Any], budget: Budget) -> Iterator[float]:
    budget.spend(len(given))
    for value in given:
        if isinstance(value, LISTS):
            yield from _numbers(value, budget)
        else:
            yield _number("median", value)


def _number(name: str, value: Any) -> float:
    if type(value) not in NUMBERS:
        raise UnfitError(f"{name} does not take {words_of(value)}")
    return float(value)


def _shift(number: int, by: int) -> int:
    if by < 0:
        raise UnfitError(f"bits cannot be shifted by {by}")
    return min(by, 64)


BITS: Final[dict[str, Callable[..., int]]] = {
    "bitand": lambda one, other: one & other,
    "bitor": lambda one, other: one | other,
    "bitxor": lambda one, other: one ^ other,
    "bitnand": lambda one, other: one & ~other,  # and not, as in Go's &^
    "bitnot": lambda number: ~number,
    "bitshl": lambda number, by: wrapped((number << _shift(number, by)) % 2**64),
    "bitshr": lambda number, by: number >> _shift(number, by),
    "bitushr": lambda number, by: wrapped((number % 2**64) >> _shift(number, by)),
}
