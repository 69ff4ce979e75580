"""The engine: what is due when, how metrics end each other, and runs restored from JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine_controller.analysis.phases import Phase
from coalmine_controller.analysis.results import MAX_KEPT, Measurement
from coalmine_controller.analysis.run import ERROR_RETRY, RunState, advance, record, restore, to_status
from coalmine_controller.analysis.settings import WebSettings
from coalmine_controller.analysis.template import Metric, RunSpec

S, F, I, E = Phase.SUCCESSFUL, Phase.FAILED, Phase.INCONCLUSIVE, Phase.ERROR  # noqa: E741
START = 1_700_000_000.0


def metric(name: str = "a", **fields: Any) -> Metric:
    return Metric(name, WebSettings("http://a.b/"), **{"interval": 5.0, "count": None, **fields})


def run_of(*metrics: Metric, terminate: bool = False) -> RunState:
    return RunState(metrics, terminate)


def names(run: RunState, at: float) -> list[str]:
    return [m.name for m in advance(run, START + at).due]


def measured(run: RunState, name: str, phase: Phase, at: float, took: float = 0.0) -> RunState:
    """The run after it was looked at, `name` was measured from `at` on, and it was looked at again."""
    run = advance(run, START + at).run
    run = record(run, name, Measurement(phase, START + at, START + at + took, value="1", message=""))
    return advance(run, START + at + took).run


def test_the_first_measurement_is_due_at_once_and_the_next_after_the_interval() -> None:
    run = run_of(metric())
    first = advance(run, START)
    assert (first.phase, [m.name for m in first.due], first.requeue_after) == (Phase.RUNNING, ["a"], 0.0)
    run = measured(run, "a", S, 0, took=2)
    assert names(run, 6.9) == []
    assert advance(run, START + 4).requeue_after == 3.0  # from the end of the last one
    assert names(run, 7) == ["a"]


def test_after_an_error_always_ten_seconds() -> None:
    for interval in (5.0, 300.0, None):
        run = measured(run_of(metric(interval=interval, count=1)), "a", E, 0)
        assert advance(run, START).requeue_after == ERROR_RETRY
        assert names(run, 9.9) == []
        assert names(run, 10) == ["a"]


def test_initial_delay_counts_from_the_start_of_the_run() -> None:
    run = advance(run_of(metric(initial_delay=30.0)), START).run
    assert advance(run, START + 10).requeue_after == 20.0
    assert names(run, 29) == []
    assert names(run, 30) == ["a"]


def test_one_measurement_without_count_and_interval() -> None:
    run = measured(run_of(metric(interval=None, count=1)), "a", S, 0)
    assert (run.phase, run.message) == (S, "")
    assert advance(run, START + 99).due == ()


def test_the_first_metric_that_ends_badly_ends_the_run() -> None:
    run = run_of(metric("a"), metric("b"), metric("late", initial_delay=60.0))
    run = measured(run, "b", S, 0)
    run = measured(run, "a", F, 0)
    assert run.phase is F
    assert run.message == 'metric "a" assessed Failed due to failed (1) > failureLimit (0)'
    assert run.result("b").phase is S
    assert run.result("late") is None  # never started
    assert advance(run, START + 99) == advance(run, START + 999)
    assert advance(run, START + 99).requeue_after is None


def test_the_worst_phase_is_the_runs() -> None:
    for phases, worst in (((S, I), I), ((I, E), E), ((E, F), F), ((F, I), F), ((S, S), S)):
        run = run_of(*(metric(n, interval=None, count=1, consecutive_error_limit=0) for n in "ab"))
        run = advance(run, START).run
        for name, phase in zip("ab", phases, strict=True):
            run = record(run, name, Measurement(phase, START, START))
        assert advance(run, START).phase is worst


def test_a_metric_that_succeeds_does_not_end_the_run() -> None:
    run = run_of(metric("a", count=1), metric("b", count=2))
    run = measured(run, "a", S, 0)
    run = measured(run, "b", S, 0)
    assert run.phase is Phase.RUNNING
    assert names(run, 5) == ["b"]
    assert measured(run, "b", S, 5).phase is S


def test_terminate() -> None:
    never = advance(run_of(metric(), terminate=True), START)
    assert (never.phase, never.message, never.due) == (S, "run terminated", ())
    spec = RunSpec((metric(failure_limit=5), metric("b")), terminate=True)
    status = to_status(measured(run_of(*spec.metrics), "a", F, 0))
    stopped = advance(restore(spec, status), START + 1).run
    assert (stopped.phase, stopped.result("a").phase) == (S, S)
    # a limit that is broken already counts
    broken = measured(run_of(metric(failure_limit=1)), "a", F, 0)
    broken = record(broken, "a", Measurement(F, START + 5, START + 5))
    assert advance(RunState(broken.metrics, True, results=broken.results), START + 6).phase is F


def test_a_run_that_is_over_takes_no_measurement() -> None:
    over = measured(run_of(metric(interval=None, count=1)), "a", F, 0)
    assert record(over, "a", Measurement(S, START, START)) == over


def test_status_is_argos() -> None:
    run = run_of(metric("webcheck", failure_limit=1))
    run = measured(run, "webcheck", S, 0, took=0.25)
    run = measured(run, "webcheck", F, 5.25)
    run = measured(run, "webcheck", F, 10.25)
    assert to_status(run) == {
        "phase": "Failed",
        "message": 'metric "webcheck" assessed Failed due to failed (2) > failureLimit (1)',
        "startedAt": "2023-11-14T22:13:20.000000Z",
        "metricResults": [
            {
                "name": "webcheck",
                "phase": "Failed",
                "count": 3,
                "successful": 1,
                "failed": 2,
                "message": "failed (2) > failureLimit (1)",
                "measurements": [
                    {
                        "phase": phase,
                        "value": "1",
                        "startedAt": f"2023-11-14T22:13:{start}Z",
                        "finishedAt": f"2023-11-14T22:13:{end}Z",
                    }
                    for phase, start, end in (
                        ("Successful", "20.000000", "20.250000"),
                        ("Failed", "25.250000", "25.250000"),
                        ("Failed", "30.250000", "30.250000"),
                    )
                ],
            }
        ],
    }


def test_argos_own_status_is_read() -> None:
    """Whole seconds; a measurement under way is taken again; a metric that is not in the spec is dropped."""
    status = {
        "phase": "Running",
        "startedAt": "2023-11-14T22:13:20Z",
        "metricResults": [
            {
                "name": "a",
                "phase": "Running",
                "count": 1,
                "successful": 1,
                "measurements": [
                    {"phase": "Successful", "startedAt": "2023-11-14T22:13:20Z", "finishedAt": "2023-11-14T22:13:21Z"},
                    {"phase": "Running", "startedAt": "2023-11-14T22:13:26Z"},
                ],
            },
            {"name": "gone", "phase": "Failed"},
        ],
    }
    run = restore(RunSpec((metric(),)), status)
    assert len(run.result("a").measurements) == 1
    assert names(run, 5.9) == []
    assert names(run, 6) == ["a"]


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Weird"},
        {"startedAt": "yesterday"},
        {"startedAt": 5},
        {"metricResults": [{}]},
        {"metricResults": ["x"]},
        {"metricResults": [{"name": "a", "count": "many"}]},
        {"metricResults": [{"name": "a", "measurements": [{"finishedAt": "2023-11-14T22:13:21Z"}]}]},
    ],
)
def test_a_malformed_status_is_a_value_error(status: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its sentence is the run's message
        restore(RunSpec((metric(),)), status)


def test_long_values_are_cut() -> None:
    run = advance(run_of(metric()), START).run
    run = record(run, "a", Measurement(S, START, START, value="x" * 5000, message="y" * 5000))
    kept = to_status(run)["metricResults"][0]["measurements"][0]
    assert kept["value"] == "x" * MAX_KEPT + "... (5000 characters)"
    assert kept["message"].endswith("... (5000 characters)")


_METRICS = st.lists(
    st.builds(
        lambda interval, delay, count, *limits: {
            "interval": interval,
            "initial_delay": delay,
            "count": count if interval is not None else 1,
            "failure_limit": limits[0],
            "inconclusive_limit": limits[1],
            "consecutive_error_limit": limits[2],
            "consecutive_success_limit": limits[3],
        },
        st.sampled_from([None, 0.05, 1.0, 7.3]),
        st.sampled_from([0.0, 3.3]),
        st.sampled_from([None, 1, 2, 15]),
        st.integers(-1, 3),
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=3,
)


@given(_METRICS, st.lists(st.tuples(st.sampled_from([S, S, S, F, I, E]), st.floats(0, 2)), max_size=40), st.data())
def test_a_run_restored_at_any_point_decides_the_same(
    fields: list[dict[str, Any]], outcomes: list[tuple[Phase, float]], data: st.DataObject
) -> None:
    metrics = tuple(metric(f"m{i}", **f) for i, f in enumerate(fields))
    kept, restored, now = run_of(*metrics), run_of(*metrics), START + data.draw(st.floats(0, 1))
    rest = list(outcomes)
    for _ in range(len(outcomes) + 1):
        one, other = advance(kept, now), advance(restored, now)
        assert (one.due, one.requeue_after, to_status(one.run)) == (
            other.due,
            other.requeue_after,
            to_status(other.run),
        )
        assert (one.requeue_after is None) == one.phase.completed
        kept, restored = one.run, other.run
        for due in one.due:
            phase, took = rest.pop() if rest else (S, 0.1)
            taken = Measurement(phase, now, now + took)
            kept, restored = record(kept, due.name, taken), record(restored, due.name, taken)
        if data.draw(st.booleans()):  # the controller is killed here, and another one takes over
            restored = restore(RunSpec(metrics), json.loads(json.dumps(to_status(restored))))
        if one.requeue_after is None:
            break
        now += max(one.requeue_after, 0.001)


@given(_METRICS, st.lists(st.sampled_from([S, F, I, E]), max_size=30))
def test_counters_add_up_and_a_finite_run_ends(fields: list[dict[str, Any]], outcomes: list[Phase]) -> None:
    metrics = tuple(metric(f"m{i}", **{**f, "count": f["count"] or 20}) for i, f in enumerate(fields))
    run, now, rest = run_of(*metrics), START, list(outcomes)
    for _ in range(2000):
        progress = advance(run, now)
        run = progress.run
        if progress.requeue_after is None:
            break
        for due in progress.due:
            run = record(run, due.name, Measurement(rest.pop() if rest else S, now, now))
        now += progress.requeue_after
    assert run.phase.completed
    for result in run.results.values():
        assert result.count == result.successful + result.failed + result.inconclusive
        assert result.phase.completed
