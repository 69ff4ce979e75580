"""What is known of each AnalysisRun, as series. Pure.

Rules: Argo's names carry Argo's labels. Of a Rollout's runs the newest `RUNS` are shown: they are kept for as long as
the Rollout is, and each metric of a run is two series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from coalmine.kube.resources import Object, controller_of, name_of, namespace_of
from coalmine_controller.analysis.phases import Phase
from coalmine_controller.analysis.settings import READERS
from coalmine_controller.series import gauge, key_of

RUNS: Final = 5
_PHASES: Final = frozenset(p.value for p in Phase)


def of_runs(runs: Iterable[Object]) -> Iterator[Metric]:
    """The series of these runs."""
    info = gauge("analysis_run_info", "Information about AnalysisRuns.", "phase")
    types = gauge("analysis_run_metric_type", "The provider of each metric of an AnalysisRun.", "metric", "type")
    phases = gauge(
        "analysis_run_metric_phase", "The phase of each metric of an AnalysisRun.", "metric", "type", "dry_run", "phase"
    )
    for run in runs:
        key, status = key_of(run), run.get("status") or {}
        info.add_metric((*key, _run_phase(status)), 1)
        results = {r.get("name"): r for r in status.get("metricResults") or () if isinstance(r, Mapping)}
        metrics = {str(m.get("name", "")): _provider(m) for m in (run.get("spec") or {}).get("metrics") or ()}
        for name, kind in metrics.items():
            types.add_metric((*key, name, kind), 1)
            phases.add_metric((*key, name, kind, "false", _run_phase(results.get(name) or {})), 1)
    yield from (info, types, phases)


def newest(runs: Iterable[Object]) -> list[Object]:
    """The newest `RUNS` of each Rollout, in the order of their names."""
    by_owner: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for run in runs:
        by_owner[namespace_of(run), str((controller_of(run) or {}).get("uid", ""))].append(run)
    found = []
    for owned in by_owner.values():
        owned.sort(key=lambda r: (str(r["metadata"].get("creationTimestamp", "")), name_of(r)), reverse=True)
        found += owned[:RUNS]
    return sorted(found, key=key_of)


def _run_phase(raw: Mapping[str, Any]) -> str:
    phase = raw.get("phase") or Phase.PENDING.value
    return phase if phase in _PHASES else Phase.PENDING.value


def _provider(metric: Mapping[str, Any]) -> str:
    """Argo's word for a metric's provider: ``Web``, ``Prometheus``."""
    kinds = [kind for kind in metric.get("provider") or () if kind in READERS]
    return kinds[0][:1].upper() + kinds[0][1:] if kinds else "Unknown"
