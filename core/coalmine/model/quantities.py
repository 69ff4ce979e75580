"""Kubernetes' quantities (``250m``, ``64Mi``): as exact numbers, and in their canonical spelling.

The rules are those of apimachinery's pkg/api/resource.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, Final

_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_FACTORS: Final = {
    **{suffix: Fraction(10) ** power for power, suffix in _DECIMAL.items()},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(_BINARY)},
}
#: Exponents that somebody can mean: each power of ten costs memory.
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
#: Longer numbers mean nothing.
_LONGEST: Final = 32
_EXPONENT_LIMIT: Final = 18
_LARGEST: Final = max(_DECIMAL)


def _match(text: str) -> re.Match[str] | None:
    return _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None


def is_quantity(text: str) -> bool:
    """Whether it can be parsed."""
    return _match(text) is not None


def parse(text: str) -> Fraction:
    """Raises ValueError."""
    match = _match(text)
    if match is None:
        raise ValueError(f"{text[:_LONGEST]!r} is not a quantity such as 250m or 64Mi")
    number, exponent, suffix = match.groups()
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _FACTORS[suffix or ""])


def divide(quantity: str, divisor: str) -> int:
    """Whole multiples of `divisor` in `quantity`, rounded up, as the downward API does.

    Raises ValueError. A divisor that is absent ("", "0") is 1.
    """
    by = parse(divisor or "1") or Fraction(1)
    return -((-parse(quantity)) // by)


def canonical(value: Any, *, milli: bool = False) -> str:
    """``0.5Gi`` is ``512Mi``, ``1000m`` is ``1``: no fraction, the largest suffix of its own family.

    `milli`: rounded up to thousandths, as amounts of resources are. What is no quantity comes back as text.
    """
    text = str(value)
    match = _match(text)
    if match is None:
        return text
    amount = parse(text)
    exponent, suffix = match[2], match[3] or ""
    if exponent:
        return _spelled(amount, "e") if abs(int(exponent)) <= _EXPONENT_LIMIT else text
    if suffix.endswith("i"):
        # below 1024 a binary quantity is written as a decimal one
        return _binary(int(amount)) if abs(amount) >= 1024 and amount.denominator == 1 else _spelled(amount)
    return _spelled(Fraction(_away_from_zero(amount * 1000), 1000) if milli else amount)


def _binary(whole: int) -> str:
    power = 0
    while whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def _spelled(amount: Fraction, exponent: str = "") -> str:
    """A whole number, and the largest power of a thousand that leaves it whole; nothing finer than a nano is kept."""
    whole, power = _away_from_zero(amount * 10**9), -9
    if not whole:
        return "0"
    while whole % 1000 == 0 and power < _LARGEST:
        whole, power = whole // 1000, power + 3
    if not exponent:
        return f"{whole}{_DECIMAL[power]}"
    return f"{whole}{exponent}{power}" if power else str(whole)


def _away_from_zero(amount: Fraction) -> int:
    return math.ceil(amount) if amount > 0 else math.floor(amount)
