"""Kubernetes' quantities (``250m``, ``64Mi``) as exact numbers, for resourceFieldRef."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_SUFFIXES: Final = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    **{letter: Fraction(1000**power) for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)},
}
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)\Z")


def parse(text: str) -> Fraction:
    """Raises ValueError."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 250m or 64Mi")
    number = Fraction(match[1])
    return number * Fraction(10) ** int(match[2]) if match[2] else number * _SUFFIXES[match[3] or ""]


def divide(quantity: str, divisor: str) -> int:
    """Whole multiples of `divisor` in `quantity`, rounded up, as the downward API does.

    Raises ValueError. A divisor that is absent ("", "0") is 1.
    """
    by = parse(divisor or "1") or Fraction(1)
    return -((-parse(quantity)) // by)
