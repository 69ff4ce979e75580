"""Every condition ends: bounds of text, depth, parts, elements, strings, steps and patterns.

No test here looks at a clock: the bounds are counted, and so an evaluation that passes them raises.
"""

from __future__ import annotations

from typing import Any

import pytest

from coalmine_controller.analysis.conditions import Condition, ConditionError, budget
from coalmine_controller.analysis.conditions.budget import MAX_ELEMENTS, MAX_STRING
from coalmine_controller.analysis.conditions.lexer import MAX_TEXT
from coalmine_controller.analysis.conditions.parser import MAX_DEPTH, MAX_NODES


def problem(condition: str, result: Any = None) -> str:
    """The sentence of the error that the condition is."""
    with pytest.raises(ConditionError) as caught:
        Condition.parse(condition).holds(result)
    return caught.value.problem


@pytest.mark.parametrize(
    "chain",
    [
        " && ".join(["result.n > 0"] * 1500),
        "1" + " + result.n" * 2000 + " > 0",
        "result" + "?.a" * 3000 + " == nil",
        "result" + "?.['a']" * 2000 + " == nil",
        "result.l" + "[0:]" * 2000 + " == [1]",
        "result.l" + " | reverse()" * 2000 + " | len() == 1",
        "result.l" + " | filter(true)" * 1500 + " | len() == 1",
        "result.l" + " | map(#)" * 1500 + " | len() == 1",
        "(result.x" + " ?? result.x" * 2000 + ") == nil",
        "0" + " < result.n" * 2 + " || true" * 3000,
        "sum([" + ", ".join(["result.n"] * 3000) + "]) == 3000",
        "not (1" + " not in [1] || 1" * 1000 + " == 2)",
    ],
    ids=lambda chain: chain[:30],
)
def test_long_chains_are_not_nesting(chain: str) -> None:
    assert isinstance(Condition.parse(chain).holds({"n": 1.0, "l": [1.0]}), bool)


