"""Who owns an object: controller references, and which objects a controller takes for its own. Pure.

The rules are those of controller_ref_manager.go: an object with a controller belongs to that one,
whatever its labels; the controller's own is released when its labels no longer match; one without
a controller is adopted when they do, unless either of both is on its way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from coalmine.kube.resources import Object, controller_of, labels_of, name_of, uid_of
from coalmine_sandbox.api.selectors import Selector


class Claims(NamedTuple):
    """What a look at the objects says: which are owned, which are to be adopted and which released."""

    owned: list[Object]
    adopt: list[Object]
    release: list[Object]


def is_deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def controlled_by(obj: Object, owner: Object) -> bool:
    """metav1.IsControlledBy."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == uid_of(owner)


def controller_reference(owner: Object) -> Object:
    """metav1.NewControllerRef."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selects(selector: Selector | None, obj: Object) -> bool:
    """Whether a controller's selector matches; an empty one matches nothing here."""
    return selector is not None and bool(selector.requirements) and selector.matches(labels_of(obj))


def claims(owner: Object, selector: Selector | None, objects: Iterable[Object]) -> Claims:
    """Sort `objects` of the owner's namespace."""
    found = Claims([], [], [])
    for obj in objects:
        matches = selects(selector, obj)
        if controller_of(obj) is not None:
            if not controlled_by(obj, owner):
                continue
            if matches:
                found.owned.append(obj)
            elif not is_deleting(owner):
                found.release.append(obj)
        elif matches and not is_deleting(owner) and not is_deleting(obj):
            found.adopt.append(obj)
    return found
