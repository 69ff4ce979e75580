"""JSON patches (RFC 6902): pointers, and the least change from one mapping to another.

Rules: the order of operations is a function of the input alone, so that the same review has the
same answer to the byte; nothing is replaced that is already as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Operation = dict[str, Any]


def pointer(*tokens: str | int) -> str:
    """A JSON pointer (RFC 6901): ``~`` becomes ``~0`` and then ``/`` becomes ``~1``."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def add(value: object, *tokens: str | int) -> Operation:
    """Set a member that may be absent, or insert before an index (``-`` for the end)."""
    return {"op": "add", "path": pointer(*tokens), "value": value}


def replace(value: object, *tokens: str | int) -> Operation:
    """Set what is there already; the patch fails as a whole when it is not."""
    return {"op": "replace", "path": pointer(*tokens), "value": value}


def remove(*tokens: str | int) -> Operation:
    """Remove what is there; the patch fails as a whole when it is not."""
    return {"op": "remove", "path": pointer(*tokens)}


def members(
    before: Mapping[str, Any] | None, wanted: Mapping[str, Any | None], *tokens: str | int
) -> tuple[Operation, ...]:
    """Give the mapping at `tokens`, now `before`, the members `wanted`; None takes one away.

    Members that `wanted` does not name are left alone. Keys go in alphabetical order.
    """
    present = {key: value for key, value in sorted(wanted.items()) if value is not None}
    if before is None:
        return (add(present, *tokens),) if present else ()
    operations: list[Operation] = []
    for key, value in sorted(wanted.items()):
        if value is None:
            if key in before:
                operations.append(remove(*tokens, key))
        elif key not in before:
            operations.append(add(value, *tokens, key))
        elif before[key] != value:
            operations.append(replace(value, *tokens, key))
    return tuple(operations)