@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        ("(", "true", ")"),
        ("!", "true", ""),
        ("all([1], ", "true", ")"),
        ("any([1], {", "true", "})"),
        ("if true {", "true", "} else {false}"),
        ("false ? false : ", "true", ""),
        ("nil == [", "1", "]"),
        ("nil == {a: ", "1", "}"),
        ("nil == map([1], {", "1", "})"),
        ("nil == sortBy([1], ", "1", ")"),
        ("nil == concat(", "[1]", ")"),
        ("nil == filter(", "[1]", ", true)"),
        ("nil == result[", "0", "]"),
        ("nil == result[", "0", ":1][0]"),
        ("let a_ = 1; ", "true", ""),
    ],
)
def test_nesting_is_bounded_and_what_is_allowed_does_not_overflow(opening: str, inner: str, closing: str) -> None:
    prefix = "nil == " if opening.startswith("nil == ") else ""
    repeated = opening.removeprefix(prefix)

    def nested(depth: int) -> str:
        levels = (repeated.replace("a_", f"a{level}") for level in range(depth))
        return prefix + "".join(levels) + inner + closing * depth

    for depth in (1, MAX_DEPTH // 2, MAX_DEPTH - 3):
        Condition.parse(nested(depth)).holds([0.0])
    assert "levels deep" in problem(nested(MAX_DEPTH + 2))


def test_the_text_and_its_parts_are_bounded() -> None:
    assert "too many" in problem("true" + " " * MAX_TEXT)
    assert f"more than {MAX_NODES} parts" in problem("result" + " + 1" * MAX_NODES + " > 0", 1.0)


@pytest.mark.parametrize(
    "condition",
    [
        "all(1..9999, {all(1..9999, {true})})",
        "all(1..999, {all(1..999, {all(1..999, {# > 0})})})",
        "len(uniq(1..99999)) > 1",
        "all(1..9999, {999999.5 not in 1..99999})",
        "all(1..9999, {result.long contains 'b' == false})",
        "all(1..9999, {result.long != result.other})",
        "all(1..9999, {{a: result.long} != {a: result.other}})",
        "all(1..9999, {upper(result.long) != 'é'})",
        "all(1..9999, {result.long[1:] != ''})",
        "all(1..9999, {count(result.long, true) > 1})",
        "all(1..9999, {len(result.list[1:]) > 0})",
        "all(1..9999, {take(result.list, 99999) != nil})",
        "all(1..9999, {-1 not in result.list})",
        "all(1..9999, {result.list == result.list})",
        "all(1..9999, {len(sort(result.list)) > 0})",
        "all(1..9999, {max(result.list) == 0})",
        "all(1..9999, {median(result.list) == 0})",
        "all(1..9999, {len(string(result.list)) > 0})",
        "all(1..9999, {'a' not matches ('b' + string(#))})",
        "all(1..9999, {result.long not matches 'b{900}'})",
        "let a = reduce(1..60, {[#acc, #acc]}, [1]); let b = reduce(1..60, {[#acc, #acc]}, [1]); a == b",
        "let a = reduce(1..60, {[#acc, #acc]}, [1]); flatten(a) == []",
        "let a = reduce(1..60, {[#acc, #acc]}, [1]); mean(a) == 1",
        "let a = reduce(1..60, {[#acc, #acc]}, [1]); string(a) == ''",
        "let a = reduce(1..60, {{a: #acc, b: #acc}}, 1); let b = reduce(1..60, {{a: #acc, b: #acc}}, 1); a == b",
        "map(1..9999, {result.long + string(#)}) == []",
    ],
)
def test_steps_are_bounded(condition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_STEPS", 100_000)  # a tenth: it is to end, and need not take its time
    result = {"long": "é" + "a" * 500_000, "other": "é" + "a" * 499_999 + "b", "list": [0.0] * 20_000}
    assert problem(condition, result).startswith(("it takes more than 100000 steps", "it makes lists of"))


@pytest.mark.parametrize(
    "condition",
    [
        f"len(1..{MAX_ELEMENTS}) > 0",
        "len(map(1..1000, {1..1000})) > 0",
        "len(1..9223372036854775807) > 0",
        "map(1..9999, {repeat('x', 1000)}) == []",
        "len(concat(1..400000, 1..400000)) > 0",
    ],
)
def test_elements_are_bounded_as_in_expr_lang(condition: str) -> None:
    assert problem(condition).startswith(f"it makes lists of {MAX_ELEMENTS} elements and more altogether")


@pytest.mark.parametrize(
    "condition",
    [
        "let a = repeat('x', 500000); let b = a + a + a + a; b + b == ''",
        "replace(repeat('x', 500000), 'x', 'xxxxx') == ''",
        "let a = repeat('x', 800000); join([a, a, a]) == ''",
        "toJSON(map(1..30, {result})) == ''",
    ],
)
def test_strings_are_bounded(condition: str) -> None:
    assert problem(condition, "x" * 100_000) == f"the string grows beyond {MAX_STRING} characters"


@pytest.mark.parametrize(
    "condition",
    [
        "let a = reduce(1..20000, {[#acc]}, []); let b = reduce(1..20000, {[#acc]}, []); a == b",
        "string(reduce(1..20000, {[#acc]}, [])) == ''",
        "flatten(reduce(1..20000, {[#acc]}, [])) == []",
        "max(reduce(1..20000, {[#acc]}, [])) == 1",
    ],
)
def test_values_that_nest_too_deeply_are_an_error(condition: str) -> None:
    assert problem(condition) == "it makes values that nest too deeply: nest them less"


def test_patterns_take_linear_time_and_are_bounded() -> None:
    assert not Condition.parse("result matches '(a*)*b'").holds("a" * 200_000)
    assert not Condition.parse("result matches '(x+x+)+y'").holds("x" * 200_000)
    assert "invalid repetition size" in problem("result matches '((a{100}){10}){10}'", "a")
    assert "pattern too large" in problem(r"result matches '(\\pL{1000}){1}|\\pN{1000}|\\pS{1000}'", "a")
