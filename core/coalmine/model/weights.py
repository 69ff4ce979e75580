"""A share of the requests, with two decimals.

Rules: a weight is an integer number of hundredths of a percent, 0 (nothing) to 10000
(everything), so that sums are exact. It is read once, at the edge, and written back as
the shortest decimal (``20``, ``12.5``, ``0.01``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final

from coalmine.model.errors import SpecError, shown

#: "12.34 %" is 7 characters; the bound keeps the arithmetic exact and cheap (Decimal rounds at 28 digits,
#: and takes exponents of six).
_LONGEST: Final = 20


@dataclass(frozen=True, order=True, slots=True)
class Weight:
    """A share in hundredths of a percent."""

    hundredths: int

    ZERO: ClassVar[Weight]
    FULL: ClassVar[Weight]

    def __post_init__(self) -> None:
        if not 0 <= self.hundredths <= 10_000:
            raise ValueError(f"weight {self.hundredths} is outside 0..10000 hundredths of a percent")

    @classmethod
    def parse(cls, value: object, path: str) -> Weight:
        """Read a percentage from YAML or JSON.

        Raises SpecError naming `path` when the value is not a number between 0 and 100
        with at most two decimals.
        """
        advice = "write a percentage from 0 to 100 with at most two decimals, for example 20 or 0.5"
        if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
            raise SpecError(path, f"{shown(value)} is not a weight", advice)
        try:
            text = str(value).strip().removesuffix("%")
            percent = Decimal(text) if len(text) <= _LONGEST else None
        except (InvalidOperation, ValueError):
            percent = None
        if percent is None or not percent.is_finite() or not 0 <= percent <= 100 or percent * 100 % 1:
            raise SpecError(path, f"{shown(value)} is not a weight", advice)
        return cls(int(percent * 100))

    @property
    def fraction(self) -> float:
        """The share as a number between 0 and 1."""
        return self.hundredths / 10_000

    @property
    def percent(self) -> int | float:
        """The share as the shortest percentage: 20, 12.5."""
        whole, rest = divmod(self.hundredths, 100)
        return self.hundredths / 100 if rest else whole

    def of(self, replicas: int) -> int:
        """Pods that carry this share of `replicas`, rounded up (Argo's rule with traffic routing)."""
        return -(-replicas * self.hundredths // 10_000)

    def __str__(self) -> str:
        return f"{self.percent:g}" if self.hundredths % 100 == 0 else f"{self.hundredths / 100:.2f}".rstrip("0")


Weight.ZERO = Weight(0)
Weight.FULL = Weight(10_000)
