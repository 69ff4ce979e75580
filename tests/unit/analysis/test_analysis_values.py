"""JSON as Go reads and writes it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from coalmine_controller.analysis.values import MAX_NESTING, TooDeepError, read_json, write_json


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("100.0", "100"),
        ("0.1", "0.1"),
        ("-0.0", "-0"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("1.5e300", "1.5e+300"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("12345678901234567890", "12345678901234567000"),
        ('{"b": 1, "a": [true, null, "é"]}', '{"a":[true,null,"é"],"b":1}'),
        (' "ok"\n', '"ok"'),
    ],
)
def test_read_and_written(text: str, written: str) -> None:
    assert write_json(read_json(text)) == written


@pytest.mark.parametrize(("value", "written"), [(math.nan, "NaN"), ([10.0, math.inf, -math.inf], "[10,+Inf,-Inf]")])
def test_computed_values(value: Any, written: str) -> None:
    assert write_json(value) == written


@pytest.mark.parametrize(
    "text", ["", "ok", "NaN", "-Infinity", "[1,]", "{'a': 1}", "1e999", "9" * 400, "\ufeff1", "01"]
)
def test_not_json(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  which ValueError does not matter: it is not JSON
        read_json(text)


def test_nesting_is_bounded() -> None:
    assert read_json("[" * MAX_NESTING + "]" * MAX_NESTING)
    for depth in (MAX_NESTING + 2, 100_000):
        with pytest.raises(TooDeepError):
            read_json("[" * depth + "]" * depth)


def test_all_numbers_are_floats() -> None:
    assert [type(value) for value in read_json("[1, 1.0, 1e2]")] == [float] * 3
