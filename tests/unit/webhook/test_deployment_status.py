"""Rule 9, and the condition that it is about."""

from __future__ import annotations

import pytest

from coalmine.model import names
from coalmine.model.condition import failed_fingerprint, failure_condition
from coalmine_webhook.review import Allowed, Patched, Review
from coalmine_webhook.status import decide_status

OLD, NEW = "a" * 16, "b" * 16
TIME = "2026-01-01T00:00:00Z"
ABORTED = failure_condition(OLD, "metric webcheck failed", TIME)
NATIVE = {**ABORTED, "message": 'ReplicaSet "web-1" has timed out progressing.'}
AVAILABLE = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "ok"}


def review(conditions, held, operation="UPDATE", subresource="status"):
    annotations = {} if held is None else {names.HOLD: held}
    obj = {"metadata": {"name": "web", "annotations": annotations}, "status": {"conditions": conditions}}
    return Review("1", operation, subresource, "shop", "web", "native", False, obj, obj)


@pytest.mark.parametrize(("held", "replaced"), [(OLD, False), (NEW, True), (None, True)])
def test_only_the_held_templates_failure_stands(apply, held, replaced):
    asked = review([AVAILABLE, ABORTED], held)
    outcome = decide_status(asked)
    condition = apply(asked.object, outcome)["status"]["conditions"][1]
    if replaced:
        assert (condition["status"], condition["reason"]) == ("Unknown", "DeploymentPaused")
        assert (condition["type"], condition["lastUpdateTime"]) == ("Progressing", TIME)
        assert decide_status(review([AVAILABLE, condition], held)) == Allowed()
    else:
        assert outcome == Allowed()


@pytest.mark.parametrize(
    "asked",
    [
        review([NATIVE], NEW),
        review([], NEW),
        review(None, NEW),
        review([ABORTED], NEW, operation="CREATE"),
        review([ABORTED], NEW, subresource=""),
        review([{**ABORTED, "type": "Available"}], NEW),
    ],
)
def test_everything_else_passes(asked):
    assert decide_status(asked) == Allowed()


def test_golden(golden):
    outcome = decide_status(review([AVAILABLE, ABORTED], NEW))
    assert isinstance(outcome, Patched)
    golden("patch-status", list(outcome.patch))


def test_the_condition_carries_its_fingerprint():
    assert ABORTED["message"] == f"canary {OLD} aborted: metric webcheck failed"
    assert failed_fingerprint(ABORTED) == OLD


@pytest.mark.parametrize(
    "condition",
    [
        NATIVE,
        {},
        {**ABORTED, "status": "Unknown"},
        {**ABORTED, "message": "canary aborted: x"},
        {**ABORTED, "message": f"canary {OLD.upper()} aborted: x"},
        {**ABORTED, "message": f"the canary {OLD} aborted: x"},
        {**ABORTED, "message": None},
    ],
)
def test_other_conditions_carry_none(condition):
    assert failed_fingerprint(condition) is None


def test_a_fingerprint_that_is_none_is_our_bug():
    with pytest.raises(ValueError, match="no fingerprint"):
        failure_condition("v3", "x", TIME)


def test_a_long_message_is_cut():
    condition = failure_condition(OLD, "x" * 5000, TIME)
    assert len(condition["message"]) == 1024
    assert failed_fingerprint(condition) == OLD
