"""What holds for every text and every result: an answer, or a ConditionError with a place in the text."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coalmine_controller.analysis.conditions import Condition, ConditionError
from coalmine_controller.analysis.conditions.budget import Budget
from coalmine_controller.analysis.conditions.formats import from_json, string, to_json
from coalmine_controller.analysis.conditions.functions import FUNCTIONS
from coalmine_controller.analysis.conditions.parser import PREDICATES
from coalmine_controller.analysis.conditions.signatures import SIGNATURES

_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_SOUP = st.text(alphabet="result.a[0]()!&|<>=+-*/%?:;'\"`\\ ,notinandor12#{}\n$_", max_size=40)
_WORDS = st.sampled_from(
    ["result", "result.a", "#", "#acc", "#index", ".a", "(", ")", "[", "]", "{", "}", ",", ";", ":", "?", "?.", "??"]
    + ["|", "..", "::", "+", "-", "*", "/", "%", "**", "==", "!=", "<", ">=", "&&", "||", "!", "not", "in", "matches"]
    + ["contains", "let", "x", "=", "if", "else", "1", "0", "0.5", "'a'", "`b`", "nil", "true", "false", "a"]
    + [f"{name}(" for name in sorted(SIGNATURES)]
    + [f"{name}(result, " for name in sorted(PREDICATES)]
)


def answer(text: str, result: Any) -> bool | None:
    """True, false, or None for an error; the error's place is in the text."""
    try:
        return Condition.parse(text).holds(result)
    except ConditionError as error:
        fault = error
    assert 0 <= fault.at <= len(text)
    assert fault.locate(text).startswith(("column ", "line "))
    return None


@given(st.text(max_size=30) | _SOUP, _JSON)
def test_any_text_is_a_condition_or_an_error_with_a_place(text: str, result: Any) -> None:
    assert answer(text, result) in (True, False, None)


@given(st.lists(_WORDS, max_size=14), _JSON)
def test_any_words_are_a_condition_or_an_error_with_a_place(words: list[str], result: Any) -> None:
    assert answer(" ".join(words), result) in (True, False, None)


_ATOMS = st.sampled_from(
    [
        "result",
        "result.a",
        "result?.b",
        "result[0]",
        "result['c']",
        "1",
        "0.5",
        "-1",
        "'a'",
        "''",
        "nil",
        "true",
        "[1]",
        "['a', nil]",
        "{a: 1}",
        "1..3",
        "[]",
        "result.a?.b",
        "[result]",
        "'é'[0:1]",
        "0 / 0",
        "1 / 0",
    ]
)
_OPERATORS = [
    "==",
    "!=",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "&&",
    "||",
    "in",
    "not",
    "contains",
    "??",
    "..",
    "matches",
    "startsWith",
    "endsWith",
]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = [
        "==",
        "!=",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "&&",
        "||",
        "in",
        "not in",
        "contains",
        "??",
        "..",
    ]
    operators += ["matches", "startsWith", "endsWith"]
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(operators), inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}({})".format, st.sampled_from(sorted(SIGNATURES)), inner),
        st.builds("{}({}, {})".format, st.sampled_from(sorted(SIGNATURES)), inner, inner),
        st.builds("{}({}, {} == #)".format, st.sampled_from(sorted(PREDICATES)), inner, inner),
        st.builds("{}({}, #)".format, st.sampled_from(sorted(PREDICATES)), inner),
        st.builds("(let x = {}; [x, {}])".format, inner, inner),
    )


@given(st.recursive(_ATOMS, _grown, max_leaves=6), _JSON)
def test_any_expression_of_any_result_gives_an_answer(expression: str, result: Any) -> None:
    told = answer(f"({expression}) == nil", result)
    assert told in (True, False, None)
    assert answer(f"({expression}) == nil", result) is told  # the same each time


@given(st.floats())
def test_numbers_are_ordered_as_floats_are(result: float) -> None:
    assert answer("result < 0 || result >= 0", result) is not math.isnan(result)


@given(_JSON)
def test_a_result_is_written_and_read_again(result: Any) -> None:
    try:
        written = to_json(result, Budget())
    except ValueError:
        assert "NaN" in string(result, Budget()) or "Inf" in string(result, Budget())
        return
    assert from_json(Budget(), written) == result


def test_every_function_has_a_signature() -> None:
    assert FUNCTIONS.keys() == SIGNATURES.keys()
    assert not FUNCTIONS.keys() & PREDICATES
