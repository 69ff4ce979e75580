"""Manifests as kubectl would read them, each with the nodes that know its lines.

Rules: YAML (several documents) or JSON; a List is taken apart; what has no kind is none of ours and passed
over. A fault ends its file, what stood before it is still checked. Files may be anybody's: their size, and what
their aliases stand for, is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from coalmine.kube.resources import Object
from coalmine.model.errors import shown

#: A rendered chart of hundreds of objects; the API server takes 3 MiB for one.
MAX_FILE: Final = 16 << 20
#: Values of one document once its aliases are expanded: far beyond any object that etcd would keep.
_MAX_VALUES: Final = 500_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file."""

    file: str
    object: Object
    node: yaml.Node


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the rest of a file cannot be read."""

    file: str
    line: int
    message: str


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a date is text, a key stands once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen and key.start_mark is not None:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            problem = f"{shown(getattr(node, 'value', ''))} is no value of its kind"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


_NOT_KUBERNETES: Final = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] not in _NOT_KUBERNETES]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(file: str, text: str) -> Iterator[Manifest | Fault]:
    """The objects of a file."""
    if len(text) > MAX_FILE:
        yield Fault(file, 1, f"the file is longer than {MAX_FILE >> 20} MiB; name the manifests one by one")
        return
    try:
        for value, node in _documents(text):
            yield from _objects(file, value, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield Fault(
            file, mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}{_hint(text)}"
        )
    except yaml.YAMLError as error:
        yield Fault(file, 1, f"this is not YAML: {' '.join(str(error).split())}{_hint(text)}")
    except json.JSONDecodeError as error:
        yield Fault(file, error.lineno, f"this is not JSON: {error.msg}")
    except RecursionError:
        yield Fault(file, 1, "the file is nested too deeply; write it flatter")


def _hint(text: str) -> str:
    return "; render a template first: helm template . | coalmine lint -f -" if "{{" in text else ""


def _documents(text: str) -> Iterator[tuple[Any, yaml.Node]]:
    if text.lstrip().startswith("{") and not text.lstrip().startswith("{{"):
        # JSON may be indented with tabs, which YAML forbids; inside its strings there are none
        node = yaml.compose(text.replace("\t", " "), Loader=_Loader) if _is_json(text) else None
        if node is not None:
            yield json.loads(text), node
            return
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield _plain(loader.construct_document(node), _Budget(node)), node
    finally:
        loader.dispose()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False  # flow-style YAML begins like it; as YAML it is told where it is wrong
    return True


class _Budget:
    """How many values a document may still have."""

    def __init__(self, node: yaml.Node) -> None:
        self._mark = node.start_mark
        self._left = _MAX_VALUES

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            problem = f"its aliases stand for more than {_MAX_VALUES} values"
            raise yaml.constructor.ConstructorError(None, None, problem, self._mark)


def _plain(value: Any, budget: _Budget) -> Any:
    """`value` as JSON has it: keys are text, aliases are copies."""
    budget.spend()
    if isinstance(value, dict):
        return {_key(key): _plain(item, budget) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item, budget) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _objects(file: str, value: Any, node: yaml.Node) -> Iterator[Manifest]:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return
    items = value.get("items")
    if not value["kind"].endswith("List") or not isinstance(items, list):
        yield Manifest(file, value, node)
        return
    inner = next((v for k, v in node.value if getattr(k, "value", None) == "items"), None)
    for item, below in zip(items, getattr(inner, "value", ()), strict=False):
        yield from _objects(file, item, below)
