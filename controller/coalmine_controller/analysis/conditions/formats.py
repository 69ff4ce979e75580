"""Values as strings and back: string(), JSON and base64, to the letter as Go writes and reads them."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.values import (
    LISTS,
    AnyMap,
    decoded,
    encoded,
    is_nil,
    joined,
    type_name,
    valid,
)
from coalmine_controller.analysis.values import read_json

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_NO_CHARACTER: Final = re.compile("[\ud800-\udfff]")
#: What Go writes as an escape beside what JSON asks for, so that JSON may stand in HTML and JavaScript.
_ESCAPED: Final = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def string(value: Any, budget: Budget) -> str:
    """string(): Go's ``%v``; a string is itself, a list ``[1 2]``, a map ``map[a:1 b:2]``, nil ``<nil>``."""
    if isinstance(value, str):
        return value
    return joined(_together(_words(value), budget))


def _together(parts: Iterator[str], budget: Budget) -> str:
    made: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        budget.spend(1)
        if size > 0:
            made.append(part)
        if len(made) % 1024 == 0:
            budget.text(size)
    budget.text(size)
    return "".join(made)


def _words(value: Any) -> Iterator[str]:
    if value is None:
        yield "<nil>"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int):
        yield str(int(value))
    elif isinstance(value, float):
        yield _general(value)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, LISTS):
        yield "["
        for index, item in enumerate(value):
            if index:
                yield " "
            yield from _words(item)
        yield "]"
    else:
        yield "map["
        for index, (key, item) in enumerate(sorted(value.items(), key=_map_order)):
            if index:
                yield " "
            yield from _words(key)
            yield ":"
            yield from _words(item)
        yield "]"


#: Go sorts keys of different types by type in no order that it promises: nil, then as they come here.
_KEY_TYPES: Final = ("nil", "bool", "int", "uint", "float", "string", "array")


def _map_order(entry: tuple[Any, Any]) -> tuple[Any, ...]:
    key = entry[0]
    rank = _KEY_TYPES.index(type_name(key))
    if isinstance(key, float) and math.isnan(key):
        return (rank, -math.inf)
    if isinstance(key, str):
        return (rank, encoded(key))
    return (rank, key) if isinstance(key, int | float) else (rank, 0)


def _general(value: float) -> str:
    """Go's ``%g`` with as many digits as it takes: an exponent below 1e-4 and from 1e6 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    power = len(digits) - 1 + exponent
    if -4 <= power < 6:
        return format(Decimal(repr(value)).normalize(), "f")
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def to_json(value: Any, budget: Budget) -> str:
    """toJSON(): two spaces of indentation, keys sorted. ValueError for NaN, infinities and keys that are no strings."""
    return _together(_json(value, "\n"), budget)


def _json(value: Any, line: str) -> Iterator[str]:
    if is_nil(value):
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int):
        yield str(int(value))
    elif isinstance(value, float):
        yield _json_float(value)
    elif isinstance(value, str):
        yield _NO_CHARACTER.sub(r"\\ufffd", json.dumps(value, ensure_ascii=False)).translate(_ESCAPED)
    elif isinstance(value, LISTS):
        yield from _json_list(value, line)
    elif isinstance(value, AnyMap):
        raise ValueError("toJSON does not take a map whose keys may be of any type")
    else:
        yield from _json_map(value, line)


def _json_list(value: Any, line: str) -> Iterator[str]:
    if not value:
        yield "[]"
        return
    for index, item in enumerate(value):
        yield f"{',' if index else '['}{line}  "
        yield from _json(item, line + "  ")
    yield f"{line}]"


def _json_map(value: dict[str, Any], line: str) -> Iterator[str]:
    if not value:
        yield "{}"
        return
    for index, key in enumerate(sorted(value, key=encoded)):
        yield f"{',' if index else '{'}{line}  "
        yield from _json(key, line)
        yield ": "
        yield from _json(value[key], line + "  ")
    yield f"{line}}}"


def _json_float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"toJSON does not take {_general(value)}")
    if value != 0 and not 1e-6 <= abs(value) < 1e21:
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def from_json(_: Budget, text: str) -> Any:
    """fromJSON(): numbers are floats. ValueError for what is not JSON."""
    try:
        return read_json(valid(text))
    except ValueError as error:
        raise ValueError(f"fromJSON: this is not JSON: {str(error)[:80]}") from error


def to_base64(_: Budget, text: str) -> str:
    """toBase64()."""
    return base64.b64encode(encoded(text)).decode()


def from_base64(_: Budget, text: str) -> str:
    """fromBase64(): padded; line ends are skipped, as Go does."""
    written = text.replace("\r", "").replace("\n", "")
    if not _BASE64.fullmatch(written):
        raise ValueError("fromBase64: this is not base64")
    try:
        return decoded(base64.b64decode(written))
    except binascii.Error as error:  # pragma: no cover  the expression has seen to it
        raise ValueError("fromBase64: this is not base64") from error
