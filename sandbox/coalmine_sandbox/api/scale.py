"""The scale subresource: an object's replicas as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any

from coalmine.kube.resources import Object
from coalmine_sandbox.api import selectors
from coalmine_sandbox.api.errors import invalid
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.selectors import field
from coalmine_sandbox.api.strategy.faults import negative

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(kind: Kind, obj: Object) -> Object:
    """The Scale of an object."""
    about = obj["metadata"]
    metadata = {key: about[key] for key in _KEPT if key in about}
    if kind.custom is None:
        spec: Any = obj.get("spec") or {}
        replicas, now = spec.get("replicas", 0), (obj.get("status") or {}).get("replicas", 0)
        selector = "" if spec.get("selector") is None else selectors.text_of(spec["selector"])
    else:
        wanted, status, selected = kind.custom.scale
        replicas, now = _number(obj, wanted), _number(obj, status)
        selector = field(obj, selected.strip(".")) if selected else ""
    said: Object = {"replicas": now}
    if selector:
        said["selector"] = selector
    scale: Object = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {}, "status": said}
    if replicas:
        scale["spec"] = {"replicas": replicas}
    return scale


def _number(obj: Object, path: str) -> int:
    said = field(obj, path.strip("."))
    return int(said) if said.lstrip("-").isdigit() else 0


def scaled(kind: Kind, obj: Object, scale: Object) -> Object:
    """The object with a Scale's replicas, at the version that the Scale names. Raises StatusError (422)."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if faults := negative("spec.replicas", replicas):
        raise invalid("Scale.autoscaling", obj["metadata"]["name"], faults)
    path = "spec.replicas" if kind.custom is None else kind.custom.scale[0].strip(".")
    metadata = {**obj["metadata"], "resourceVersion": scale["metadata"].get("resourceVersion")}
    if not metadata["resourceVersion"]:
        metadata["resourceVersion"] = obj["metadata"]["resourceVersion"]
    return {**_with(obj, path.split("."), replicas), "metadata": metadata}


def _with(value: Object, path: list[str], replicas: int) -> Object:
    head, *rest = path
    return {**value, head: _with(value.get(head) or {}, rest, replicas) if rest else replicas}
