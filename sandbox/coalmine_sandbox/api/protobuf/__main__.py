"""``python -m coalmine_sandbox.api.protobuf DIRECTORY...``: record field numbers from generated.proto files.

Prints numbers.json: of each message that a served kind reaches, by field number, name, type and whether it repeats.
The directories hold k8s.io/api and k8s.io/apimachinery of one version.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from coalmine_sandbox.api.kinds import BUILTIN

_OTHERS = ("autoscaling.v1.Scale", "authentication.v1.TokenRequest", "policy.v1.Eviction", "core.v1.Binding")
_MESSAGE = re.compile(r"^message (\w+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (?:(optional|repeated) )?(map<\s*\w+\s*,\s*[\w.]+\s*>|[\w.]+) (\w+) = (\d+);$", re.MULTILINE)
_PREFIXES = ("k8s.io.api.", "k8s.io.apimachinery.pkg.", "k8s.io.apiextensions_apiserver.pkg.apis.")

#: Names that JSON spells otherwise.
_RENAMED = {"Webhooks": "webhooks", "uID": "uid"}

Message = dict[str, list[str | int]]


def _short(name: str) -> str:
    name = name.lstrip(".")
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def recorded(directories: list[Path]) -> dict[str, Message]:
    """All messages below the directories."""
    found: dict[str, Message] = {}
    for directory in directories:
        for file in sorted(directory.rglob("generated.proto")):
            text = file.read_text()
            package = re.search(r"^package ([\w.]+);$", text, re.MULTILINE)
            assert package is not None, file
            scope = _short(package[1])
            for message in _MESSAGE.finditer(text):
                fields: Message = {}
                for label, kind, name, number in _FIELD.findall(message[2]):
                    name = _RENAMED.get(name, name)
                    fields[number] = [name, _type(kind, scope), int(label == "repeated")]
                found[f"{scope}.{message[1]}"] = fields
    return found


def _type(kind: str, scope: str) -> str:
    if kind.startswith("map<"):
        key, value = (part.strip() for part in kind[4:-1].split(","))
        return f"map:{key}:{_type(value, scope)}"
    if "." in kind:
        return _short(kind)
    return f"{scope}.{kind}" if kind[0].isupper() else kind


def reached(messages: dict[str, Message], names: list[str]) -> dict[str, Message]:
    """Those messages, and what they refer to."""
    kept: dict[str, Message] = {}
    waiting = [name for name in names if name in messages]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = messages[name]
            types = [str(field[1]).rpartition(":")[2] for field in messages[name].values()]
            waiting += [kind for kind in types if kind in messages]
    return dict(sorted(kept.items()))


def roots() -> list[str]:
    """The served kinds' messages."""
    names = [*_OTHERS, "meta.v1.DeleteOptions"]
    for kind in BUILTIN:
        group = (kind.group or "core").split(".")[0]
        names.append(f"{group}.{kind.version}.{kind.resource.kind}")
    return [*names, *(name.replace("meta.v1", "apis.meta.v1") for name in names)]


if __name__ == "__main__":
    print(json.dumps(reached(recorded([Path(each) for each in sys.argv[1:]]), roots()), separators=(",", ":")))
