"""What our kinds look like to an API server: the source that their CustomResourceDefinitions are generated from.

`rollout` and `analysis` say each field with its prose, `definitions` puts them together; ``make manifests`` writes
them to manifests/crds. PURE.

Rules:
- Every field has a sentence: it is what ``kubectl explain`` shows.
- A schema is never stricter than the code that reads the object, but may leave things to it: what a schema cannot
  say (a condition that parses, a limit beyond a count) the reader refuses with a better sentence.
  tests/unit/manifests holds the two to each other.
- A status keeps fields that the schema does not know: a controller that is newer than the installed definitions
  must not lose what it remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]


def text(about: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": about, **more}


def whole(about: str, **more: Any) -> Schema:
    """A whole number."""
    return {"type": "integer", "format": "int64", "description": about, **more}


def number(about: str) -> Schema:
    """A number, with decimals."""
    return {"type": "number", "description": about}


def flag(about: str) -> Schema:
    """true or false."""
    return {"type": "boolean", "description": about}


def moment(about: str) -> Schema:
    """A time (RFC 3339)."""
    return {"type": "string", "format": "date-time", "description": about}


def whole_or_text(about: str) -> Schema:
    """Kubernetes' IntOrString: an argument may stand where a number belongs."""
    return {
        "description": about,
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
    }


def anything(about: str) -> Schema:
    """A value of any form, kept as it is."""
    return {"description": about, "x-kubernetes-preserve-unknown-fields": True}


def record(
    about: str, fields: Mapping[str, Schema], *, required: Sequence[str] = (), keeps_unknown: bool = False, **more: Any
) -> Schema:
    """An object with these fields; others are dropped, or refused by a strict write, unless `keeps_unknown`."""
    result: Schema = {"type": "object", "description": about, **more}
    if required:
        result["required"] = list(required)
    if fields:
        result["properties"] = dict(fields)
    if keeps_unknown:
        result["x-kubernetes-preserve-unknown-fields"] = True
    return result


def sequence(about: str, items: Schema, *, key: str = "", **more: Any) -> Schema:
    """A list; with `key`, one whose entries are told apart by that field, so that server-side apply merges them."""
    result: Schema = {"type": "array", "description": about, **more}
    if key:
        result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return {**result, "items": items}


def unsupported(what: str) -> Schema:
    """A field of Argo's that this version has not: kept, so that it is refused by name rather than passed over."""
    return anything(f"{what} Argo Rollouts has it and this version has not: what uses it is refused, naming the field.")
