"""Custom objects as rows, by their definition's additionalPrinterColumns."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from coalmine.kube.resources import Object
from coalmine_sandbox.api.custom import Column as Defined
from coalmine_sandbox.api.custom import Custom
from coalmine_sandbox.api.tables.column import AGE, NAME, Column, Layout, age_of, aged

#: Paths of a few definitions; one that is forgotten is parsed again.
_PATHS: Final = 256


def layout(custom: Custom) -> Layout:
    """How the definition wants its objects to be shown; only with an age when it says nothing."""
    if not custom.columns:
        return Layout((NAME, AGE), lambda obj, now: [obj["metadata"]["name"], age_of(obj, now)])

    def cells(obj: Object, now: float) -> list[Any]:
        return [obj["metadata"]["name"], *(_cell(column, obj, now) for column in custom.columns)]

    return Layout((NAME, *(_column(column) for column in custom.columns)), cells)


def _column(defined: Defined) -> Column:
    described = defined.description or f"Custom resource definition column (in JSONPath format): {defined.path}"
    return Column(defined.name, defined.type, defined.format, defined.priority, described)


def _cell(column: Defined, obj: Object, now: float) -> Any:
    found = values(obj, column.path)
    if not found or found[0] is None:
        return None
    value = found[0]
    match column.type:
        case "integer":
            return int(value) if isinstance(value, int | float) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return aged(value, now) if isinstance(value, str) else None
    if len(found) > 1:
        return ",".join(_text(each) for each in found)
    return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def values(obj: Object, path: str) -> list[Any]:
    """What a JSONPath finds; nothing where the path is none."""
    parts = path.strip().lstrip(".").split(".")
    if all(part.isidentifier() for part in parts):
        value: Any = obj
        for part in parts:
            if not isinstance(value, dict) or part not in value:
                return []
            value = value[part]
        return [value]
    parsed = _parsed(path)
    return [] if parsed is None else [match.value for match in parsed.find(obj)]


@lru_cache(maxsize=_PATHS)
def _parsed(path: str) -> Any:
    text = path.strip()
    try:
        dot = "" if text[:1] in ".[" else "."
        return parse(text if text.startswith("$") else f"${dot}{text}")
    except (JSONPathError, ValueError, AttributeError):
        return None
