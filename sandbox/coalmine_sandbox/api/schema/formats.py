"""The rules of a JSON schema about one value: bounds, lengths, patterns, formats. Pure."""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from coalmine.model.quantities import is_quantity

#: Patterns come with CRDs of the sandbox's own user, and Python's backtrack: longer texts are not matched.
TEXT_LIMIT: Final = 10_000


class Problem(NamedTuple):
    """What is wrong with a value."""

    reason: str
    #: After "<path> in body", or the whole sentence where the reason is not FieldValueInvalid.
    text: str
    value: Any


def problems(rules: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    """Every rule that the value breaks; its type is right already."""
    if isinstance(value, str):
        yield from _of_text(rules, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _of_number(rules, value)
    elif isinstance(value, list | dict):
        yield from _of_size(rules, value)


def _of_text(rules: Mapping[str, Any], value: str) -> Iterator[Problem]:
    length = len(value)
    if (most := rules.get("maxLength")) is not None and length > most:
        yield Problem("FieldValueTooLong", f"Too long: may not be more than {most} bytes", value)
    if (least := rules.get("minLength")) is not None and length < least:
        yield _invalid(f"should be at least {least} chars long", value)
    if (pattern := rules.get("pattern")) is not None:
        if length > TEXT_LIMIT:
            yield _invalid(f"is longer than the {TEXT_LIMIT} characters that are matched with a pattern", "")
        elif not _compiled(pattern).search(value):
            yield _invalid(f"should match '{pattern}'", value)
    name = rules.get("format")
    checks = FORMATS.get(name) if name else None
    if checks is not None and not checks(value):
        yield _invalid(f"must be of type {name}: {json.dumps(value, ensure_ascii=False)}", value)


def _of_number(rules: Mapping[str, Any], value: float) -> Iterator[Problem]:
    if (most := rules.get("maximum")) is not None:
        if rules.get("exclusiveMaximum"):
            if value >= most:
                yield _invalid(f"should be less than {most}", value)
        elif value > most:
            yield _invalid(f"should be less than or equal to {most}", value)
    if (least := rules.get("minimum")) is not None:
        if rules.get("exclusiveMinimum"):
            if value <= least:
                yield _invalid(f"should be greater than {least}", value)
        elif value < least:
            yield _invalid(f"should be greater than or equal to {least}", value)
    if (factor := rules.get("multipleOf")) and value % factor:
        yield _invalid(f"should be a multiple of {factor}", value)
    bits = {"int32": 31, "int64": 63}.get(rules.get("format", ""))
    if bits and not -(1 << bits) <= value < 1 << bits:
        yield _invalid(f"must be of type {rules['format']}", value)


def _of_size(rules: Mapping[str, Any], value: list[Any] | dict[str, Any]) -> Iterator[Problem]:
    items = "Items" if isinstance(value, list) else "Properties"
    words = "items" if isinstance(value, list) else "properties"
    size = len(value)
    if (most := rules.get(f"max{items}")) is not None and size > most:
        yield Problem("FieldValueTooMany", f"Too many: {size}: must have at most {most} items", size)
    if (least := rules.get(f"min{items}")) is not None and size < least:
        yield _invalid(f"should have at least {least} {words}", size)
    if rules.get("uniqueItems") and isinstance(value, list):
        texts = [json.dumps(item, sort_keys=True) for item in value]
        if len(set(texts)) < len(texts):
            yield _invalid("shouldn't contain duplicates", "")


def _invalid(text: str, value: Any) -> Problem:
    return Problem("FieldValueInvalid", text, value)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _parsed(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def ok(value: str) -> bool:
        try:
            parse(value)
        except (ValueError, binascii.Error):
            return False
        return True

    return ok


_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def is_date_time(value: str) -> bool:
    """RFC 3339, as Go's time.Parse takes it."""
    if not _DATE_TIME.fullmatch(value):
        return False
    return _parsed(lambda text: datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))(value)


#: Formats that are checked; any other is a remark to the reader, as in the real one.
FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "byte": _parsed(lambda text: base64.b64decode(text, validate=True)),
    "date": _parsed(datetime.date.fromisoformat),
    "date-time": is_date_time,
    "ipv4": _parsed(ipaddress.IPv4Address),
    "ipv6": _parsed(ipaddress.IPv6Address),
    "quantity": is_quantity,
    "uuid": _parsed(uuid.UUID),
}
