"""The review of a Pod: what its ReplicaSet says of it, and then injection.

PURE; `role` fetches the ReplicaSet. A pod carries its template's annotations, and the template is
not ours to write to (a choice that lived there would change it with each change of the
annotation). So the port, the local paths and the settings are read where the native controller, and ours, copy
the Deployment's annotations: on the owner ReplicaSet, which also tells a canary.

A pod that no ReplicaSet made (by hand, a Job's, a StatefulSet's) carries our label by accident: the controller would
never tell its sidecar anything, and a Job's would never end. It is let be.

Without the ReplicaSet (the API server did not answer in time) the pod gets the defaults and is a canary:
it becomes ready only once configured, so it cannot take a share that nobody weighed.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.kube.resources import Object, annotations_of, controller_of
from coalmine.model.errors import SpecError
from coalmine.model.names import DEPLOYMENT_NAME, LABEL_TRUE, ROLE, ROLE_CANARY, SIDECAR_LABEL
from coalmine.model.reasons import Reason
from coalmine_webhook.facts import template_labels
from coalmine_webhook.inject import inject, skip
from coalmine_webhook.ports import DEFAULTS, Options, read_options
from coalmine_webhook.review import Allowed, Outcome, Review
from coalmine_webhook.sidecar import Settings


def wants_sidecar(review: Review) -> bool:
    """Whether this is the creation of a pod with our stamp (the webhook's objectSelector, said again)."""
    return (
        review.operation == "CREATE"
        and not review.subresource
        and review.object is not None
        and template_labels(review.object).get(SIDECAR_LABEL) == LABEL_TRUE
    )


def owner_of(pod: Object) -> str | None:
    """Name of the ReplicaSet that made the pod; None for a pod that somebody made by hand."""
    owner = controller_of(pod)
    return str(owner["name"]) if owner is not None and owner.get("kind") == "ReplicaSet" else None


def decide_pod(review: Review, replica_set: Object | None, settings: Settings) -> Outcome:
    """The answer to a review of a Pod; `replica_set` is its owner, None when unknown."""
    if not wants_sidecar(review) or review.object is None:
        return Allowed()
    if owner_of(review.object) is None:
        return skip(review.object, Reason.SKIP_NO_DEPLOYMENT)
    if replica_set is None:
        return inject(review.object, settings, DEFAULTS, canary=True)
    annotations = annotations_of(replica_set)
    options = replace(_options(annotations), workload=_deployment_of(replica_set))
    return inject(review.object, settings, options, canary=annotations.get(ROLE) == ROLE_CANARY)


def _deployment_of(replica_set: Object) -> str:
    """Name of the Deployment; a canary's ReplicaSet is hidden from it and says it in an annotation."""
    owner = controller_of(replica_set)
    if owner is not None and owner.get("kind") == "Deployment":
        return str(owner["name"])
    return annotations_of(replica_set).get(DEPLOYMENT_NAME, "")


def _options(annotations: dict[str, str]) -> Options:
    """Read one by one. A bad one is a copy of what the Deployment webhook refuses today, from before its time:
    a pod is never stopped, and it is as if that one alone were not there."""
    return read_options({key: text for key, text in annotations.items() if _is_good(key, text)})


def _is_good(key: str, text: str) -> bool:
    try:
        read_options({key: text})
    except SpecError:
        return False
    return True
