"""Faults of fields, worded as apimachinery's field.Error words them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from coalmine_sandbox.api.errors import Cause

IMMUTABLE: Final = "field is immutable"
_OMITTED: Final = object()


def shown(value: Any) -> str:
    """A value as an error shows it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cause(reason: str, said: str, path: str, detail: str, value: Any = _OMITTED) -> Cause:
    text = said if value is _OMITTED else f"{said}: {shown(value)}"
    return Cause(reason, f"{text}: {detail}" if detail else text, path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    return _cause("FieldValueInvalid", "Invalid value", path, detail, value)


def required(path: str, detail: str = "") -> Cause:
    return _cause("FieldValueRequired", "Required value", path, detail)


def duplicate(path: str, value: Any) -> Cause:
    return _cause("FieldValueDuplicate", "Duplicate value", path, "", value)


def forbidden(path: str, detail: str) -> Cause:
    return _cause("FieldValueForbidden", "Forbidden", path, detail)


def not_found(path: str, value: Any) -> Cause:
    return _cause("FieldValueNotFound", "Not found", path, "", value)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    listed = ", ".join(json.dumps(each) for each in supported)
    return _cause("FieldValueNotSupported", "Unsupported value", path, f"supported values: {listed}", value)


def too_long(path: str, most: int) -> Cause:
    return _cause("FieldValueTooLong", "Too long", path, f"may not be more than {most} bytes")


def immutable(path: str, new: Any, old: Any) -> list[Cause]:
    """One fault where a field was changed that may not be."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]


def negative(path: str, value: Any) -> list[Cause]:
    """One fault where a number is below zero; what is no number is somebody else's."""
    if isinstance(value, int) and value < 0:
        return [invalid(path, value, "must be greater than or equal to 0")]
    return []
