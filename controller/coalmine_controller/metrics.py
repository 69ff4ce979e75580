"""The controller's own metrics, for Prometheus: what it does, counted as it does it.

Rules:
- What means the same as a metric of Argo Rollouts has its name; next to Argo itself the job tells them apart.
- What is known of a Rollout comes from the caches when it is scraped (`rollout_series`), and only while we lead.
- Nothing is counted by a name that people make up without end: series with the name of a Rollout go
  when it goes, what is counted by the API server's resources has no name in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from coalmine.kube.cache import Key
from coalmine.kube.calls import Call
from coalmine.model.reasons import Reason
from coalmine_controller.rollout_series import RolloutSeries
from coalmine_controller.work_series import QueueSeries, Work

#: Seconds of a look: Argo's edges (0.01, 0.15, 0.25, 0.5, 1), finer below, where ours are.
_LOOK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.15, 0.25, 0.5, 1.0)
#: A look at an analysis run takes its measurements, each of which may take 300 s.
_ANALYSIS: Final = (0.01, 0.15, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0)
#: The client gives up after 8 s.
_CALL: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 8.0)

_HANDOVERS: Final = {
    Reason.HANDOVER_STARTED: "started",
    Reason.HANDOVER_CUT_SHORT: "cut_short",
    Reason.COMPLETED: "completed",
}


class Metrics:
    """Registered once a process, whichever controller leads."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.leading = Gauge("coalmine_controller_leading", "1 while this process leads.", registry=registry)
        self.leading.set(0)
        self.series = RolloutSeries()
        registry.register(self.series)
        queues = QueueSeries(registry)
        self.rollouts = Work(
            "rollouts",
            queues,
            Histogram(
                "rollout_reconcile",
                "Seconds of one look at a Rollout.",
                ["namespace"],
                buckets=_LOOK,
                registry=registry,
            ),
            self.series.errors,
        )
        self.runs = Work(
            "analysisruns",
            queues,
            Histogram(
                "analysis_run_reconcile",
                "Seconds of one look at an AnalysisRun, its measurements included.",
                ["namespace"],
                buckets=_ANALYSIS,
                registry=registry,
            ),
            self.series.run_errors,
        )
        self._handovers = Counter(
            "coalmine_handovers", "Canaries handed over to their Deployment.", ["outcome"], registry=registry
        )
        for outcome in _HANDOVERS.values():
            self._handovers.labels(outcome)
        self._calls = Counter(
            "controller_clientset_k8s_request",
            "Requests to the API server; status 0 is no answer.",
            ["verb", "kind", "status_code"],
            registry=registry,
        )
        self._call_seconds = Histogram(
            "coalmine_k8s_request_duration_seconds",
            "Until the API server's answer began.",
            ["verb", "kind"],
            buckets=_CALL,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def called(self, call: Call) -> None:
        """Count a request to the API server."""
        self._calls.labels(call.verb, call.resource, str(call.status)).inc()
        self._call_seconds.labels(call.verb, call.resource).observe(call.seconds)

    def told(self, key: Key, reason: Reason, *, warning: bool) -> None:
        """Count an event on the Deployment `key`."""
        self.series.told(key, reason, warning=warning)
        if reason in _HANDOVERS:
            self._handovers.labels(_HANDOVERS[reason]).inc()

    def prune(self) -> None:
        """Drop what belongs to namespaces in which there is no Rollout any more."""
        namespaces = self.series.namespaces()
        if namespaces is not None:
            self.rollouts.keep(namespaces)
            self.runs.keep(namespaces)

    async def page(self) -> bytes:
        """What a scrape is answered with."""
        self.prune()
        # the caches belong to the loop; thousands of lines at once would hold it up
        families = []
        for family in self.registry.collect():
            families.append(family)
            await asyncio.sleep(0)
        return await asyncio.to_thread(generate_latest, _Collected(families))


class _Collected(Collector):
    """Families that were collected before."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
