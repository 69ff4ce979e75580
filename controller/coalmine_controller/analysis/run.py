"""An analysis run: what is due when, how it stands, how it ends. No clock, no I/O.

Rules (Argo's, see `limits`): the first metric that ends Failed, Error or Inconclusive ends the run, and its unfinished
siblings become Successful; the run's phase is the worst of its metrics'. A run ended by
``terminate`` with no limit broken is Successful. The next measurement is due `interval` after the
last one finished, ten seconds after an Error; the first one `initialDelay` after the run's start.

Everything is in `RunState`, which is the object's status and nothing else: a run that is read back
goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from coalmine.model.durations import format_time, parse_time
from coalmine_controller.analysis.limits import judge
from coalmine_controller.analysis.phases import Phase, severity
from coalmine_controller.analysis.results import (
    Measurement,
    MetricResult,
    cut,
    result_from_json,
    result_to_json,
    rounded,
)
from coalmine_controller.analysis.template import Metric, RunSpec

#: Seconds until a measurement that ended in an Error is repeated, whatever the interval (Argo's).
ERROR_RETRY: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunState:
    """A run between two looks at it. `started_at` is a Unix time, None before the first look."""

    metrics: tuple[Metric, ...]
    terminate: bool = False
    phase: Phase = Phase.PENDING
    message: str = ""
    started_at: float | None = None
    results: Mapping[str, MetricResult] | None = None

    def result(self, name: str) -> MetricResult | None:
        """The result of the metric `name`; None before its first measurement."""
        return (self.results or {}).get(name)


@dataclass(frozen=True, slots=True)
class Progress:
    """The run as it stands now, the metrics to measure at once, and when to look again.

    `requeue_after` is in seconds: 0 while something is due, None when the run is over.
    """

    run: RunState
    due: tuple[Metric, ...]
    requeue_after: float | None

    @property
    def phase(self) -> Phase:
        return self.run.phase

    @property
    def message(self) -> str:
        return self.run.message


def advance(run: RunState, now: float) -> Progress:
    """Judge the run as it is at `now` (Unix time) and say what is owed. Changes nothing twice."""
    if run.phase.completed:
        return Progress(run, (), None)
    started = rounded(now) if run.started_at is None else run.started_at
    results = {name: _judged(run, result) for name, result in (run.results or {}).items()}
    stopped = run.terminate or any(result.phase.ends_run for result in results.values())
    if stopped:
        results = {
            name: result if result.phase.completed else replace(result, phase=Phase.SUCCESSFUL)
            for name, result in results.items()
        }
    run = replace(run, started_at=started, results=results, phase=Phase.RUNNING)
    if stopped or all(metric.name in results and results[metric.name].phase.completed for metric in run.metrics):
        return Progress(_ended(run), (), None)
    times = {metric.name: _due_at(run, metric) for metric in run.metrics}
    due = tuple(metric for metric in run.metrics if (at := times[metric.name]) is not None and at <= now)
    later = [at - now for at in times.values() if at is not None]
    return Progress(run, due, max(0.0, min(later)))


def record(run: RunState, name: str, measurement: Measurement) -> RunState:
    """The run with one more measurement of the metric `name`; as it was when that is over already."""
    result = run.result(name) or MetricResult(name)
    if run.phase.completed or result.phase.completed:
        return run
    return replace(run, results={**(run.results or {}), name: result.adding(measurement)})


def restore(spec: RunSpec, status: Mapping[str, Any] | None) -> RunState:
    """The run whose object has this spec and status. Raises ValueError when the status is malformed.

    Results of metrics that the spec does not have are dropped.
    """
    try:
        return _restored(spec, status or {})
    except (TypeError, AttributeError) as error:
        raise ValueError(f"the status is malformed: {error!r}") from error


def _restored(spec: RunSpec, status: Mapping[str, Any]) -> RunState:
    names = {metric.name for metric in spec.metrics}
    results = [result_from_json(raw) for raw in status.get("metricResults") or ()]
    return RunState(
        metrics=spec.metrics,
        terminate=spec.terminate,
        phase=Phase(status.get("phase") or Phase.PENDING),
        message=str(status.get("message") or ""),
        started_at=parse_time(status["startedAt"]) if status.get("startedAt") else None,
        results={result.name: result for result in results if result.name in names},
    )


def to_status(run: RunState) -> dict[str, Any]:
    """The status of the run's object; metrics in the order of the spec."""
    results = [result for metric in run.metrics if (result := run.result(metric.name)) is not None]
    return {
        "phase": str(run.phase),
        **({"message": run.message} if run.message else {}),
        **({"startedAt": format_time(run.started_at)} if run.started_at is not None else {}),
        **({"metricResults": [result_to_json(result) for result in results]} if results else {}),
    }


def invalid(message: str) -> dict[str, Any]:
    """The status of a run whose spec cannot be carried out."""
    return {"phase": str(Phase.ERROR), "message": cut(f"analysis spec invalid: {message}")}


def _judged(run: RunState, result: MetricResult) -> MetricResult:
    metric = next(metric for metric in run.metrics if metric.name == result.name)
    verdict = judge(metric, result)
    return replace(result, phase=verdict.phase, message=verdict.message)


def _ended(run: RunState) -> RunState:
    """The run with the phase of its worst metric, and the first such metric's reason."""
    phase, message = Phase.SUCCESSFUL, "run terminated" if run.terminate else ""
    for metric in run.metrics:
        result = run.result(metric.name)
        if result is not None and severity(result.phase) > severity(phase):
            phase = result.phase
            message = f'metric "{metric.name}" assessed {phase} due to {result.message}'
    return replace(run, phase=phase, message=cut(message))


def _due_at(run: RunState, metric: Metric) -> float | None:
    """The Unix time of the metric's next measurement; None when it is over."""
    result = run.result(metric.name)
    if result is not None and result.phase.completed:
        return None
    last = result.last if result is not None else None
    if last is None:
        return (run.started_at or 0.0) + metric.initial_delay
    if last.phase is Phase.ERROR or metric.interval is None:
        return last.finished_at + ERROR_RETRY
    return last.finished_at + metric.interval
