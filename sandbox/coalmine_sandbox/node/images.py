"""What stands for an image: a command on this machine.

An images file maps patterns of image names to what their containers run::

    images:
    - name: "particule/simplecolorapi:*"
      command: ["{python}", "{folder}/colorapi.py", "--release", "{image.tag}", "--host", "{pod.ip}"]
      env: {COLOR: "{image.tag}"}
      executables: [bin]

The first pattern that matches holds. Placeholders: ``{pod.ip}``, ``{image.tag}``, ``{python}`` (the
interpreter that runs the agent), ``{folder}`` (of the file). `executables` come first in PATH.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from coalmine.model.errors import SpecError

_FIELDS: Final = {"name", "command", "env", "executables"}


class UnknownImageError(Exception):
    """No pattern matches: what a pull of a missing image is elsewhere."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a container of an image runs unless the pod says otherwise."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    executables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    pattern: str
    image: Image
    folder: Path


class Images:
    """The entries of some images files, in order."""

    def __init__(self, entries: Iterable[_Entry] = ()) -> None:
        self._entries = tuple(entries)

    @classmethod
    def load(cls, files: Iterable[Path]) -> Images:
        """Raises SpecError that names the file and the field."""
        return cls(entry for file in files for entry in _read(file))

    def resolve(self, name: str, address: str) -> Image:
        """What `name` stands for in a pod with this address. Raises UnknownImageError."""
        for entry in self._entries:
            if fnmatchcase(name, entry.pattern):
                values = {
                    "{pod.ip}": address,
                    "{image.tag}": tag(name),
                    "{python}": sys.executable,
                    "{folder}": str(entry.folder),
                }
                image = entry.image
                return Image(
                    tuple(_fill(part, values) for part in image.command),
                    {key: _fill(value, values) for key, value in image.env.items()},
                    tuple(str(entry.folder / _fill(part, values)) for part in image.executables),
                )
        known = ", ".join(entry.pattern for entry in self._entries) or "none"
        raise UnknownImageError(f'image "{name}" is in no images file (known: {known})')


def tag(name: str) -> str:
    """The tag of an image name, ``latest`` when it has none; a digest is no tag."""
    last = name.partition("@")[0].rpartition("/")[2]
    return last.partition(":")[2] or "latest"


def _fill(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _read(file: Path) -> Iterable[_Entry]:
    try:
        raw = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(str(file), f"cannot be read: {error}", "write a YAML file with a list of images") from error
    entries = raw.get("images") if isinstance(raw, dict) else None
    if not isinstance(entries, list):
        raise SpecError(str(file), "there is no list of images", "write images: [{name: ..., command: [...]}]")
    for index, entry in enumerate(entries):
        path = f"{file}: images[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise SpecError(f"{path}.name", "is missing", 'write a pattern such as "example/app:*"')
        if unknown := sorted(str(field) for field in set(entry) - _FIELDS):
            raise SpecError(f"{path}.{unknown[0]}", "is unknown", f"write one of {', '.join(sorted(_FIELDS))}")
        env = entry.get("env") or {}
        if not isinstance(env, dict):
            raise SpecError(f"{path}.env", "is not a mapping", "write NAME: value")
        image = Image(
            _strings(entry.get("command"), f"{path}.command"),
            {str(key): "" if value is None else str(value) for key, value in env.items()},
            _strings(entry.get("executables"), f"{path}.executables"),
        )
        yield _Entry(entry["name"], image, file.parent.absolute())


def _strings(raw: Any, path: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or not all(isinstance(part, str) for part in raw):
        raise SpecError(path, f"{raw!r} is not a list of texts", 'write ["a", "b"]')
    return tuple(raw)
