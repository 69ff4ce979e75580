"""The AnalysisRun object for a rollout's templates and arguments. Pure.

Rules: a run carries its metrics as they were written and the values of its arguments beside
them, as Argo's does. A run that could not be carried out is not made: the error is raised here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coalmine.model.errors import SpecError
from coalmine.model.names import ANALYSIS_RUN, API_VERSION
from coalmine_controller.analysis.arguments import merge
from coalmine_controller.analysis.template import in_template, read_run, template_parts


def build_run(
    templates: Sequence[Mapping[str, Any]],
    args: Mapping[str, str],
    name: str,
    namespace: str,
    owner_reference: Mapping[str, Any],
    labels: Mapping[str, str],
) -> dict[str, Any]:
    """The object: the metrics of all `templates` (raw objects) with the resolved `args`.

    Raises SpecError, which names the template, for one that cannot be used, for an argument
    without a value, and for a metric's name that two templates use.
    """
    metrics: list[Any] = []
    owners: dict[str, str] = {}
    wanted: dict[str, dict[str, str | None]] = {}
    for template in templates:
        title, declared, raw = template_parts(template)
        wanted[title] = declared
        for i, metric in enumerate(raw):
            metric_name = str(metric.get("name")) if isinstance(metric, dict) else f"{title} {i}"
            if owners.setdefault(metric_name, title) != title:
                raise SpecError(
                    f"{title}: spec.metrics[{i}].name",
                    f"{metric_name!r} is also used by {owners[metric_name]}",
                    "give each metric its own name",
                )
            metrics.append(metric)
    values = merge(wanted, args)
    arguments = [{"name": key, "value": value} for key, value in values.items()]
    for template in templates:  # each by itself first, so that an error names the template
        title, _, raw = template_parts(template)
        try:
            read_run({"metrics": raw, "args": arguments})
        except SpecError as error:
            raise in_template(title, error) from error
    spec: dict[str, Any] = {"metrics": metrics}
    if arguments:
        spec["args"] = arguments
    read_run(spec)
    return {
        "apiVersion": API_VERSION,
        "kind": ANALYSIS_RUN,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "ownerReferences": [dict(owner_reference)],
        },
        "spec": spec,
    }
