"""Conditions: what holds, what does not, what is an error and how the error reads."""

from __future__ import annotations

import math
from typing import Any

import pytest

from coalmine_controller.analysis.conditions import Condition, ConditionError, assess
from coalmine_controller.analysis.conditions.parser import MAX_NODES
from coalmine_controller.analysis.phases import Phase


def phase(condition: str, result: Any) -> Phase:
    """What a success condition alone says; a condition that cannot be read is an Error."""
    try:
        return assess(Condition.parse(condition), None, result).phase
    except ConditionError:
        return Phase.ERROR


TRUE = [
    ('result == "ok"', "ok"),
    ("result == 'ok'", "ok"),
    ("result == `ok`", "ok"),
    ("result != 'ok'", "no"),
    ("result >= 0.95", 0.95),
    ("result > 1 && result < 3", 2.0),
    ("result > 1 and result < 3", 2.0),
    ("result < 1 || result == 2", 2.0),
    ("result < 1 or result == 2", 2.0),
    ("!(result > 3)", 2.0),
    ("not (result > 3)", 2.0),
    ("!result.broken", {"broken": False}),
    ("result.status == 'ok'", {"status": "ok"}),
    ("result['status'] == 'ok'", {"status": "ok"}),
    ("result.a.b[1].c == 7", {"a": {"b": [0.0, {"c": 7.0}]}}),
    ("result[0] > 0.9", [0.95]),
    ("result[-1] == 3", [1.0, 2.0, 3.0]),
    ("result.in == 1 && result.not == 2", {"in": 1.0, "not": 2.0}),
    ("result", True),
    ("true", None),
    ("result == nil", None),
    ("isNil(result)", None),
    ("!isNil(result)", []),
    ("result.missing == nil", {}),
    ("default(result, 5) == 5", None),
    ("default(result, 5) == 1", 1.0),
    # isNil and default look at the whole result, whatever they are given
    ("isNil(1)", None),
    ("!isNil(result.missing)", {}),
    ("default(result.missing, 5) == result", {"a": 1.0}),
    # arithmetic
    ("1 + 2 * 3 == 7", None),
    ("(1 + 2) * 3 == 9", None),
    ("result * 2 - 1 == 3", 2.0),
    ("7 / 2 == 3.5", None),
    ("1 / 0 > 1e300 && isInf(1 / 0) && isInf(-1 / 0) && -1 / 0 < 0", None),
    ("isNaN(0 / 0)", None),
    ("-7 % 3 == -1 && 7 % -3 == 1", None),
    ("-2 ** 2 == -4", None),
    ("2 ** 3 ** 2 == 512", None),
    ("2 ^ 3 == 8", None),
    ("0x10 == 16 && 0b11 == 3 && 0o17 == 15 && 1_000 == 1000 && .5 == 0.5 && 1e3 == 1000", None),
    ("9223372036854775807 + 1 < 0", None),  # 64 bits wrap
    ("'a' + 'b' == 'ab'", None),
    ("'a' < 'b'", None),
    ("-result == 2", -2.0),
    ("+result == 2", 2.0),
    # chains, ternaries, coalescing
    ("0 < result < 1", 0.5),
    ("!(0 < result < 1)", 1.0),
    ("result > 1 ? true : false", 2.0),
    ("(result > 9 ? 'x' : 'y') == 'y'", 2.0),
    ("(result.a ?? 3) == 3", {}),
    ("result.a ?? true", {}),
    # text and membership
    ("result contains 'k'", "ok"),
    ("result startsWith 'o' && result endsWith 'k'", "ok"),
    ("result not contains 'x'", "ok"),
    ("result in ['ok', 'fine']", "ok"),
    ("result not in ['bad']", "ok"),
    ("'a' in result", {"a": 1.0}),
    ("2 in result", [1.0, 2.0]),
    ("result in [1, 'x']", 1.0),
    # functions
    ("asInt(result) == 5", "5"),
    ("asInt(result) == -5", "-005"),
    ("asInt(result) == 5", 5.9),  # a number is cut off
    ("asFloat(result) >= 0.99", "0.99"),
    ("asFloat(result) == 1000", "1e3"),
    ("asFloat(result) == 1000", "1_000"),  # Go's strconv.ParseFloat takes it, its ParseInt does not
    ("isInf(asFloat(result))", "+Inf"),
    ("isNaN(asFloat('nan'))", None),
    ("isNaN(result)", math.nan),
    ("len(result) == 4", "naïve"[:4]),
    ("len(result) == 1", "\U0001f600"),  # code points
    ("len(result) == 2 && len(result) % 2 == 0", [1.0, 2.0]),
    ("len(result) == 1", {"a": 1.0}),
    # equality
    ("result.a != result.b", {"a": 1.0, "b": "1"}),  # across types false, inside a map
    ("result.a != result.b", {"a": True, "b": 1.0}),
    ("result.a == result.b", {"a": [1.0, {"x": None}], "b": [1.0, {"x": None}]}),
    ("result == [1, 2]", [1.0, 2.0]),
    ("result == 1", 1.0),
    # a side that is not reached is not evaluated
    ("true || result.a > 'x'", {"a": 1.0}),
    # writing
    ('result == "a\\tb\\u00e9\\x21"', "a\tbé!"),
    ("result == `a\\b`", "a\\b"),
    ("result /* all of it */ == 1 // really", 1.0),
    ("result ==\n  1", 1.0),
]


