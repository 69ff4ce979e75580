"""What is counted of the controller's work: its queues, by the names of client-go, and its looks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.context_managers import Timer

from coalmine.kube.cache import Key

_WAIT: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class _Queue(Protocol):
    """What is read of a queue when it is scraped."""

    def __len__(self) -> int: ...
    def under_way(self) -> list[float]: ...


class QueueSeries:
    """client-go's metrics of work queues, which every dashboard for controllers knows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = ["name"]
        self.depth = Gauge("workqueue_depth", "Objects that wait.", name, registry=registry)
        self.unfinished = Gauge(
            "workqueue_unfinished_work_seconds", "Time spent on work that goes on.", name, registry=registry
        )
        self.longest = Gauge(
            "workqueue_longest_running_processor_seconds", "Age of the oldest work.", name, registry=registry
        )
        self.adds = Counter("workqueue_adds", "Objects that were added.", name, registry=registry)
        self.retries = Counter("workqueue_retries", "Objects that were put back.", name, registry=registry)
        self.waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long an object waits to be worked on.",
            name,
            buckets=_WAIT,
            registry=registry,
        )
        self.worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long the work on an object takes.",
            name,
            buckets=_WAIT,
            registry=registry,
        )


class Work:
    """One kind of work, its queue and its looks: a `queue.Watcher`."""

    def __init__(self, name: str, series: QueueSeries, seconds: Histogram, failures: Tally[Key]) -> None:
        self._failures = failures
        self._name = name
        self._series = series
        self._seconds = seconds
        self._namespaces: set[str] = set()
        self._adds = series.adds.labels(name)
        self._retries = series.retries.labels(name)
        self._waited = series.waited.labels(name)
        self._worked = series.worked.labels(name)

    def look(self, key: Key) -> Timer:
        """Times one look at an object."""
        self._namespaces.add(key[0])
        return self._seconds.labels(key[0]).time()

    def failed(self, key: Key) -> None:
        """Count a look that the API server, or a fault, cut short."""
        self._failures[key] += 1

    def failures(self, namespace: str, name: str) -> int:
        """How many there were."""
        return self._failures[namespace, name]

    def keep(self, namespaces: Iterable[str]) -> None:
        """Drop the series of every other namespace."""
        for gone in self._namespaces.difference(namespaces):
            self._seconds.remove(gone)
            self._namespaces.discard(gone)

    def follow(self, queue: _Queue) -> None:
        """Have the state of `queue` read when it is scraped."""
        series = self._series
        series.depth.labels(self._name).set_function(lambda: float(len(queue)))
        series.unfinished.labels(self._name).set_function(lambda: sum(queue.under_way()))
        series.longest.labels(self._name).set_function(lambda: max(queue.under_way(), default=0.0))

    def added(self) -> None:
        self._adds.inc()

    def taken(self, waited: float) -> None:
        self._waited.observe(waited)

    def done(self, worked: float) -> None:
        self._worked.observe(worked)

    def retried(self) -> None:
        self._retries.inc()
