"""Whether an object has the shape that the API server would have made sure of, as far as our rules read it.

Pure. In the cluster the rules see objects that have passed the API server's schema; a file has not. This
is no schema: unknown fields pass, as do all that no rule of ours looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model.errors import SpecError, shown


@dataclass(frozen=True, slots=True)
class _Scalar:
    type: type
    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Texts:
    """A mapping of text to text."""


_Shape = Any  # a _Scalar, _Texts, a list with the shape of its items, or a dict of fields ("!": must be there)

_TEXT: Final = _Scalar(str, "text", "write it in quotes")
_WHOLE: Final = _Scalar(int, "a whole number", "write a number without quotes")
_FLAG: Final = _Scalar(bool, "true or false", "write true or false")
_METADATA: Final = {
    "name": _TEXT,
    "generateName": _TEXT,
    "namespace": _TEXT,
    "labels": _Texts(),
    "annotations": _Texts(),
}
_HANDLERS: Final = {"restartPolicy": _TEXT}
_CONTAINERS: Final = [
    {
        "name": _TEXT,
        "image": _TEXT,
        "ports": [{"name": _TEXT, "containerPort!": _WHOLE, "protocol": _TEXT}],
        **_HANDLERS,
    }
]
_POD: Final = {
    "hostNetwork": _FLAG,
    "containers": _CONTAINERS,
    "initContainers": _CONTAINERS,
    "volumes": [{"name": _TEXT, "persistentVolumeClaim": {"claimName": _TEXT}}],
}
DEPLOYMENT: Final[_Shape] = {
    "metadata!": _METADATA,
    "spec!": {
        "replicas": _WHOLE,
        "paused": _FLAG,
        "strategy": {"type": _TEXT},
        "selector": {"matchLabels": _Texts(), "matchExpressions": [{"key": _TEXT, "operator": _TEXT}]},
        "template!": {"metadata": {"labels": _Texts(), "annotations": _Texts()}, "spec!": _POD},
    },
}
SERVICE: Final[_Shape] = {
    "metadata!": _METADATA,
    "spec": {"selector": _Texts(), "ports": [{"name": _TEXT, "port": _WHOLE, "protocol": _TEXT}]},
}
CLAIM: Final[_Shape] = {"metadata!": _METADATA, "spec": {"accessModes": [_TEXT]}}
NAMED: Final[_Shape] = {"metadata!": _METADATA}


def without_nulls(value: Any) -> Any:
    """`value` as the API server takes it: a null is no field."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def faults(shape: _Shape, value: Any, path: str = "") -> Iterator[SpecError]:
    """What has another shape."""
    if isinstance(shape, _Scalar):
        right = isinstance(value, shape.type) and not (shape.type is int and isinstance(value, bool))
        if not right:
            yield SpecError(path, f"{shown(value)} is not {shape.what}", shape.advice)
    elif isinstance(shape, list):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from faults(shape[0], item, f"{path}[{index}]")
        else:
            yield SpecError(path, f"{shown(value)} is not a list", "write a list")
    elif not isinstance(value, Mapping):
        yield SpecError(path, f"{shown(value)} is not a mapping", "write a mapping")
    elif isinstance(shape, _Texts):
        yield from _texts(value, path)
    else:
        yield from _fields(shape, value, path)


def _texts(value: Mapping[str, Any], path: str) -> Iterator[SpecError]:
    for key, text in value.items():
        if not isinstance(text, str):
            advice = (
                "write it as text, for example with | behind the colon"
                if isinstance(text, dict | list)
                else (f'write it in quotes: "{"off" if text is False else str(text).lower()}"')
            )
            yield SpecError(f"{path}[{key}]", f"{shown(text)} is not text", advice)


def _fields(shape: Mapping[str, _Shape], value: Mapping[str, Any], path: str) -> Iterator[SpecError]:
    for name, below in shape.items():
        key = name.rstrip("!")
        where = f"{path}.{key}" if path else key
        if key in value:
            yield from faults(below, value[key], where)
        elif name.endswith("!"):
            yield SpecError(where, "is missing", "write it")
