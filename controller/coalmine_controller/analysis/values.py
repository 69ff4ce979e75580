"""JSON as Go reads and writes it: every number a float, no NaN, compact and sorted text.

Rules: what Go's encoding/json refuses is refused here too (Python's accepts NaN, Infinity and
numbers beyond a double), for it decides whether a body is JSON or a plain string.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any, Final

#: Nesting that is read: metrics are flat, and recursion over a value stays far from Python's own limit.
MAX_NESTING: Final = 100


class TooDeepError(ValueError):
    """The JSON nests deeper than MAX_NESTING."""


def read_json(text: str) -> Any:
    """The value of the JSON `text`, numbers as floats.

    Raises ValueError when it is not JSON, TooDeepError when it nests too deeply.
    """
    try:
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refuse)
    except RecursionError:
        raise TooDeepError(f"nested more than {MAX_NESTING} levels deep") from None
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    raise TooDeepError(f"nested more than {MAX_NESTING} levels deep")


def write_json(value: Any) -> str:
    """Compact JSON with sorted keys, floats as Go writes them (``100.0`` is ``100``).

    NaN and infinities, which only computed values hold, are written ``NaN``, ``+Inf``, ``-Inf``.
    """
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, list):
        return f"[{','.join(write_json(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}:{write_json(value[key])}" for key in sorted(value))
        return f"{{{','.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)


def _children(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is beyond a double")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value != 0 and not 1e-6 <= abs(value) < 1e21:
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return format(Decimal(repr(value)), "f").removesuffix(".0")