@pytest.mark.parametrize(("condition", "result"), TRUE)
def test_true(condition: str, result: Any) -> None:
    assert assess(Condition.parse(condition), None, result) == (Phase.SUCCESSFUL, "")


FALSE = [
    ('result == "ok"', "ko"),
    ("result > 1", 1.0),
    ("result >= 0.9", math.nan),
    ("result <= 0.9", math.nan),
    ("result == result", math.nan),
    ("0 < result < 1", 1.0),
    ("0 < result < 1", 0.0),
    ("false && result.a > 'x'", {"a": 1.0}),
    ("result in []", "ok"),
    ("isNil(result)", []),
]


@pytest.mark.parametrize(("condition", "result"), FALSE)
def test_false(condition: str, result: Any) -> None:
    assert phase(condition, result) is Phase.FAILED


ERRORS = [
    # not a bool
    ("result", 1.0),
    ("result", "true"),
    ("1 + 1", None),
    ("result.a", {"a": 1.0}),
    ("nil", None),
    # types, known from the whole result before anything is evaluated
    ("true || result > 'x'", 1.0),
    ("false && result.a", "text"),
    ("result == 'x'", 1.0),
    ("result in ['ok', 'fine']", 1.0),  # a list of one type holds no other
    ("[1, 2][0] == 'x'", None),
    ("result == `a``b`", "a`b"),
    ("result >= 0.9", [0.95]),
    ("result > 1", None),
    ("result.a", None),
    ("result.a == 1", [1.0]),
    ("result['a'] == 1", [1.0]),
    ("result[0] == 1", {"a": 1.0}),
    ("result[0] == 'o'", "ok"),  # strings are not indexed
    ("result[result] == 1", 1.0),
    ("not result == 1", 1.0),  # not binds tighter than ==
    ("!1", None),
    ("-'a' == 'a'", None),
    ("'a' + 1 == 'a1'", None),
    ("1 ? true : false", None),
    ("'a' in 'abc'", None),
    ("result % 2 == 0", 4.0),  # JSON numbers are floats
    ("asInt(result) == 5", True),
    ("len(result) == 1", 1.0),
    ("isNaN(result)", "x"),
    ("isNaN(1, 2)", None),
    # types, known only when evaluated
    ("result.a > 'x'", {"a": 1.0}),
    ("result.a + 1 == 2", {"a": "1"}),
    ("result.a % 2 == 0", {"a": 4.0}),
    ("result.a && true", {"a": 1.0}),
    ("result.a > 1", {}),
    ("result.a.b == 1", {}),
    ("result[1] == 1", [1.0]),
    ("result[-2] == 1", [1.0]),
    ("1 % 0 == 0", None),
    ("result in result.a", {"a": 1.0}),
    # conversions that Python would have let pass
    ("asInt(result) == 5", "5.0"),
    ("asInt(result) == 5", " 5"),
    ("asInt(result) == 10", "1_0"),
    ("asInt(result) == 5", "٥"),
    ("asInt(result) > 5", "9223372036854775808"),
    ("asFloat(result) == 5", " 5"),
    ("asFloat(result) == 10", "1__0"),
    ("asFloat(result) > 5", "1e999"),
    ("asFloat(result) > 5", ""),
    ("isNaN(asFloat(result))", "-nan"),
    # writing
    (" ", None),
    ("result ==", 1.0),
    ("== 1", 1.0),
    ("(result == 1", 1.0),
    ("result == 1)", 1.0),
    ("result = 1", 1.0),
    ("result & true", True),
    ("result == 'ok", "ok"),
    ("result == 1 2", 1.0),
    ("reslut == 1", 1.0),
    ("foo(result)", 1.0),
    ("result.foo()", {}),
    ("asInt == 1", 1.0),
    ("result == 1x", 1.0),
    ("result == 9223372036854775808", 1.0),
    ("result ~ 1", 1.0),
    ("result == 'a\\q'", "a"),
    ("/* open", 1.0),
    ("result. == 1", {}),
    ("result not == 1", 1.0),
    ("result.a ?? 1 == 1", {}),  # needs parentheses
    ("__import__('os')", None),
    ("result.__class__ == nil", 1.0),
    # too much
    ("result" + " + 1" * MAX_NODES + " > 0", 1.0),
    ("(" * 5000 + "true" + ")" * 5000, None),
    ("!" * 5000 + "true", None),
    (" + ".join(["result"] * 30) + " == ''", "x" * 100_000),
    ("9" * 5000 + " > 1", None),
]


