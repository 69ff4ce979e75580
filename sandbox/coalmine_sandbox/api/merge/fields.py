"""Sets of fields, and how metadata.managedFields writes them (fieldsV1).

A path is a tuple of the elements that fieldsV1 spells: ``f:<name>`` a field or a map's key, ``k:{...}`` an item of a
list with keys, ``v:<json>`` an item of a list that is a set. A set holds its members and nothing of their parents:
``.`` is how fieldsV1 says that a parent is a member, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

Path = tuple[str, ...]
Fields = frozenset[Path]

EMPTY: Final[Fields] = frozenset()
_SELF: Final = "."
_KINDS: Final = ("f:", "k:", "v:", "i:")


def encode(fields: Iterable[Path]) -> dict[str, Any]:
    """fieldsV1 of a set."""
    root: dict[str, Any] = {}
    members = sorted(fields)
    parents = {path[:end] for path in members for end in range(1, len(path))}
    for path in members:
        at = root
        for element in path:
            at = at.setdefault(element, {})
        if path in parents:
            at[_SELF] = {}
    return root


def decode(written: Mapping[str, Any]) -> Fields:
    """The set that fieldsV1 means. Raises ValueError for what is none: clients may send it."""
    found: set[Path] = set()

    def walk(at: Mapping[str, Any], path: Path) -> None:
        if not isinstance(at, dict):
            raise ValueError(f"{path[-1:]} holds no set of fields")  # noqa: TRY004
        for element, below in at.items():
            if element == _SELF:
                found.add(path)
            elif element[:2] not in _KINDS:
                raise ValueError(f"{element[:50]} is no element of a path")
            elif not below:
                found.add((*path, element))
            else:
                walk(below, (*path, element))

    walk(written, ())
    return frozenset(found)


def field(name: str) -> str:
    return f"f:{name}"


def keyed(values: Mapping[str, Any]) -> str:
    return f"k:{_json(values)}"


def valued(value: Any) -> str:
    return f"v:{_json(value)}"


def without(fields: Fields, removed: Iterable[Path]) -> Fields:
    """`fields` without what is in `removed`, or below it."""
    roots = set(removed)
    if not roots:
        return fields
    return frozenset(path for path in fields if not any(path[:end] in roots for end in range(1, len(path) + 1)))


def printed(path: Path) -> str:
    """As conflicts name it: ``.spec.template.spec.containers[name="app"].image``."""
    return "".join(map(_printed, path))


def _printed(element: str) -> str:
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        return "[" + ",".join(f"{key}={_json(value)}" for key, value in json.loads(rest).items()) + "]"
    return f"[={rest}]"


def _json(value: Any) -> str:
    """JSON as Go writes it: compact, keys sorted, three characters escaped for HTML's sake."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
