"""AnalysisTemplate, ClusterAnalysisTemplate and AnalysisRun, read from raw JSON.

Rules: a metric is read once its arguments are in place, into a `Metric` that cannot be invalid; a template
without its arguments can only be checked (`check_template`), for ``{{args.x}}`` may stand
where a number belongs. What Argo's schema has and this version has not is refused by name,
never ignored: a template that is copied over means here what it meant there, or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model.errors import SpecError
from coalmine_controller.analysis import arguments
from coalmine_controller.analysis.conditions import Condition
from coalmine_controller.analysis.fields import Fields, shown
from coalmine_controller.analysis.settings import READERS, UNSUPPORTED, Settings

#: Every metric is a line of work for the controller and several KB in the run's status.
MAX_METRICS: Final = 50
#: Seconds. Twenty measurements a second by one metric is a load test, not an analysis.
SHORTEST_INTERVAL: Final = 0.05
DEFAULT_CONSECUTIVE_ERROR_LIMIT: Final = 4

_SPEC: Final = ("metrics", "args")
_SPEC_UNSUPPORTED: Final = ("dryRun", "measurementRetention", "templates", "ttlStrategy")
_METRIC: Final = (
    "name",
    "interval",
    "initialDelay",
    "count",
    "successCondition",
    "failureCondition",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
    "provider",
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One valid metric. Times are in seconds; `count` is None for "until stopped"."""

    name: str
    settings: Settings
    interval: float | None = None
    initial_delay: float = 0.0
    count: int | None = 1
    success: Condition | None = None
    failure: Condition | None = None
    failure_limit: int = 0  # -1 switches it off
    inconclusive_limit: int = 0
    consecutive_error_limit: int = DEFAULT_CONSECUTIVE_ERROR_LIMIT
    consecutive_success_limit: int = 0  # 0 switches it off


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The valid spec of an AnalysisRun."""

    metrics: tuple[Metric, ...]
    terminate: bool = False


def read_run(spec: Any) -> RunSpec:
    """The ``spec`` of an AnalysisRun, its arguments put in place. Raises SpecError."""
    fields = Fields(spec, "spec", "write metrics")
    fields.known((*_SPEC, "terminate"), _SPEC_UNSUPPORTED)
    wanted = arguments.declared(fields.raw("args"), "spec.args")
    values = arguments.merge({"AnalysisRun": wanted}, {})
    raw = arguments.substitute(_metrics(fields), values, "spec.metrics")
    return RunSpec(_read_metrics(raw, open_placeholders=False), fields.boolean("terminate"))


def check_template(spec: Any) -> None:
    """Whether the ``spec`` of a template can be used, before any arguments are given. Raises SpecError."""
    fields = Fields(spec, "spec", "write metrics")
    fields.known(_SPEC, _SPEC_UNSUPPORTED)
    wanted = arguments.declared(fields.raw("args"), "spec.args")
    raw = _metrics(fields)
    for name in sorted(arguments.used(raw) - wanted.keys()):
        raise SpecError("spec.metrics", f"{{{{args.{name}}}}} names no argument", "declare it in spec.args")
    defaults = {name: value if value is not None else f"{{{{args.{name}}}}}" for name, value in wanted.items()}
    _read_metrics(arguments.substitute(raw, defaults, "spec.metrics"), open_placeholders=True)


def template_parts(template: Mapping[str, Any]) -> tuple[str, dict[str, str | None], list[Any]]:
    """What an error calls the template, the arguments it declares, and its raw metrics. Raises SpecError."""
    title = f"{template.get('kind') or 'AnalysisTemplate'} {(template.get('metadata') or {}).get('name', '')}"
    try:
        fields = Fields(template.get("spec"), "spec", "write metrics")
        fields.known(_SPEC, _SPEC_UNSUPPORTED)
        return title, arguments.declared(fields.raw("args"), "spec.args"), _metrics(fields)
    except SpecError as error:
        raise in_template(title, error) from error


def in_template(title: str, error: SpecError) -> SpecError:
    """The same error, naming the template that it is in."""
    return SpecError(f"{title}: {error.path}", error.problem, error.advice)


def read_metric(raw: Any, path: str, *, open_placeholders: bool = False) -> Metric:
    """One metric, its arguments in place. Raises SpecError."""
    fields = Fields(raw, path, "write {name, provider}", open_placeholders=open_placeholders)
    fields.known(_METRIC)
    name = fields.text("name")
    interval = fields.duration("interval")
    if interval is not None and interval < SHORTEST_INTERVAL:
        raise SpecError(fields.at("interval"), f"{shown(fields.raw('interval'))} is too short", "write at least 50ms")
    count = fields.whole("count", 0)
    if count > 1 and interval is None and not fields.is_open("interval"):
        raise SpecError(fields.at("interval"), f"is missing, but count is {count}", 'write for example "30s"')
    failure_limit = fields.whole("failureLimit", 0, least=-1)
    inconclusive_limit = fields.whole("inconclusiveLimit", 0)
    for field, limit in (("failureLimit", failure_limit), ("inconclusiveLimit", inconclusive_limit)):
        if 0 < count < limit:
            raise SpecError(
                fields.at(field), f"{limit} can never be met with a count of {count}", f"write at most {count}"
            )
    return Metric(
        name=name,
        settings=_provider(fields, open_placeholders=open_placeholders),
        interval=interval,
        initial_delay=fields.duration("initialDelay") or 0.0,
        # Argo's EffectiveCount: without count and interval once, with an interval only until stopped
        count=count or (1 if interval is None else None),
        success=fields.condition("successCondition"),
        failure=fields.condition("failureCondition"),
        failure_limit=failure_limit,
        inconclusive_limit=inconclusive_limit,
        consecutive_error_limit=fields.whole("consecutiveErrorLimit", DEFAULT_CONSECUTIVE_ERROR_LIMIT),
        consecutive_success_limit=fields.whole("consecutiveSuccessLimit", 0),
    )


def _metrics(fields: Fields) -> list[Any]:
    raw = fields.sequence("metrics")
    if not raw:
        raise SpecError(fields.at("metrics"), "there is no metric", "write [{name, provider}]")
    if len(raw) > MAX_METRICS:
        raise SpecError(fields.at("metrics"), f"{len(raw)} metrics are too many", f"write at most {MAX_METRICS}")
    return raw


def _read_metrics(raw: list[Any], *, open_placeholders: bool) -> tuple[Metric, ...]:
    metrics: list[Metric] = []
    for i, entry in enumerate(raw):
        metric = read_metric(entry, f"spec.metrics[{i}]", open_placeholders=open_placeholders)
        if any(metric.name == other.name for other in metrics):
            raise SpecError(f"spec.metrics[{i}].name", f"{metric.name!r} is used twice", "give each metric its own")
        metrics.append(metric)
    return tuple(metrics)


def _provider(metric: Fields, *, open_placeholders: bool) -> Settings:
    advice = f"write exactly one of {', '.join(READERS)}"
    fields = Fields(metric.raw("provider"), metric.at("provider"), advice, open_placeholders=open_placeholders)
    fields.known(READERS, UNSUPPORTED)
    kinds = fields.present()
    if len(kinds) != 1:
        raise SpecError(fields.path, f"there are {len(kinds)} providers", advice)
    kind = kinds[0]
    settings = Fields(fields.raw(kind), fields.at(kind), "write its fields", open_placeholders=open_placeholders)
    return READERS[kind](settings)