@pytest.mark.parametrize(("condition", "result"), ERRORS)
def test_errors(condition: str, result: Any) -> None:
    assert phase(condition, result) is Phase.ERROR


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("now() > date('2026-01-01')", "column 1: now is not supported by Coalmine"),
        ("duration(result) > duration('1s')", "column 1: duration is not supported by Coalmine"),
        ("timezone('UTC') == nil", "column 1: timezone is not supported by Coalmine"),
        ("$env.result == 1", "column 1: $env is not supported by Coalmine: write result"),
        ("result.Hours() > 1", "column 8: Hours is not a function: results have no methods"),
        ("len == nil", "column 1: len is a function: expected ( after it"),
        ("result.a[foo:1] == []", "column 10: foo is unknown"),
    ],
)
def test_what_is_left_out_is_refused_by_name(condition: str, sentence: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Condition.parse(condition)
    assert caught.value.locate(condition).startswith(sentence)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("result ==", "column 10: expected a value, found the end"),
        ("(result == 1", "column 13: expected ) to close the parenthesis, found the end"),
        ("result == 1 2", "column 13: expected an operator or the end, found 2"),
        ("result = 1", "column 8: = is not an operator: write =="),
        ("result[0 == 1", "column 14: expected ] to close the index, found the end"),
        ("result > 1 ? true", "column 18: expected : and the other value of ?, found the end"),
        ("reslut == 1", "column 1: reslut is unknown: did you mean result?"),
        ("result == 1 &&\n  foo > 2", "line 2, column 3: foo is unknown: the value measured is result"),
        ("lenn(result) > 1", "column 1: lenn is no function: did you mean len?"),
        ("all(result)", "column 11: expected , and the predicate of all, as in all(result, # > 1), found )"),
        ("all(result, # > 1; true)", "column 18: put the predicate of all into { and }"),
        ("# > 1", "column 1: # stands in a predicate only, as in all(result, # > 1)"),
        ("all(result, #acc > 1)", "column 13: #acc is unknown here: #index stands in map and reduce"),
        ("result | len", "column 13: expected ( and the arguments of len, found the end"),
        ("result matches '('", "column 16: '(' is not a regular expression (RE2): missing ): ("),
        ("let result = 1; true", "column 5: result has a meaning already: choose another name"),
        ("let x = 1 true", "column 11: expected ; and what x is for, found true"),
        ("if true {1}", "column 12: expected else: an if gives a value either way, found the end"),
        ("result[1:2:3] == 1", "column 11: expected ] to close the slice, found :"),
        ("{a 1}", "column 4: expected : and the value of the key, found 1"),
        ("1..2.5 == []", "column 2: .. does not take an integer and a number; JSON numbers are not integers"),
        ("max(1, 'a') > 0", "column 8: max does not take a string"),
        ("true || 1 % 0 == 0", "column 11: % by 0"),
        ("len(1) > 0", "column 5: len does not take an integer"),
        ("1 + 1", "column 3: a condition must be true or false, this is an integer"),
        (" ", "column 2: expected a value, found the end"),
        ("result == 'ok", "column 11: the string is not closed: expected '"),
    ],
)
def test_errors_name_the_column_and_what_was_expected(condition: str, sentence: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Condition.parse(condition)
    assert caught.value.locate(condition).startswith(sentence)


@pytest.mark.parametrize(
    ("condition", "result", "sentence"),
    [
        ("all(result, {# > 'a'})", [1.0], "column 16: > does not take a number and a string"),
        ("result.a in ['x', 'y']", {"a": 1.0}, "column 10: in does not take a number: the list holds strings"),
        ("find([1], # > 5) == 1", None, "column 18: ==: one of two that should be an integer is nil"),
        ("filter(result, # > 5)[0] == 2", [1.0], "column 22: there is no such element"),
        ("isNaN(len('a'))", None, "column 1: isNaN takes a number, not an integer; write float(...)"),
        ("result.a.b", {}, "column 10: nil has no member 'b'"),
        ("count(result, #) > 0", [1.0], "column 1: the predicate of count must be true or false, this is a number"),
    ],
)
def test_errors_of_evaluation_name_the_column(condition: str, result: Any, sentence: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Condition.parse(condition).holds(result)
    assert caught.value.locate(condition) == sentence


def test_an_error_of_evaluation_names_the_condition_and_the_column() -> None:
    told = assess(None, Condition.parse("result.a > 1"), {"a": "x"})
    assert told == (Phase.ERROR, "failureCondition: column 10: > does not take a string and an integer")


@pytest.mark.parametrize(
    ("success", "failure", "result", "expected"),
    [
        (None, None, 1.0, Phase.SUCCESSFUL),
        ("result == 1", None, 1.0, Phase.SUCCESSFUL),
        ("result == 1", None, 2.0, Phase.FAILED),
        (None, "result == 1", 1.0, Phase.FAILED),
        (None, "result == 1", 2.0, Phase.SUCCESSFUL),
        ("result < 1", "result > 2", 0.0, Phase.SUCCESSFUL),
        ("result < 1", "result > 2", 3.0, Phase.FAILED),
        ("result < 1", "result > 2", 1.5, Phase.INCONCLUSIVE),
        ("result > 0", "result > 0", 1.0, Phase.FAILED),  # failure wins
        ("result > 0", "result > 'x'", 1.0, Phase.ERROR),  # both are evaluated
        ("result > 'x'", "result > 0", 1.0, Phase.ERROR),
    ],
)
def test_assess(success: str | None, failure: str | None, result: Any, expected: Phase) -> None:
    conditions = [None if text is None else Condition.parse(text) for text in (success, failure)]
    assert assess(conditions[0], conditions[1], result).phase is expected
