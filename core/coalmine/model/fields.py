"""Reading a peer's JSON field by field, each checked and bounded.

Rules: what is read is what was meant (true is no 1, 1.0 is no 1), and every error is a `RemoteError` that
names the field. Anything else that Python raises on the way is listed in `MALFORMED`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

from coalmine.model.errors import RemoteError

#: What reading JSON of the wrong shape raises, here or in Python.
MALFORMED: Final = (RemoteError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)

#: What most addresses look like: to have each of ten thousand read by `ipaddress` takes twenty milliseconds.
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}")

#: Names, uids, nonces and header values that a rule can be written for are all shorter.
MAX_TEXT: Final = 256


def text(raw: Mapping[str, Any], key: str) -> str:
    value = raw[key]
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise RemoteError(f"{key} must be a short string")
    return value


def flag(raw: Mapping[str, Any], key: str, default: bool) -> bool:
    value = raw.get(key, default)
    if not isinstance(value, bool):
        raise RemoteError(f"{key} must be true or false")
    return value


def whole(raw: Mapping[str, Any], key: str) -> int:
    value = raw[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise RemoteError(f"{key} must be a whole number")
    return value


def between(raw: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = whole(raw, key)
    if not least <= value <= most:
        raise RemoteError(f"{key} must be a whole number from {least} to {most}")
    return value


def port(raw: Mapping[str, Any], key: str) -> int:
    value = whole(raw, key)
    if not 1 <= value <= 65_535:
        raise RemoteError(f"{key} must be a port")
    return value


def address(raw: Mapping[str, Any], key: str) -> str:
    """A name would be looked up, and may be anybody's."""
    value = text(raw, key)
    if not _IPV4.fullmatch(value):
        ipaddress.ip_address(value)
    return value


def sequence(raw: Mapping[str, Any], key: str, default: list[Any] | None = None) -> list[Any]:
    value = raw[key] if default is None else raw.get(key, default)
    if not isinstance(value, list):
        raise RemoteError(f"{key} must be a list")
    return value
