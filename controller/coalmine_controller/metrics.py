"""The controller's own metrics, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.context_managers import Timer


class Metrics:
    """Registered once a process, whichever controller leads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "coalmine_controller_reconcile_seconds", "Time for one look at one object.", registry=self.registry
        )
        self.errors = Counter(
            "coalmine_controller_reconcile_errors",
            "Looks that the API server, or a fault, cut short.",
            registry=self.registry,
        )
        self.leading = Gauge("coalmine_controller_leading", "1 while this process leads.", registry=self.registry)
        self._depth = Gauge(
            "coalmine_controller_workqueue_depth", "Objects that wait.", ["queue"], registry=self.registry
        )

    def reconcile(self) -> Timer:
        """Times one look."""
        return self._seconds.time()

    def watch_queues(self, deployments: Callable[[], int], runs: Callable[[], int]) -> None:
        """Have the depth of the queues read when they are scraped."""
        self._depth.labels("deployments").set_function(lambda: float(deployments()))
        self._depth.labels("analysisruns").set_function(lambda: float(runs()))
