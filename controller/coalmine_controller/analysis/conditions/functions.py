"""The functions that a condition may call: Argo's six and, so far, `len` of expr-lang's own.

Rules: a function is pure and total over the types that it declares; a wrong value raises
ValueError with a sentence. `isNil` and `default` look at the whole result, whatever they are
given: so do Argo's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coalmine_controller.analysis.conditions.kinds import Kind, kind_of

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_FLOAT: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)|nan", re.IGNORECASE)
_HEX_FLOAT: Final = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Function:
    """What a function takes (one set of kinds a parameter), gives, and does.

    `call` is given the whole result first, then the arguments.
    """

    parameters: tuple[frozenset[Kind], ...]
    gives: Kind
    call: Callable[[Any, Sequence[Any]], Any]


def _as_int(_: Any, arguments: Sequence[Any]) -> int:
    text = arguments[0]
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"asInt: {text[:60]!r} is not a whole number")
    # 19 digits hold every 64-bit number; leading zeros are allowed as in Go
    sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > 19 or not -(2**63) <= int(sign + digits) < 2**63:
        raise ValueError(f"asInt: {text[:60]!r} does not fit into 64 bits")
    return int(sign + digits)


def _as_float(_: Any, arguments: Sequence[Any]) -> float:
    text = arguments[0]
    try:
        if _HEX_FLOAT.fullmatch(text):
            return float.fromhex(text)
        if not _FLOAT.fullmatch(text):
            raise ValueError(f"asFloat: {text[:60]!r} is not a number")
        value = float(text)
    except OverflowError:
        value = math.inf
    if math.isinf(value) and "i" not in text.lower():
        raise ValueError(f"asFloat: {text[:60]!r} does not fit into a double")
    return value


def _default(result: Any, arguments: Sequence[Any]) -> Any:
    return arguments[1] if result is None else result


_TEXT: Final = frozenset({Kind.STRING})
_NUMBER: Final = frozenset({Kind.INT, Kind.FLOAT})
_ANY: Final = frozenset(Kind)
_SIZED: Final = frozenset({Kind.STRING, Kind.LIST, Kind.MAP})

FUNCTIONS: Final[dict[str, Function]] = {
    "asInt": Function((_TEXT,), Kind.INT, _as_int),
    "asFloat": Function((_TEXT,), Kind.FLOAT, _as_float),
    "isNaN": Function((_NUMBER,), Kind.BOOL, lambda _, arguments: math.isnan(arguments[0])),
    "isInf": Function((_NUMBER,), Kind.BOOL, lambda _, arguments: math.isinf(arguments[0])),
    "isNil": Function((_ANY,), Kind.BOOL, lambda result, _: result is None),
    "default": Function((_ANY, _ANY), Kind.ANY, _default),
    "len": Function((_SIZED,), Kind.INT, lambda _, arguments: len(arguments[0])),
}


def call(name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Call a function that `check` has let pass. Raises ValueError for a value of the wrong kind."""
    function = FUNCTIONS[name]
    for allowed, argument in zip(function.parameters, arguments, strict=True):
        if kind_of(argument) not in allowed:
            raise ValueError(f"{name} does not take {kind_of(argument).words}")
    return function.call(result, arguments)
