"""The values of the Helm chart: which fields of the base they stand for, and their defaults, which are the base's."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from manifests.generate.base import CONTAINER, CONTROLLER, POD, WEBHOOK, Object, Step, Where, at, find, put
from manifests.generate.definitions import dump


@dataclass(frozen=True, slots=True)
class Choice:
    """The value `name` (dotted), written into each of these objects at `path`.

    `default` is for a field that the base does not have.
    """

    name: str
    objects: tuple[Where, ...]
    path: tuple[Step, ...]
    about: str
    default: Any = None


@dataclass(frozen=True, slots=True)
class Option:
    """The value `name`, given to the webhook as an option unless it is empty."""

    name: str
    option: str
    about: str


def _of_each(name: str, path: tuple[Step, ...], about: str, default: Any = None) -> Iterator[Choice]:
    yield Choice(f"webhook.{name}", (WEBHOOK,), path, about, default)
    yield Choice(f"controller.{name}", (CONTROLLER,), path, about, default)


CHOICES: Final = (
    Choice(
        "imagePullPolicy",
        (WEBHOOK, CONTROLLER),
        (*CONTAINER, "imagePullPolicy"),
        "Always, IfNotPresent or Never.",
        "IfNotPresent",
    ),
    Choice(
        "imagePullSecrets",
        (WEBHOOK, CONTROLLER),
        (*POD, "imagePullSecrets"),
        "For a private registry, [{name: NAME}]. Sidecars are pulled with their own pod's.",
        [],
    ),
    *_of_each("replicas", ("spec", "replicas"), "How many pods. Of several controllers one leads."),
    *_of_each("resources", (*CONTAINER, "resources"), "Of its container."),
    *_of_each("nodeSelector", (*POD, "nodeSelector"), "Nodes that it may run on.", {}),
    *_of_each("tolerations", (*POD, "tolerations"), "Taints that it may run in spite of.", []),
    *_of_each("affinity", (*POD, "affinity"), "Where its pods stand to each other."),
    Choice(
        "webhook.priorityClassName",
        (WEBHOOK,),
        (*POD, "priorityClassName"),
        "Without the webhook no annotated Deployment can be written: it goes before what it serves.",
    ),
)

#: The kind is in the base's own arguments.
SIDECAR_KIND: Final = Option("sidecar.kind", "--sidecar", "auto (native from Kubernetes 1.33 on), native or classic.")
OPTIONS: Final = (
    Option("sidecar.cpuRequest", "--sidecar-cpu-request", "What an HPA on CPU counts; empty for the default."),
    Option("sidecar.memoryRequest", "--sidecar-memory-request", "Empty for the default."),
    Option("sidecar.cpuLimit", "--sidecar-cpu-limit", "Empty for the default; for none, see webhook.extraArgs."),
    Option("sidecar.memoryLimit", "--sidecar-memory-limit", "Empty for the default."),
    Option("sidecar.imagePullPolicy", "--image-pull-policy", "Empty for Kubernetes' own default."),
)

_ABOUT: Final = {
    "image": "Of all components, the sidecars included. A digest takes the tag's place.",
    "namespace.create": "Make the namespace coalmine-system, for a release that is kept in another one.",
    "crds.install": "Install the kinds with the release, and upgrade them with it.",
    "crds.keep": "Leave them, and so every Rollout, when the release is uninstalled.",
    "webhook.extraArgs": "Further options, see `coalmine webhook --help`: `--sidecar-cpu-limit=` is for none.",
    "controller.extraArgs": "Further options, see `coalmine controller --help`.",
}


def defaults(base: list[Object]) -> Object:
    """The values unless somebody sets them."""
    repository, _, tag = str(at(find(base, WEBHOOK), CONTAINER)["image"]).rpartition(":")
    arguments = at(find(base, WEBHOOK), CONTAINER)["args"]
    values: Object = {
        "image": {"repository": repository, "tag": tag, "digest": ""},
        "imagePullPolicy": None,
        "imagePullSecrets": None,
        "namespace": {"create": False},
        "crds": {"install": True, "keep": True},
        "sidecar": {"kind": arguments[arguments.index(SIDECAR_KIND.option) + 1]},
        "webhook": {},
        "controller": {},
    }
    for option in OPTIONS:
        put(values, tuple(option.name.split(".")), "")
    for choice in CHOICES:
        put(values, tuple(choice.name.split(".")), copy.deepcopy(_default(base, choice)))
    for component in ("webhook", "controller"):
        values[component]["extraArgs"] = []
    return values


def _default(base: list[Object], choice: Choice) -> Any:
    try:
        found = [at(find(base, where), choice.path) for where in choice.objects]
    except LookupError:
        return choice.default
    assert all(each == found[0] for each in found), f"the base has several values for {choice.name}"
    return found[0]


def values_file(base: list[Object]) -> str:
    """values.yaml, each value with its sentence."""
    about = _ABOUT | {each.name: each.about for each in CHOICES}
    about |= {each.name: each.about for each in (SIDECAR_KIND, *OPTIONS)}
    lines: list[str] = []
    for name, value in defaults(base).items():
        lines += _described(name, name, value, about, "")
    return "\n".join(lines) + "\n"


def _described(name: str, key: str, value: Any, about: dict[str, str], indent: str) -> Iterator[str]:
    yield from (f"{indent}# {line}" for line in about.get(name, "").splitlines())
    if isinstance(value, dict) and any(each.startswith(f"{name}.") for each in about):
        yield f"{indent}{key}:"
        for inner, each in value.items():
            yield from _described(f"{name}.{inner}", inner, each, about, f"{indent}  ")
    else:
        yield from (f"{indent}{line}" for line in dump({key: value}).splitlines())


def schema_file(base: list[Object]) -> str:
    """values.schema.json: a value that is misspelt is refused. What is given to Kubernetes as it is, it checks."""
    free = {choice.name for choice in CHOICES}
    return json.dumps(
        {"$schema": "http://json-schema.org/draft-07/schema#", **_schema("", defaults(base), free)}, indent=1
    )


def _schema(name: str, value: Any, free: set[str]) -> Object:
    if isinstance(value, dict) and name not in free:
        inner = {key: _schema(f"{name}.{key}".lstrip("."), each, free) for key, each in value.items()}
        # Helm adds `global` to every chart's values
        extra = {"global": {"type": "object"}} if not name else {}
        return {"type": "object", "additionalProperties": False, "properties": {**inner, **extra}}
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return {"type": kinds[type(value)]}
