"""Reading what a person wrote, field by field; every error names the field and says what to write.

PURE, and without a parser: what comes in are the values of YAML or JSON. All errors are `SpecError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine.model.errors import SpecError, shown


def mapping(raw: Any, path: str, advice: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(k, str) for k in raw):
        raise SpecError(path, f"{shown(raw)} is not a mapping", advice)
    return raw


def sequence(raw: Any, path: str) -> list[Any]:
    """A list; an empty one where nothing was written."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise SpecError(path, f"{shown(raw)} is not a list", "write a list")
    return raw


def name(raw: Any, path: str) -> str:
    if not isinstance(raw, str) or not raw:
        raise SpecError(path, "there is no name" if raw is None else f"{shown(raw)} is not a name", "write a name")
    return raw


def flag(raw: Any, path: str) -> bool:
    if not isinstance(raw, bool):
        raise SpecError(path, f"{shown(raw)} is neither true nor false", "write true or false")
    return raw


def whole(raw: Any, path: str, least: int, most: int) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
        raise SpecError(path, f"{shown(raw)} is not in range", f"write a whole number from {least} to {most}")
    return raw


def known(fields: Mapping[str, Any], keys: tuple[str, ...], path: str, refused: Mapping[str, str]) -> None:
    """Refuse every field that is not one of `keys`; `refused` says why some of them are not used here."""
    for key in fields:
        shortened = key if len(key) <= 60 else shown(key)
        where = f"{path}.{shortened}" if path else shortened
        if key in refused:
            raise SpecError(where, f"is not used here: {refused[key]}", "remove it")
        if key not in keys:
            import difflib  # only for a sentence: a sidecar need not hold it

            close = difflib.get_close_matches(key, keys, n=1)
            advice = f"did you mean {close[0]}?" if close else f"known here: {', '.join(keys)}"
            raise SpecError(where, "is unknown", advice)
