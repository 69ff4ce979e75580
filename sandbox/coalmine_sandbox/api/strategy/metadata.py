"""What every object's metadata must hold to (apimachinery's ValidateObjectMeta and ValidateObjectMetaUpdate). Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.errors import Cause
from coalmine_sandbox.api.strategy import names
from coalmine_sandbox.api.strategy.faults import forbidden, immutable, invalid, required, too_long

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
#: apimachinery's TotalAnnotationSizeLimitB: all annotations together, keys included.
_ANNOTATIONS: Final = 256 * 1024


def validate(obj: Object, name_faults: Callable[[str], list[str]]) -> list[Cause]:
    """Faults of an object's metadata."""
    metadata = obj["metadata"]
    faults: list[Cause] = []
    name = metadata.get("name") or ""
    if not name:
        faults.append(required("metadata.name", "name or generateName is required"))
    else:
        faults += [invalid("metadata.name", name, fault) for fault in name_faults(name)]
    faults += label_faults(metadata.get("labels"), "metadata.labels")
    faults += annotation_faults(metadata.get("annotations"))
    faults += _owners(metadata.get("ownerReferences") or ())
    finalizers = metadata.get("finalizers") or []
    for finalizer in finalizers:
        faults += [invalid("metadata.finalizers", finalizer, fault) for fault in names.qualified(finalizer)]
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        detail = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        faults.append(invalid("metadata.finalizers", finalizers, detail))
    return faults


def label_faults(found: dict[str, str] | None, path: str) -> list[Cause]:
    faults = []
    for key, value in (found or {}).items():
        faults += [invalid(path, key, fault) for fault in names.qualified(key)]
        faults += [invalid(path, value, fault) for fault in names.label_value(value)]
    return faults


def annotation_faults(found: dict[str, str] | None, path: str = "metadata.annotations") -> list[Cause]:
    faults = []
    size = 0
    for key, value in (found or {}).items():
        faults += [invalid(path, key, fault) for fault in names.qualified(key.lower())]
        size += len(key.encode()) + len(value.encode())
    if size > _ANNOTATIONS:
        faults.append(too_long(path, _ANNOTATIONS))
    return faults


def _owners(owners: Any) -> list[Cause]:
    path = "metadata.ownerReferences"
    faults = []
    controller = ""
    for owner in owners:
        if not owner.get("apiVersion"):
            faults.append(invalid(f"{path}.apiVersion", "", "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                faults.append(invalid(f"{path}.{field}", "", "must not be empty"))
        if owner.get("controller"):
            this = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                detail = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {this}'
                )
                faults.append(invalid(path, owners, detail))
            controller = controller or this
    return faults


def validate_update(new: Object, old: Object) -> list[Cause]:
    """Faults of a change of metadata."""
    now, was = new["metadata"], old["metadata"]
    faults = []
    if was.get("deletionTimestamp"):
        known = was.get("finalizers") or []
        if extra := sorted(set(now.get("finalizers") or ()) - set(known)):
            listed = ", ".join(f'"{each}"' for each in extra)
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            faults.append(forbidden("metadata.finalizers", detail))
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        faults += immutable(f"metadata.{field}", now.get(field), was.get(field))
    return faults
