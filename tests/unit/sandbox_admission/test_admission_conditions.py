"""Conditions: the expressions that we ship, and what becomes of those that fail or cannot be compiled."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission import conditions
from coalmine_sandbox.lab import MANIFESTS, read

(OURS,) = read(MANIFESTS / "base" / "webhook.yaml")
SHIPPED = {c["name"]: c for w in OURS["webhooks"] for c in w.get("matchConditions", ())}
NAMED = "0123456789abcdef"


def deployment(metadata: Object | None = None, *conditions_: Object) -> Object:
    return {"metadata": {"name": "d", **(metadata or {})}, "spec": {}, "status": {"conditions": list(conditions_)}}


PLAIN = deployment()
ANNOTATED = deployment({"annotations": {"coalmine.dev/canary": "auto"}})
STAMPED = deployment({"labels": {"coalmine.dev/rollout": "true"}})
GOING = deployment({"deletionTimestamp": "2026-01-01T00:00:00Z"})
ABORTED = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": f"canary {NAMED} aborted: x",
}
HELD = {"annotations": {"coalmine.dev/hold": NAMED}}


def match(condition: str | Object, obj: Any = None, old: Any = None) -> bool:
    found = {"name": "c", "expression": condition} if isinstance(condition, str) else condition
    return conditions.match([found], {"object": obj, "oldObject": old, "request": {"operation": "UPDATE"}})


@pytest.mark.parametrize(
    ("name", "obj", "old", "holds"),
    [
        ("ours", ANNOTATED, None, True),
        ("ours", PLAIN, ANNOTATED, True),
        ("ours", ANNOTATED, PLAIN, True),
        ("ours", STAMPED, PLAIN, True),
        ("ours", PLAIN, None, False),
        ("ours", PLAIN, PLAIN, False),
        ("ours", deployment({"annotations": {"a": "b"}, "labels": {"c": "d"}}), PLAIN, False),
        ("not-being-deleted", PLAIN, PLAIN, True),
        ("not-being-deleted", GOING, PLAIN, False),
        ("stale-abort", deployment({}, ABORTED), PLAIN, True),
        ("stale-abort", deployment({}, {"type": "Available", "status": "True"}, ABORTED), PLAIN, True),
        ("stale-abort", deployment(HELD, ABORTED), PLAIN, False),
        ("stale-abort", deployment({"annotations": {"coalmine.dev/hold": "f" * 16}}, ABORTED), PLAIN, True),
        ("stale-abort", deployment({}, {**ABORTED, "message": "ReplicaSet x has timed out"}), PLAIN, False),
        ("stale-abort", deployment({}, {"type": "Progressing", "status": "False"}), PLAIN, False),
        ("stale-abort", PLAIN, PLAIN, False),
        ("stale-abort", {"metadata": {}}, PLAIN, False),
    ],
)
def test_our_own_conditions(name: str, obj: Object, old: Object | None, holds: bool) -> None:
    before = copy.deepcopy((obj, old))
    assert match(SHIPPED[name], obj, old) is holds
    assert (obj, old) == before


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("object.spec.replicas + 1 == 6", True),
        ("object.spec.replicas > 4.5", True),
        ("request.operation == 'UPDATE'", True),
        ("oldObject == null", True),
        ("has(object.spec.nothing)", False),
        ("'k' in object.spec.labels && !('z' in object.spec.labels)", True),
        ("object.spec.list.all(each, each.startsWith('a'))", True),
        ("object.spec.list.map(each, size(each)) == [1, 2]", True),
        ("'a,b'.split(',').size() == 2 && 'AB'.lowerAscii() == 'ab'", True),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')", True),
        ("object.missing == 1 || true", True),
        ("false && object.missing == 1", False),
    ],
)
def test_the_language(expression: str, holds: bool) -> None:
    obj = {"spec": {"replicas": 5, "labels": {"k": "v"}, "list": ["a", "ab"]}}
    assert match(expression, obj) is holds


@pytest.mark.parametrize(
    ("expressions", "said"),
    [
        (["object.nosuch == 1"], "expression 'object.nosuch == 1' resulted in error: no such key: nosuch"),
        (["1 / object.zero == 1"], "expression '1 / object.zero == 1' resulted in error: division by zero"),
        (
            ["object.a == 1", "true", "object.b == 1"],
            "[expression 'object.a == 1' resulted in error: no such key: a, "
            "expression 'object.b == 1' resulted in error: no such key: b]",
        ),
    ],
)
def test_failures_are_told_as_the_real_one_tells_them(expressions: list[str], said: str) -> None:
    wanted = [{"name": "c", "expression": expression} for expression in expressions]
    with pytest.raises(conditions.ConditionError) as failed:
        conditions.match(wanted, {"object": {"zero": 0}, "oldObject": None, "request": {}})
    assert str(failed.value) == said


def test_one_that_says_false_outweighs_failures() -> None:
    wanted = [{"name": "a", "expression": "object.nosuch == 1"}, {"name": "b", "expression": "false"}]
    assert conditions.match(wanted, {"object": {}, "oldObject": None, "request": {}}) is False


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("true", ""),
        ("'a'", "must evaluate to bool but got string"),
        ("object.x", "must evaluate to bool but got dyn"),
        (
            "object.x +",
            "compilation failed: ERROR: <input>:1:11: Syntax error: mismatched input '<EOF>' expecting "
            "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
            "IDENTIFIER}\n | object.x +\n | ..........^",
        ),
        ("x" * 8193, "must not be longer than 8192 characters"),
    ],
)
def test_what_is_wrong_with_an_expression(expression: str, fault: str) -> None:
    assert conditions.fault(expression) == fault


def test_a_name_that_is_not_known_is_a_fault() -> None:
    assert "undeclared reference to 'nosuch" in conditions.fault("nosuch.x == 1")
    assert "undeclared reference to 'authorizer'" in conditions.fault("authorizer.allowed()")


def test_a_loop_over_loops_is_cut_off() -> None:
    """Conditions run in the server's own loop: an expensive one ends in an error."""
    loops = "object.l.all(a, object.l.all(b, object.l.all(c, a + b + c >= 0)))"
    with pytest.raises(conditions.ConditionError):
        match(loops, {"l": list(range(1000))})
