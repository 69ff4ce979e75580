"""Quantities of resources in their canonical spelling (apimachinery's pkg/api/resource)."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import Any, Final

from coalmine_sandbox.api.schema.formats import QUANTITY, QUANTITY_LIMIT

_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_EXPONENT_LIMIT: Final = 18
#: Nothing finer is kept.
_NANO: Final = Decimal("1e-9")


def canonical(value: Any, *, milli: bool = False) -> str:
    """``0.5Gi`` is ``512Mi``, ``1000m`` is ``1``: no fraction, the largest suffix of its own family.

    `milli`: rounded up to thousandths, as amounts of resources are. What is no quantity comes back as text.
    """
    text = str(value)
    if len(text) > QUANTITY_LIMIT or not QUANTITY.fullmatch(text):
        return text
    number, suffix = _parted(text)
    if milli:
        number = _to_milli(number, suffix)
    if suffix.endswith("i"):
        amount = number * 1024 ** _BINARY.index(suffix)
        # Below 1024 a binary quantity is written as a decimal one.
        return _binary(amount) if abs(amount) >= 1024 and amount == int(amount) else _decimal(amount)
    if suffix[:1] in {"e", "E"} and len(suffix) > 1:
        power = int(suffix[1:])
        return _exponent(number.scaleb(power)) if abs(power) <= _EXPONENT_LIMIT else text
    return _decimal(number.scaleb(_DECIMAL[suffix]))


def _to_milli(number: Decimal, suffix: str) -> Decimal:
    power = _DECIMAL.get(suffix)
    if power is None:
        return number
    return (number.scaleb(power + 3)).to_integral_value(ROUND_UP).scaleb(-3 - power)


def _parted(text: str) -> tuple[Decimal, str]:
    end = next((at for at, sign in enumerate(text) if sign.isalpha()), len(text))
    return Decimal(text[:end]), text[end:]


def _binary(amount: Decimal) -> str:
    whole, power = int(amount), 0
    while whole % 1024 == 0 and power < len(_BINARY) - 1 and whole:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def _decimal(amount: Decimal) -> str:
    mantissa, exponent = _thousands(amount)
    suffix = next(name for name, power in _DECIMAL.items() if power == exponent)
    return f"{mantissa}{suffix}"


def _exponent(amount: Decimal) -> str:
    mantissa, exponent = _thousands(amount)
    return f"{mantissa}e{exponent}" if exponent else str(mantissa)


def _thousands(amount: Decimal) -> tuple[int, int]:
    """A whole number and the largest power of a thousand that leaves it whole."""
    nano = int((abs(amount) / _NANO).to_integral_value(ROUND_UP))
    exponent = -9
    if not nano:
        return 0, 0
    while nano % 1000 == 0 and exponent < 18:
        nano, exponent = nano // 1000, exponent + 3
    return (-nano if amount < 0 else nano), exponent
