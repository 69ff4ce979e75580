"""The review of a Deployment: the rules of `hold`, the checks of `validate`, as one JSON patch.

PURE, and the same answer for the same review: no clock, no randomness, and nothing asked of the cluster
but the access modes that are passed in. ``dryRun`` therefore needs no rule of its own.
"""

from __future__ import annotations

from typing import Any

from coalmine.kube.resources import Object, annotations_of
from coalmine.model.names import (
    CONTROLLER_USER,
    LABEL_TRUE,
    OWN_ANNOTATIONS,
    ROLLOUT_LABEL,
    SIDECAR_LABEL,
)
from coalmine.model.reasons import Reason
from coalmine.model.strategy import Strategy
from coalmine_webhook import hold
from coalmine_webhook.facts import Facts, facts, template_labels
from coalmine_webhook.patch import Operation, add, members, remove, replace
from coalmine_webhook.review import (
    Allowed,
    Denied,
    Notice,
    Outcome,
    Refused,
    Review,
    allowed_or_patched,
    notice,
)
from coalmine_webhook.validate import NO_CLAIMS, Claims, check, claims_of, is_due


def decide(review: Review, claims: Claims = NO_CLAIMS) -> Outcome:
    """The answer to a review of a Deployment."""
    if not _is_ours(review) or review.object is None:
        return Allowed()
    try:
        return _decide(review, review.object, claims)
    except Refused as refused:
        return Denied(refused.reason, refused.message, refused.code)


def claims_to_read(review: Review) -> tuple[str, ...]:
    """Names of the PersistentVolumeClaims whose access modes `decide` wants to know."""
    if not _is_ours(review) or review.object is None:
        return ()
    new, old = facts(review.object), facts(review.old) if review.old else None
    return claims_of(new.template) if is_due(review.object, new, review.old, old) else ()


def _is_ours(review: Review) -> bool:
    # rule 8: what is being deleted is let go of, whatever it looks like
    return (
        review.operation in ("CREATE", "UPDATE")
        and not review.subresource
        and review.object is not None
        and review.object["metadata"].get("deletionTimestamp") is None
    )


def _decide(review: Review, deployment: Object, claims: Claims) -> Outcome:
    old = facts(review.old) if review.operation == "UPDATE" and review.old else None
    new = hold.undo_first_pass(facts(deployment), old)
    if old is None:
        verdict = hold.create(new)
    else:
        verdict = hold.update(old, new, review.name, by_controller=review.user == CONTROLLER_USER)
    notices = verdict.notices
    if is_due(deployment, new, review.old, old):
        strategy = check(deployment, new, claims)
        notices += _strategy_notice(old, new, strategy)
    return allowed_or_patched(_patch(deployment, verdict.keys), notices)


def _strategy_notice(old: Facts | None, new: Facts, strategy: Strategy) -> tuple[Notice, ...]:
    # `kubectl rollout undo` brings back the old revision's strategy along with its template
    if old is None or old.canary is None or old.canary == new.canary:
        return ()
    if not hold.edited(old, new):
        return ()
    shown = ", ".join(str(step) for step in strategy.steps) or "no steps"
    if strategy.analysis is not None:
        shown += "; analysis " + ", ".join(t.name for t in strategy.analysis.templates)
    return (notice(Reason.STRATEGY_CHANGED, strategy=shown),)


def _patch(deployment: Object, keys: hold.Keys) -> tuple[Operation, ...]:
    """From what came in to what must stand; nothing else of the object is touched."""
    metadata = deployment["metadata"]
    spec: dict[str, Any] = deployment.get("spec") or {}
    operations = [
        *members(metadata.get("annotations"), _own(deployment, keys), "metadata", "annotations"),
        *members(metadata.get("labels"), {ROLLOUT_LABEL: LABEL_TRUE if keys.labelled else None}, "metadata", "labels"),
    ]
    if keys.paused and spec.get("paused") is not True:
        operations.append(replace(True, "spec", "paused") if "paused" in spec else add(True, "spec", "paused"))
    if not keys.paused and spec.get("paused") is True:
        # removed, not set to false: false would be a value that somebody wrote
        operations.append(remove("spec", "paused"))
    template = spec.get("template") or {}
    stamp = {SIDECAR_LABEL: LABEL_TRUE if keys.stamped else None}
    if template.get("metadata") is None:
        if keys.stamped:
            operations.append(add({"labels": stamp}, "spec", "template", "metadata"))
    else:
        before = template_labels(template) if template["metadata"].get("labels") is not None else None
        operations += members(before, stamp, "spec", "template", "metadata", "labels")
    return tuple(operations)


def _own(deployment: Object, keys: hold.Keys) -> dict[str, str | None]:
    standing = annotations_of(deployment)
    return {key: keys.own.get(key) for key in OWN_ANNOTATIONS if key in standing or key in keys.own}
