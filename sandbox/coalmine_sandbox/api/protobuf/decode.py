"""From Kubernetes' protobuf to the JSON that the same object has. Raises ValueError for whatever is none.

Hostile input: nothing is allocated by a length that the input does not hold; nesting is bounded.
"""

from __future__ import annotations

import base64
import datetime
import json
import struct
from functools import cache
from importlib import resources
from typing import Any, Final

from coalmine.kube.resources import Object

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
#: The deepest served kind nests some twenty messages.
_DEEPEST: Final = 60
#: Messages that Go embeds: their fields stand beside the others in JSON.
_INLINE: Final = {
    "volumeSource",
    "persistentVolumeSource",
    "ephemeralContainerCommon",
    "localObjectReference",
    "handler",
    "rule",
}
#: Fields of runtime.Unknown, which every object is wrapped in, and of its TypeMeta.
_UNKNOWN: Final = {1: "typeMeta", 2: "raw", 3: "encoding"}
_TYPE_META: Final = {1: "apiVersion", 2: "kind"}

Message = dict[str, list[Any]]


@cache
def _numbers() -> dict[str, Message]:
    found: dict[str, Message] = json.loads(resources.files(__package__).joinpath("numbers.json").read_text())
    return found


def decode(body: bytes) -> Object:
    """The object in a request's body. Raises ValueError."""
    if not body.startswith(_MAGIC):
        raise ValueError("the body does not begin as Kubernetes' protobuf does")
    outer: dict[str, bytes] = {"typeMeta": b"", "raw": b"", "encoding": b""}
    for number, _, value in _fields(body[len(_MAGIC) :]):
        if number in _UNKNOWN:
            outer[_UNKNOWN[number]] = _bytes(value)
    if outer["encoding"]:
        raise ValueError("the body is compressed")
    about = {
        _TYPE_META[number]: _text(value) for number, _, value in _fields(outer["typeMeta"]) if number in _TYPE_META
    }
    api_version, kind = about.get("apiVersion", ""), about.get("kind", "")
    name = _message_name(api_version, kind)
    if name not in _numbers():
        raise ValueError(f"{api_version} {kind} is not known")
    return {"apiVersion": api_version, "kind": kind, **_message(name, outer["raw"], 0)}


def _message_name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    if kind == "DeleteOptions":
        return "apis.meta.v1.DeleteOptions"
    return f"{(group or 'core').split('.')[0]}.{version}.{kind}"


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > _DEEPEST:
        raise ValueError("too deeply nested")
    known = _numbers()[name]
    made: Object = {}
    for number, wire, value in _fields(data):
        field = known.get(str(number))
        if field is None:
            continue  # of another version than the one that was recorded
        key, kind, repeated = field
        if kind.startswith("map:"):
            made.setdefault(key, {}).update(_pair(kind, _bytes(value), depth))
        elif key in _INLINE:
            made.update(_message(kind, _bytes(value), depth + 1))
        elif repeated:
            made.setdefault(key, []).append(_value(kind, wire, value, depth))
        else:
            made[key] = _value(kind, wire, value, depth)
    return made


def _pair(kind: str, data: bytes, depth: int) -> Object:
    _, key_type, value_type = kind.split(":", 2)
    key: Any = ""
    value: Any = _default(value_type)
    for number, wire, found in _fields(data):
        if number == 1:
            key = _value(key_type, wire, found, depth)
        elif number == 2:
            value = _value(value_type, wire, found, depth)
    return {str(key): value}


def _default(kind: str) -> Any:
    return "" if kind in ("string", "bytes", "api.resource.Quantity") else {} if "." in kind else 0


def _value(kind: str, wire: int, value: int | bytes, depth: int) -> Any:
    match kind:
        case "string":
            return _text(value)
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "bool":
            return bool(value)
        case "double":
            return struct.unpack("<d", _bytes(value))[0]
        case "api.resource.Quantity":
            return next((_text(v) for n, _, v in _fields(_bytes(value)) if n == 1), "0")
        case "apis.meta.v1.Time" | "apis.meta.v1.MicroTime":
            return _time(_bytes(value), micro=kind.endswith("MicroTime"))
        case "util.intstr.IntOrString":
            return _int_or_string(_bytes(value))
        case "apis.meta.v1.FieldsV1" | "runtime.RawExtension":
            return json.loads(next((_bytes(v) for n, _, v in _fields(_bytes(value)) if n == 1), b"{}"))
        case "authentication.v1.ExtraValue":
            return [_text(v) for n, _, v in _fields(_bytes(value)) if n == 1]
    if "." in kind:
        return _message(kind, _bytes(value), depth + 1)
    if not isinstance(value, int) or wire != 0:
        raise ValueError(f"a {kind} is no number")
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(data: bytes, *, micro: bool) -> str | None:
    numbers = {number: value for number, _, value in _fields(data) if isinstance(value, int)}
    if not numbers:
        return None
    seconds = numbers.get(1, 0)
    seconds = seconds - (1 << 64) if seconds >= 1 << 63 else seconds
    try:
        when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} is no time") from error
    if when.year <= 1:
        return None  # Go's zero time
    if micro:
        when = when.replace(microsecond=numbers.get(2, 0) // 1000 % 1_000_000)
        return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _int_or_string(data: bytes) -> int | str:
    found = {number: value for number, _, value in _fields(data)}
    if found.get(1):
        return _text(found.get(3, b""))
    number = found.get(2, 0)
    if not isinstance(number, int):
        raise ValueError("an IntOrString is no number")  # noqa: TRY004  whatever is no protobuf is one error
    return number - (1 << 64) if number >= 1 << 63 else number


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()  # UnicodeDecodeError is a ValueError


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where bytes are expected")  # noqa: TRY004
    return value


def _fields(data: bytes) -> list[tuple[int, int, int | bytes]]:
    """Number, wire type and raw value of a message's fields."""
    found: list[tuple[int, int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, at = data[at : at + size], at + size
        elif wire == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {wire} is not used by Kubernetes")
        if at > len(data):
            raise ValueError("the body is cut off")
        found.append((number, wire, value))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("the body is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("a number is longer than 64 bits")
