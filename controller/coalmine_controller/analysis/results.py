"""Measurements and what they add up to, with their JSON in an AnalysisRun's status.

Rules: field names are Argo's, and as there zeros and empty strings are left out. Times are
Unix times rounded to the microsecond that the JSON keeps, so that a run read back from the API
server decides exactly as the one that was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from coalmine.model.durations import format_time, parse_time
from coalmine_controller.analysis.phases import Phase

#: Measurements kept for each metric (Argo's default measurementRetention).
RETENTION: Final = 10
#: Characters of a value or a message that are kept: ten each for every metric must fit into an
#: object of 1.5 MB, etcd's limit. Decisions are made on the whole value, before.
MAX_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Measurement:
    """One completed measurement."""

    phase: Phase
    started_at: float
    finished_at: float
    value: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class MetricResult:
    """Where a metric stands. `measurements` holds the last RETENTION of them, oldest first."""

    name: str
    phase: Phase = Phase.RUNNING
    count: int = 0  # without errors
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0
    message: str = ""
    measurements: tuple[Measurement, ...] = ()

    @property
    def last(self) -> Measurement | None:
        return self.measurements[-1] if self.measurements else None

    def adding(self, measurement: Measurement) -> MetricResult:
        """With one more measurement. Errors do not count towards `count`."""
        phase = measurement.phase
        kept = replace(
            measurement,
            started_at=rounded(measurement.started_at),
            finished_at=rounded(measurement.finished_at),
            value=cut(measurement.value),
            message=cut(measurement.message),
        )
        return replace(
            self,
            count=self.count + (phase is not Phase.ERROR),
            successful=self.successful + (phase is Phase.SUCCESSFUL),
            failed=self.failed + (phase is Phase.FAILED),
            inconclusive=self.inconclusive + (phase is Phase.INCONCLUSIVE),
            error=self.error + (phase is Phase.ERROR),
            consecutive_error=self.consecutive_error + 1 if phase is Phase.ERROR else 0,
            consecutive_success=self.consecutive_success + 1 if phase is Phase.SUCCESSFUL else 0,
            measurements=(*self.measurements, kept)[-RETENTION:],
        )


_COUNTERS: Final = (
    ("count", "count"),
    ("successful", "successful"),
    ("failed", "failed"),
    ("inconclusive", "inconclusive"),
    ("error", "error"),
    ("consecutiveError", "consecutive_error"),
    ("consecutiveSuccess", "consecutive_success"),
)


def rounded(moment: float) -> float:
    """A Unix time to the microsecond, as it comes back from JSON."""
    return parse_time(format_time(moment))


def cut(text: str) -> str:
    """`text`, or its first MAX_KEPT characters and how many there were."""
    return text if len(text) <= MAX_KEPT else f"{text[:MAX_KEPT]}... ({len(text)} characters)"


def result_to_json(result: MetricResult) -> dict[str, Any]:
    """An entry of ``status.metricResults``."""
    counters = {key: getattr(result, attribute) for key, attribute in _COUNTERS}
    return {
        "name": result.name,
        "phase": str(result.phase),
        **{key: value for key, value in counters.items() if value},
        **({"message": result.message} if result.message else {}),
        **({"measurements": [_measurement_to_json(m) for m in result.measurements]} if result.measurements else {}),
    }


def result_from_json(raw: Mapping[str, Any]) -> MetricResult:
    """The opposite. A measurement that was under way is dropped, to be taken again. Raises ValueError."""
    try:
        return MetricResult(
            name=str(raw["name"]),
            phase=Phase(raw.get("phase") or Phase.RUNNING),
            message=str(raw.get("message") or ""),
            measurements=tuple(_measurement_from_json(m) for m in raw.get("measurements") or () if m.get("finishedAt")),
            **{attribute: int(raw.get(key) or 0) for key, attribute in _COUNTERS},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a metric result is malformed: {error!r}") from error


def _measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    return {
        "phase": str(measurement.phase),
        **({"value": measurement.value} if measurement.value else {}),
        **({"message": measurement.message} if measurement.message else {}),
        "startedAt": format_time(measurement.started_at),
        "finishedAt": format_time(measurement.finished_at),
    }


def _measurement_from_json(raw: Mapping[str, Any]) -> Measurement:
    finished = parse_time(raw["finishedAt"])
    return Measurement(
        phase=Phase(raw["phase"]),
        started_at=parse_time(raw["startedAt"]) if raw.get("startedAt") else finished,
        finished_at=finished,
        value=str(raw.get("value") or ""),
        message=str(raw.get("message") or ""),
    )
