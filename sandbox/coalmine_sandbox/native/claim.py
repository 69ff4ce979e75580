"""Which objects a controller takes for its own: controller references and how they come and go.

The rules are those of controller_ref_manager.go: an object with a controller belongs to that one,
whatever its labels; the controller's own is released when its labels no longer match; one without
a controller is adopted when they do, unless either of both is on its way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from coalmine.kube.client import STRATEGIC, NotFoundError
from coalmine.kube.resources import Object, Resource, controller_of, labels_of, name_of, namespace_of, uid_of
from coalmine_sandbox.api.selectors import Selector
from coalmine_sandbox.native.client import Api
from coalmine_sandbox.native.work import AgainError


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


def claims(owner: Object, selector: Selector | None, objects: Iterable[Object]) -> Claims:
    """Sort `objects` of the owner's namespace. An empty selector matches nothing here."""
    found = Claims([], [], [])
    for obj in objects:
        matches = selector is not None and bool(selector.requirements) and selector.matches(labels_of(obj))
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


async def claim(
    api: Api, owner: Object, resources: tuple[Resource, Resource], selector: Selector | None, objects: Iterable[Object]
) -> tuple[list[Object], list[Object]]:
    """Adopt and release as `claims` says; what is owned now, and the answers to the writes.

    `resources` are the owner's and the objects'. Raises ApiError when a write fails, AgainError
    when the owner is not what it seemed: nothing is adopted by what is on its way out.
    """
    of_owner, resource = resources
    found = claims(owner, selector, objects)
    owned, written = found.owned, []
    if found.adopt:
        fresh = await api.get(of_owner, namespace_of(owner), name_of(owner))
        if uid_of(fresh) != uid_of(owner) or is_deleting(fresh):
            raise AgainError(f"{name_of(owner)} is gone or going")
    for obj in found.adopt:
        # merged by uid: a reference to the owner that does not control becomes the one that does
        answer = await _reference(api, resource, obj, controller_reference(owner))
        if answer is not None:
            owned.append(answer)
            written.append(answer)
    for obj in found.release:
        answer = await _reference(api, resource, obj, {"$patch": "delete", "uid": uid_of(owner)})
        if answer is not None:
            written.append(answer)
    return owned, written


async def _reference(api: Api, resource: Resource, obj: Object, reference: Object) -> Object | None:
    """Merge one owner reference into `obj`; None when it is gone."""
    # a uid in a patch is a precondition
    patch = {"metadata": {"uid": uid_of(obj), "ownerReferences": [reference]}}
    try:
        return await api.patch(resource, namespace_of(obj), name_of(obj), patch, kind=STRATEGIC)
    except NotFoundError:
        return None
