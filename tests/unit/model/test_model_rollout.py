"""The Rollout's status and wishes: written and read back, and read when a person wrote them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model.durations import format_time, parse_time
from coalmine.model.rollout import Condition, Phase, Promotion, Replicas, Revision, Status, Wish, Wishes
from coalmine.model.weights import Weight

_TEXT = st.text(max_size=10)
_COUNT = st.integers(0, 1 << 40)
#: Times as they are stored: to the microsecond.
_TIME = st.floats(0, 4e9).map(lambda t: parse_time(format_time(t)))
_MAYBE = st.none() | _TIME
_REVISION = st.builds(Revision, _TEXT, _TEXT, _COUNT, st.lists(_TEXT, max_size=2).map(tuple))
_WEIGHT = st.builds(Weight, st.integers(0, 10_000))
_STATUS = st.builds(
    Status,
    phase=st.sampled_from(Phase),
    reason=_TEXT,
    message=_TEXT,
    observed_generation=_COUNT,
    workload_generation=_COUNT,
    stable=_REVISION,
    canary=st.none() | _REVISION,
    attempt=_COUNT,
    step=_COUNT,
    steps=_COUNT,
    step_started_at=_MAYBE,
    weight=_WEIGHT,
    actual_weight=_WEIGHT,
    control=st.lists(_TEXT, max_size=3).map(tuple),
    routed=st.booleans(),
    full_at=_MAYBE,
    full_promotion=st.booleans(),
    aborted_at=_MAYBE,
    abort_reason=_TEXT,
    abort_message=_TEXT,
    progressed_at=_MAYBE,
    best_available=_COUNT,
    handover_at=_MAYBE,
    withdrawn_at=_MAYBE,
    analysis_run=_TEXT,
    analysis_runs=_COUNT,
    strategy=_TEXT,
    waiting=st.booleans(),
    bare_at=_MAYBE,
    replicas=st.builds(Replicas, _COUNT, _COUNT, _COUNT, _COUNT, _COUNT),
    conditions=st.lists(st.builds(Condition, _TEXT, st.booleans(), _TEXT, _TEXT, _TIME), max_size=2).map(tuple),
)


@settings(deadline=None)
@given(_STATUS)
def test_a_status_comes_back(status: Status) -> None:
    stored = json.loads(json.dumps(status.to_json()))
    assert Status.from_json(stored) == status
    assert Status.from_json(stored).to_json() == stored, "what was not changed is not written again"


def test_a_rollout_that_was_just_made() -> None:
    assert Status.from_json({}) == Status()


@pytest.mark.parametrize(("step", "steps", "text"), [(0, 0, "0/0"), (1, 4, "1/4"), (4, 4, "4/4"), (9, 4, "4/4")])
def test_step_text(step: int, steps: int, text: str) -> None:
    assert Status(step=step, steps=steps).step_text == text


EDITED: dict[str, dict[str, Any]] = {
    "a phase of nobody": {"phase": "Sleeping"},
    "no phase": {"phase": None},
    "a weight above": {"weight": 120},
    "a weight that is no number": {"actualWeight": "many"},
    "a step before the first": {"step": -1},
    "a step in between": {"step": 1.5},
    "a step as text": {"step": "1"},
    "a flag for a count": {"attempt": True},
    "a count without end": {"observedGeneration": 1e300},
    "a time without a zone": {"abortedAt": "2020-01-01T00:00:00"},
    "no time": {"stepStartedAt": "yesterday"},
    "a time as a number": {"fullAt": 5},
    "the stable revision as text": {"stable": "v1"},
    "the canary as text": {"canary": "v2"},
    "a revision as text": {"canary": {"revision": "two"}},
    "control as a number": {"control": 5},
    "conditions as text": {"conditions": "fine"},
    "a condition without its type": {"conditions": [{"status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]},
    "a condition without its time": {"conditions": [{"type": "A", "status": "True"}]},
    "replicas as a list": {"replicas": []},
}


@pytest.mark.parametrize("change", EDITED.values(), ids=EDITED)
def test_a_status_that_somebody_edited_raises_value_error(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Status.from_json({**Status(canary=Revision()).to_json(), **change})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_a_status_from_before_there_were_two_generations() -> None:
    old = {**Status(observed_generation=1, workload_generation=3).to_json(), "observedGeneration": 3}
    del old["workloadObservedGeneration"]
    assert Status.from_json(old).workload_generation == 3


_FULL = Status(canary=Revision(), conditions=(Condition("A", True, "", "", 0.0),), step_started_at=1.0).to_json()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(_FULL)), _JSON)
def test_any_edited_field_is_read_or_raises_value_error(key: str, value: Any) -> None:
    raw = copy.deepcopy(_FULL)
    raw[key] = value
    try:
        status = Status.from_json(raw)
    except ValueError:
        return
    assert Status.from_json(status.to_json()) == status


WISH = {"revision": "f", "attempt": 2}


def test_wishes() -> None:
    spec = {"paused": WISH, "abort": WISH, "retry": WISH, "promote": {**WISH, "step": 1, "full": True}}
    wish = Wish("f", 2)
    assert Wishes.from_json(spec) == Wishes(wish, wish, Promotion(wish, 1, True), wish)
    assert wish.to_json() == WISH
    assert Promotion(wish, 1, False).to_json() == {**WISH, "step": 1, "full": False}


@pytest.mark.parametrize(
    "raw",
    [
        None,
        True,
        "yes",
        5,
        [],
        {},
        {"revision": "f"},
        {"attempt": 2},
        {"revision": 5, "attempt": 2},
        {"revision": "f", "attempt": "2"},
        {"revision": "f", "attempt": True},
        {"revision": None, "attempt": None},
    ],
    ids=str,
)
def test_what_is_no_complete_wish_does_nothing(raw: object) -> None:
    spec = {"paused": raw, "abort": raw, "promote": raw, "retry": raw}
    assert Wishes.from_json(spec) == Wishes()


@pytest.mark.parametrize(
    ("raw", "step", "full"),
    [
        ({}, -1, False),
        ({"step": 0}, 0, False),
        ({"step": "0"}, -1, False),
        ({"step": True}, -1, False),
        ({"full": True}, -1, True),
        ({"full": "false"}, -1, False),
        ({"full": 1}, -1, False),
        ({"full": None}, -1, False),
    ],
)
def test_promotions_written_by_hand(raw: dict[str, Any], step: int, full: bool) -> None:
    assert Promotion.read({**WISH, **raw}) == Promotion(Wish("f", 2), step, full)


@given(st.dictionaries(st.sampled_from(["paused", "abort", "promote", "retry"]), _JSON))
def test_any_spec_is_read(spec: dict[str, Any]) -> None:
    assert isinstance(Wishes.from_json(spec), Wishes)
