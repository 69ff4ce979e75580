"""The review of ``deployments/status`` (rule 9): an abort must not fail the next release.

PURE. The failure condition that an abort left names the template it is about. Once another one is held, or
none, it is replaced by what the native controller writes for a paused Deployment: the very status
write with which that controller raises observedGeneration passes here, so that ``kubectl set image``
followed at once by ``kubectl rollout status`` waits. On a Deployment that is not paused any more the
native controller turns ``DeploymentPaused`` into ``DeploymentResumed`` by itself, with a time of
its own; we have no clock here, and no times are touched.
"""

from __future__ import annotations

from coalmine.kube.resources import annotations_of
from coalmine.model.condition import PAUSED_MESSAGE, PAUSED_REASON, failed_fingerprint
from coalmine.model.names import HOLD
from coalmine_webhook.patch import Operation, replace
from coalmine_webhook.review import Allowed, Outcome, Review, allowed_or_patched


def decide_status(review: Review) -> Outcome:
    """The answer to a review of a Deployment's status."""
    if review.operation != "UPDATE" or review.subresource != "status" or review.object is None:
        return Allowed()
    held = annotations_of(review.object).get(HOLD)
    operations: list[Operation] = []
    conditions = (review.object.get("status") or {}).get("conditions") or ()
    for index, condition in enumerate(conditions):
        about = failed_fingerprint(condition)
        if about is None or about == held:
            continue
        path = ("status", "conditions", index)
        operations += [
            replace(PAUSED_MESSAGE, *path, "message"),
            replace(PAUSED_REASON, *path, "reason"),
            replace("Unknown", *path, "status"),
        ]
    return allowed_or_patched(tuple(operations))
