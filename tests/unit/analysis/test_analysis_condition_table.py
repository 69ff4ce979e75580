"""Conditions give what expr-lang gives: a table of cases whose outcomes the engine itself has said.

data/expr-cases.jsonl holds a case a line: its feature, the expression, the result that was measured
(JSON) and the outcome (true, false or error; not a bool is an error) of expr-lang v1.17.5 with the
variables and functions that Argo Rollouts gives it. To add cases, ask that engine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from coalmine_controller.analysis.conditions import Condition, ConditionError
from coalmine_controller.analysis.values import read_json

_LINES: Final = (Path(__file__).parent / "data" / "expr-cases.jsonl").read_text(encoding="utf-8").splitlines()
_CASES: Final[list[dict[str, Any]]] = [{**json.loads(line), "result": read_json(line)["result"]} for line in _LINES]
_FEATURES: Final = sorted({case["feature"] for case in _CASES})


def outcome(condition: str, result: Any) -> str:
    """What Coalmine says."""
    try:
        return "true" if Condition.parse(condition).holds(result) else "false"
    except ConditionError:
        return "error"


@pytest.mark.parametrize("feature", _FEATURES)
def test_the_outcome_is_the_engines(feature: str) -> None:
    cases = [case for case in _CASES if case["feature"] == feature]
    wrong = [
        f"{case['expr']!r} of {case['result']!r}: {found}, there {case['outcome']}"
        for case in cases
        if (found := outcome(case["expr"], case["result"])) != case["outcome"]
    ]
    assert cases
    assert wrong == []


def test_the_table_is_not_thin() -> None:
    assert len(_CASES) > 1000
    assert {case["outcome"] for case in _CASES} == {"true", "false", "error"}
