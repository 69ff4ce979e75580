"""The objects of a kustomization as kustomize would build it, for the few features that ours uses.

Read here so that generating needs no kubectl; tests/unit/manifests compares with what kubectl makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

Object = dict[str, Any]
#: Kind and name of an object.
Where = tuple[str, str]
Step = str | int

WEBHOOK: Final[Where] = ("Deployment", "coalmine-webhook")
CONTROLLER: Final[Where] = ("Deployment", "coalmine-controller")
POD: Final[tuple[Step, ...]] = ("spec", "template", "spec")
CONTAINER: Final[tuple[Step, ...]] = (*POD, "containers", 0)


def load(folder: Path) -> list[Object]:
    """The objects of `folder`, in its order."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    objects: list[Object] = []
    for resource in kustomization["resources"]:
        path = folder / resource
        objects += load(path) if path.is_dir() else [each for each in yaml.safe_load_all(path.read_text()) if each]
    for image in kustomization.get("images", ()):
        for container in containers(objects):
            if container["image"] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
    if kustomization.get("replacements"):  # the one that we have: what is injected is the webhook's own image
        container = at(find(objects, WEBHOOK), CONTAINER)
        image_entry(container)["value"] = container["image"]
    return objects


def find(objects: Iterable[Object], where: Where) -> Object:
    """The object of that kind and name. Raises LookupError."""
    for obj in objects:
        if (obj["kind"], obj["metadata"]["name"]) == where:
            return obj
    raise LookupError(f"there is no {where[0]} {where[1]}")


def containers(objects: Iterable[Object]) -> Iterator[Object]:
    """The containers of all Deployments."""
    for obj in objects:
        if obj["kind"] == "Deployment":
            yield from at(obj, (*POD, "containers"))


def image_entry(container: Object) -> Object:
    """The variable that names the sidecars' image. Raises LookupError."""
    for entry in container.get("env", ()):
        if entry["name"] == "COALMINE_IMAGE":
            found: Object = entry
            return found
    raise LookupError(f"container {container['name']} has no COALMINE_IMAGE")


def at(value: Any, path: Iterable[Step]) -> Any:
    """What stands at `path`. Raises LookupError."""
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: tuple[Step, ...], new: Any) -> None:
    """Write `new` at `path`; mappings on the way are made."""
    for step in path[:-1]:
        value = value.setdefault(step, {}) if isinstance(value, dict) else value[step]
    value[path[-1]] = new
