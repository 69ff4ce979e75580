"""The limits, each with its off-by-one, and the order in which they are looked at."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine_controller.analysis.limits import judge
from coalmine_controller.analysis.phases import Phase
from coalmine_controller.analysis.results import RETENTION, Measurement, MetricResult
from coalmine_controller.analysis.settings import WebSettings
from coalmine_controller.analysis.template import Metric

S, F, I, E = Phase.SUCCESSFUL, Phase.FAILED, Phase.INCONCLUSIVE, Phase.ERROR  # noqa: E741
_LETTERS = {"S": S, "F": F, "I": I, "E": E}


def metric(**fields: Any) -> Metric:
    return Metric("m", WebSettings("http://a.b/"), **{"interval": 5.0, "count": None, **fields})


def after(letters: str) -> MetricResult:
    result = MetricResult("m")
    for i, letter in enumerate(letters):
        result = result.adding(Measurement(_LETTERS[letter], float(i), float(i)))
    return result


@pytest.mark.parametrize(
    ("fields", "measured", "expected"),
    [
        # failureLimit: strictly more
        ({}, "S", Phase.RUNNING),
        ({}, "F", F),
        ({"failure_limit": 1}, "F", Phase.RUNNING),
        ({"failure_limit": 1}, "FF", F),
        ({"failure_limit": 1}, "FSSSF", F),
        ({"failure_limit": -1}, "F" * 30, Phase.RUNNING),
        ({"failure_limit": -1, "count": 3}, "FFF", S),
        # inconclusiveLimit
        ({}, "I", I),
        ({"inconclusive_limit": 2}, "II", Phase.RUNNING),
        ({"inconclusive_limit": 2}, "III", I),
        # consecutiveErrorLimit: four are allowed, the fifth in a row is an Error
        ({}, "EEEE", Phase.RUNNING),
        ({}, "EEEEE", E),
        ({}, "EEEESEEEE", Phase.RUNNING),
        ({"failure_limit": 1}, "EEEEFEEEE", Phase.RUNNING),
        ({"inconclusive_limit": 1}, "EEEEIEEEE", Phase.RUNNING),
        ({"consecutive_error_limit": 0}, "E", E),
        # the count: errors do not count
        ({"count": 1, "interval": None}, "S", S),
        ({"count": 3}, "SS", Phase.RUNNING),
        ({"count": 3}, "SSS", S),
        ({"count": 3}, "SESES", S),
        ({"count": 3}, "SESE", Phase.RUNNING),
        ({"count": 3, "failure_limit": 1}, "SSF", S),
        ({"count": 2, "failure_limit": 2, "inconclusive_limit": 1}, "FI", S),
        # failed, inconclusive, errors: the later overwrites the earlier
        ({}, "FI", I),
        ({"consecutive_error_limit": 0}, "FIE", E),
        ({"count": 1}, "F", F),
        # consecutiveSuccessLimit
        ({"consecutive_success_limit": 3}, "SS", Phase.RUNNING),
        ({"consecutive_success_limit": 3}, "SSS", S),
        ({"consecutive_success_limit": 3}, "SSESS", Phase.RUNNING),
        ({"consecutive_success_limit": 3, "failure_limit": -1}, "SSFSS", Phase.RUNNING),
        ({"consecutive_success_limit": 2, "failure_limit": -1}, "FFFSS", S),
        ({"consecutive_success_limit": 2, "failure_limit": 1}, "FSS", S),
        ({"consecutive_success_limit": 2, "failure_limit": 0}, "FSS", F),
        ({"consecutive_success_limit": 2, "count": 3, "failure_limit": 2}, "SFS", I),
        ({"consecutive_success_limit": 2, "count": 3, "failure_limit": -1}, "SFS", F),
        ({"consecutive_success_limit": 2, "count": 3, "failure_limit": 2}, "FSS", S),
    ],
)
def test_judge(fields: dict[str, Any], measured: str, expected: Phase) -> None:
    assert judge(metric(**fields), after(measured)).phase is expected


@pytest.mark.parametrize(
    ("fields", "measured", "message"),
    [
        ({"failure_limit": 1}, "FF", "failed (2) > failureLimit (1)"),
        ({}, "I", "inconclusive (1) > inconclusiveLimit (0)"),
        ({}, "EEEEE", "consecutiveErrors (5) > consecutiveErrorLimit (4)"),
        (
            {"consecutive_success_limit": 2, "count": 2, "failure_limit": 1},
            "SF",
            "consecutiveSuccess (0) < consecutiveSuccessLimit (2) after 2 measurements",
        ),
        ({"count": 1}, "S", ""),
    ],
)
def test_reasons(fields: dict[str, Any], measured: str, message: str) -> None:
    assert judge(metric(**fields), after(measured)).message == message


def test_an_error_tells_its_cause() -> None:
    result = MetricResult("m").adding(Measurement(E, 0, 1, message="GET http://a.b/: answered 500, not 2xx"))
    told = judge(metric(consecutive_error_limit=0), result).message
    assert told == "consecutiveErrors (1) > consecutiveErrorLimit (0): GET http://a.b/: answered 500, not 2xx"


def test_a_metric_that_is_over_stays_as_it_ended() -> None:
    over = MetricResult("m", phase=S, failed=9, message="as it was")
    assert judge(metric(), over) == (S, "as it was")


def test_counters_outlive_the_measurements() -> None:
    result = after("SF" * 20)
    assert (result.count, result.successful, result.failed) == (40, 20, 20)
    assert [m.finished_at for m in result.measurements] == [float(i) for i in range(40 - RETENTION, 40)]
