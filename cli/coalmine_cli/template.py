"""A Deployment's pod template that is written by a person, and what becomes of it.

Rules: what happens is the webhook's decision and is read off the Deployment as it was stored. A
write is made on the version that was read: when only the status or annotations changed
meanwhile it is tried again, when the template did, or what is held or stable, it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.fingerprint import fingerprint
from coalmine.model.names import CANARY, FAILED, HOLD, STABLE
from coalmine.model.reasons import Reason, say

if TYPE_CHECKING:
    from coalmine.kube.resources import Object
    from coalmine_cli.cluster import Cluster

#: The controller writes the Deployment a few times a second at most.
_TRIES: Final = 5


def consequence(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What the webhook made of it, read off the Deployment as it was stored."""
    name, spec = after["metadata"]["name"], after["spec"]
    was, annotations = (one["metadata"].get("annotations") or {} for one in (before, after))
    if CANARY not in annotations:
        return f"it has no annotation {CANARY}, so it is updated natively"
    print_ = fingerprint(spec["template"])
    if annotations.get(HOLD) == print_:
        images = ", ".join(str(c.get("image")) for c in spec["template"]["spec"]["containers"])
        if annotations.get(FAILED) == print_:
            return say(Reason.STILL_FAILED, images=images, name=name)
        under_way = HOLD in was and was[HOLD] != was.get(FAILED)
        return say(Reason.HELD, images=images, name=name) + "; the canary before it is given up" * under_way
    if HOLD in was:
        return say(Reason.RELEASED)
    if spec.get("paused"):
        return say(Reason.USER_PAUSED)
    return say(Reason.NATIVE_UPDATE)


def is_held(deployment: Mapping[str, Any]) -> bool:
    """Whether the template is a canary's, or that of one that was taken back."""
    return HOLD in (deployment["metadata"].get("annotations") or {})


async def write(
    cluster: Cluster, deployment: Object, template: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[Object, Object]:
    """Give the Deployment the template that `template` makes of its current one; before and after.

    Nothing else of it is written: `kubectl rollout undo` replaces its annotations too.
    Raises SpecError when somebody else changed the template meanwhile, or a rollout began or ended; ApiError.
    """
    from coalmine.kube.resources import DEPLOYMENTS, annotations_of, name_of, resource_version_of
    from coalmine.kube.verbs import JSON_PATCH, ConflictError

    def standing(found: Object) -> tuple[str | None, str | None]:
        return annotations_of(found).get(HOLD), annotations_of(found).get(STABLE)

    name, first, stood = name_of(deployment), fingerprint(deployment["spec"]["template"]), standing(deployment)
    for _ in range(_TRIES):
        patch = [
            # the one way to make a JSON patch conditional: another version is answered 409
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version_of(deployment)},
            {"op": "replace", "path": "/spec/template", "value": template(deployment["spec"]["template"])},
        ]
        try:
            return deployment, await cluster.client.patch(DEPLOYMENTS, cluster.namespace, name, patch, kind=JSON_PATCH)
        except ConflictError as error:
            if error.reason != "Conflict":
                raise  # a refusal of the webhook: the handover has begun
        deployment = await cluster.deployment(name)
        if fingerprint(deployment["spec"]["template"]) != first:
            raise SpecError("", f"somebody changed the template of {name} meanwhile", "look at it and try again")
        if standing(deployment) != stood:
            raise SpecError("", f"a rollout of {name} began or ended meanwhile", "look at it and try again")
    raise RemoteError(f"the Deployment {name} changes too often to be written: try again")
