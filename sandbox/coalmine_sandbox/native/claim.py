"""Adopting and releasing: the writes by which a controller's objects become its own and cease to be."""

from __future__ import annotations

from collections.abc import Iterable

from coalmine.kube.resources import Object, Resource, name_of, namespace_of, uid_of
from coalmine.kube.verbs import STRATEGIC, NotFoundError, Verbs
from coalmine_sandbox.api.selectors import Selector
from coalmine_sandbox.native.owners import claims, controller_reference, is_deleting
from coalmine_sandbox.native.work import AgainError


async def claim(
    api: Verbs,
    owner: Object,
    resources: tuple[Resource, Resource],
    selector: Selector | None,
    objects: Iterable[Object],
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


async def _reference(api: Verbs, resource: Resource, obj: Object, reference: Object) -> Object | None:
    """Merge one owner reference into `obj`; None when it is gone."""
    # a uid in a patch is a precondition
    patch = {"metadata": {"uid": uid_of(obj), "ownerReferences": [reference]}}
    try:
        return await api.patch(resource, namespace_of(obj), name_of(obj), patch, kind=STRATEGIC)
    except NotFoundError:
        return None
