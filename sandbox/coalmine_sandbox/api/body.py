"""Bodies: from bytes to an object that its kind's types could hold, as decoding through Go's types leaves it.

Hostile input is bounded here: its size, its depth, its numbers, how far YAML's aliases blow it up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final

import yaml

from coalmine.kube.resources import Object
from coalmine_sandbox.api import defaults
from coalmine_sandbox.api.errors import StatusError, bad_request, unsupported_media_type
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.protobuf import decode as protobuf
from coalmine_sandbox.api.schema import builtin, check, decoding
from coalmine_sandbox.api.schema.node import Node

#: apiserver's MaxRequestBodyBytes.
LARGEST: Final = 3 << 20
#: Values in a YAML document, aliases followed: the largest manifests that people write hold some ten thousand.
_MOST_VALUES: Final = 1 << 18
#: Far deeper than anything that people write; everybody who reads an object again has to be able to, Python's
#: recursion ends at some hundreds, and whoever reads stands deeper in the stack than who wrote.
_DEEPEST: Final = 100
#: Digits of a whole number that surely fits into Go's int64.
_SURE_DIGITS: Final = 18

JSON_TYPES: Final = ("application/json", "")
YAML_TYPES: Final = ("application/yaml", "text/yaml", "application/x-yaml")


def too_large() -> StatusError:
    message = f"Request entity too large: limit is {LARGEST}"
    return StatusError(413, "RequestEntityTooLarge", message)


def parse(body: bytes, content_type: str = "application/json") -> Any:
    """The value of a JSON or YAML document. Raises StatusError (400, 413, 415)."""
    return parse_noting(body, content_type)[0]


def parse_noting(body: bytes, content_type: str = "application/json") -> tuple[Any, list[str]]:
    """The same, and the paths of fields that stand twice."""
    if len(body) > LARGEST:
        raise too_large()
    media = content_type.partition(";")[0].strip().lower()
    if media in YAML_TYPES:
        return _yaml(body), []
    if media == protobuf.MEDIA_TYPE:
        return _protobuf(body), []
    if media not in JSON_TYPES:
        raise unsupported_media_type(media, ["application/json", "application/yaml", protobuf.MEDIA_TYPE])
    return _json(body)


def _protobuf(body: bytes) -> Any:
    try:
        value = protobuf.decode(body)
        json.dumps(value)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"error decoding protobuf: {error}") from error
    return value


class _Twice(dict[str, Any]):
    """An object in which some names stand twice."""

    names: tuple[str, ...] = ()


def _json(body: bytes) -> tuple[Any, list[str]]:
    found = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = dict(items)
        if len(made) == len(items):
            return made
        found = True
        twice = _Twice(made)
        names = [name for name, _ in items]
        twice.names = tuple(sorted({name for name in names if names.count(name) > 1}))
        return twice

    try:
        value = json.loads(
            body, object_pairs_hook=pairs, parse_constant=_constant, parse_int=_whole, parse_float=_fraction
        )
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be answered
        return value, list(_twice(value, "")) if found else []
    except (ValueError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error or 'too deeply nested'}") from error


def _constant(name: str) -> Any:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


def _whole(text: str) -> int | float:
    """An int64, or what Go makes of more: a float64."""
    if len(text) <= _SURE_DIGITS:
        return int(text)
    found = int(text)
    return found if -(1 << 63) <= found < 1 << 63 else _fraction(text)


def _fraction(text: str) -> float:
    """JSON has no infinity: nobody could read it again."""
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"cannot unmarshal number {text[:40]} into Go value of type float64")
    return found


def _twice(value: Any, path: str) -> Iterable[str]:
    if isinstance(value, dict):
        if isinstance(value, _Twice):
            yield from (f"{path}.{name}" if path else name for name in value.names)
        for name, item in value.items():
            yield from _twice(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _twice(item, f"{path}[{number}]")


class _Loader(yaml.CSafeLoader):
    """YAML whose dates stay texts, as JSON has none."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _yaml(body: bytes) -> Any:
    try:
        value = yaml.load(body, Loader=_Loader)  # noqa: S506  derived from the safe one
        return _plain(value, [_MOST_VALUES])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _plain(value: Any, left: list[int]) -> Any:
    """What JSON can hold, with nothing shared."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {_MOST_VALUES} values")
    if isinstance(value, dict):
        return {_key(key): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, left) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return _whole(str(value))
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(f"{value if isinstance(value, float) else type(value).__name__} has no place in JSON")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)


# --- objects -----------------------------------------------------------------------------------


def node_of(kind: Kind) -> Node:
    """The structure of a kind's objects."""
    if kind.custom is not None:
        return kind.custom.node
    node = builtin.structure(kind.resource)
    assert node is not None, f"{kind.resource.kind} has no schema"
    return node


def object_of(value: Any, api_version: str, kind: str) -> Object:
    """An object that says what it is; what is left out is filled in. Raises StatusError (400)."""
    if not isinstance(value, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind})")
    said_version, said_kind = value.get("apiVersion") or api_version, value.get("kind") or kind
    if said_version != api_version:
        raise bad_request(
            f"the API version in the data ({said_version}) does not match the expected API version ({api_version})"
        )
    if said_kind != kind:
        version = api_version.rpartition("/")[2]
        raise bad_request(
            f'{said_kind} in version "{version}" cannot be handled as a {kind}: '
            f"converting ({said_kind}) to ({kind}): unknown conversion"
        )
    metadata = value.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise decoding.cannot_be_handled(api_version, kind, "metadata must be an object")
    return {**value, "apiVersion": api_version, "kind": kind, "metadata": metadata}


def decoded(kind: Kind, value: Any, validation: str, warnings: list[str], twice: Iterable[str] = ()) -> Object:
    """An object as its kind's types hold it: unknown fields gone, defaults there, canonically spelled.

    Unknown fields are told in `warnings` or refused, by `validation`. Raises StatusError (400).
    """
    resource = kind.resource
    obj = object_of(value, resource.api_version, resource.kind)
    node = node_of(kind)
    if kind.custom is None:
        refusal = decoding.refusal(node, resource.api_version, resource.kind, obj)
    else:
        # what else has a wrong type is a fault of the object, told when it is validated
        about = node.fields["metadata"]
        refusal = decoding.refusal(about, resource.api_version, resource.kind, obj["metadata"])
    if refusal is not None:
        raise refusal
    strict(kind, validation, warnings, unknown=check.unknown(node, obj), twice=twice)
    return complete(kind, obj)


def strict(
    kind: Kind, validation: str, warnings: list[str], *, unknown: Iterable[str] = (), twice: Iterable[str] = ()
) -> None:
    """Refuse, tell, or ignore unknown and repeated fields. Raises StatusError (400)."""
    faults = [f'duplicate field "{path}"' for path in twice] + [f'unknown field "{path}"' for path in unknown]
    if not faults or validation == "Ignore":
        return
    if validation == "Strict":
        problem = f"strict decoding error: {', '.join(faults)}"
        raise decoding.cannot_be_handled(kind.resource.api_version, kind.resource.kind, problem)
    warnings += faults


def _bounded(value: Any) -> None:
    """Raises StatusError (400) for what is too deep."""
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        level = inner
    raise bad_request(f"the object is nested deeper than {_DEEPEST} levels")


def complete(kind: Kind, obj: Object) -> Object:
    """The object with its defaults and without what its kind does not know. Raises StatusError (400)."""
    _bounded(obj)
    node = node_of(kind)
    pruned = check.prune(node, obj)
    if kind.custom is not None:
        return check.default(node, pruned)
    return defaults.complete(kind.resource, pruned)
