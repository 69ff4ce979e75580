"""What is known of each Rollout, as series, with its AnalysisRuns: read from the caches when they are scraped.

Rules:
- Without caches, that is while another process leads, there is nothing: two controllers never
  tell two stories of one Rollout.
- A Rollout that is gone has no series left.
- A status is shown as far as it is ours: what somebody else wrote into it is left out, never an error.
- Argo's names carry Argo's labels; its ``rollout_phase`` and ``analysis_run_phase``, which it calls deprecated, are
  not made.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from coalmine.kube.cache import Key
from coalmine.kube.resources import Object, namespace_of
from coalmine.model.reasons import Reason
from coalmine.model.rollout import Phase
from coalmine_controller.observed import Pod
from coalmine_controller.routing import Routes
from coalmine_controller.run_series import newest, of_runs
from coalmine_controller.series import KEY, gauge, key_of, moment, number
from coalmine_controller.world import World

_PERCENT: Final = 100
#: Seconds, from a pause of the demonstration to one over a weekend.
_LONG: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 43_200, 259_200)
_PHASES: Final = frozenset(p.value for p in Phase)
_REASONS: Final = frozenset(r.value for r in Reason)

_GAUGES: Final = {
    "rollout_info_replicas_desired": ("Pods that the Deployment asks for.", "replicas"),
    "rollout_info_replicas_available": ("Pods of both versions that are available.", "availableReplicas"),
    "rollout_info_replicas_updated": ("Pods of the canary.", "updatedReplicas"),
    "coalmine_rollout_step": ("Index of the current step; equal to the number of steps behind the last.", "step"),
    "coalmine_rollout_steps": ("Number of steps.", "steps"),
    "coalmine_rollout_attempt": ("Counts the tries of this Rollout.", "attempt"),
    "coalmine_rollout_desired_weight_percent": ("The canary's share that is wanted; 0 without one.", "weight"),
    "coalmine_rollout_actual_weight_percent": ("The one that every sidecar has acknowledged.", "actualWeight"),
}
_WEIGHTS: Final = ("weight", "actualWeight")


class RolloutSeries(Collector):
    """See the module. `watch` is called by who leads."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._now: Callable[[], float] = lambda: 0.0
        self._told: dict[Key, tuple[tuple[Pod, ...], Routes]] = {}
        self._events: dict[Key, Counter[tuple[str, str]]] = defaultdict(Counter)
        #: Looks that were cut short, counted by who looks.
        self.errors: Counter[Key] = Counter()
        self.run_errors: Counter[Key] = Counter()
        self._since: dict[Key, tuple[str, float]] = {}
        self._aborts: Counter[str] = Counter()
        # in no registry of its own: collected with the rest, while we lead
        durations = CollectorRegistry()
        self._phase_seconds = Histogram(
            "coalmine_rollout_phase_duration_seconds",
            "How long Rollouts stayed in a phase that this controller saw begin and end.",
            ["phase"],
            buckets=_LONG,
            registry=durations,
        )
        self._step_seconds = Histogram(
            "coalmine_rollout_step_duration_seconds",
            "How long the steps of Rollouts took.",
            buckets=_LONG,
            registry=durations,
        )
        self._durations = durations

    # --- what the controller tells --------------------------------------------------------------

    def watch(self, world: World, now: Callable[[], float]) -> None:
        """Show what is in the caches of `world` from now on; `now` gives Unix time."""
        self._world = world
        self._now = now
        world.rollouts.listen(self._changed)
        world.runs.listen(self._run_changed)

    def looked(self, key: Key, pods: tuple[Pod, ...], routes: Routes) -> None:
        """What the sidecars of `key` are to be told by its last look; no routes when it is none of ours."""
        if routes:
            self._told[key] = pods, routes
        else:
            self._told.pop(key, None)

    def told(self, key: Key, reason: Reason, *, warning: bool) -> None:
        """An event on the Deployment `key`."""
        self._events[key]["Warning" if warning else "Normal", reason.value] += 1

    def namespaces(self) -> set[str] | None:
        """The namespaces with Rollouts; None while another process leads."""
        return None if self._world is None else {namespace_of(o) for o in self._world.rollouts.objects()}

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._forget(key_of(old))
            return
        key, status = key_of(new), new.get("status") or {}
        before = (old or {}).get("status") or {}
        phase, now = status.get("phase"), self._now()
        if before.get("phase") != phase and phase in _PHASES:
            if key in self._since:
                was, since = self._since[key]
                self._phase_seconds.labels(was).observe(max(0.0, now - since))
            if before:  # else it may have been in this phase for long
                self._since[key] = phase, now
        began, ended = moment(before, "stepStartedAt"), moment(status, "stepStartedAt")
        same = status.get("attempt") == before.get("attempt")
        if same and began is not None and ended is not None and ended > began:
            self._step_seconds.observe(ended - began)
        if status.get("abortedAt") and status.get("abortedAt") != before.get("abortedAt") and before:
            reason = status.get("abortReason")
            self._aborts[reason if reason in _REASONS else "Unknown"] += 1

    def _run_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self.run_errors.pop(key_of(old), None)

    def _forget(self, key: Key) -> None:
        for kept in (self._told, self._events, self.errors, self._since):
            kept.pop(key, None)

    # --- what is scraped ------------------------------------------------------------------------

    def describe(self) -> Iterable[Metric]:
        return ()  # their names are no concern of the registry

    def collect(self) -> Iterator[Metric]:
        if self._world is None:
            return
        rollouts = sorted(self._world.rollouts.objects(), key=key_of)
        keys = {key_of(rollout) for rollout in rollouts}
        yield from _of_rollouts(rollouts)
        yield from self._of_sidecars(keys)
        yield from self._counted(keys)
        yield from self._durations.collect()
        yield from of_runs(newest(self._world.runs.objects()))

    def _of_sidecars(self, keys: set[Key]) -> Iterator[Metric]:
        expected = gauge("coalmine_rollout_sidecars_expected", "Sidecars that must have the current routing.")
        acknowledged = gauge("coalmine_rollout_sidecars_acknowledged", "Those of them that have it.")
        arms = gauge("coalmine_rollout_arm_weight_percent", "Share of an arm that the sidecars are told.", "arm")
        for key, (pods, routes) in sorted(self._told.items()):
            if key not in keys:
                continue
            counting = [p for p in pods if p.uid in routes and p.ready and not p.terminating]
            expected.add_metric(key, len(counting))
            acknowledged.add_metric(key, sum(p.applied == routes[p.uid] for p in counting))
            one = next((routes[p.uid] for p in counting), None)
            for arm in one.arms if one is not None else ():
                arms.add_metric((*key, arm.name), arm.share.hundredths / _PERCENT)
        yield from (expected, acknowledged, arms)

    def _counted(self, keys: set[Key]) -> Iterator[Metric]:
        events = CounterMetricFamily("rollout_events", "Events on Deployments.", labels=(*KEY, "type", "reason"))
        for key, counts in sorted(self._events.items()):
            for (kind, reason), count in sorted(counts.items()) if key in keys else ():
                events.add_metric((*key, kind, reason), count)
        yield events
        # Argo's counter has no _total, which the library gives to every counter
        errors = Metric("rollout_reconcile_error", "Looks that the API server, or a fault, cut short.", "unknown")
        for key in sorted(keys):
            errors.add_sample("rollout_reconcile_error", dict(zip(KEY, key, strict=True)), self.errors[key])
        yield errors
        errors = Metric("analysis_run_reconcile_error", "The same of AnalysisRuns.", "unknown")
        for key, count in sorted(self.run_errors.items()):
            errors.add_sample("analysis_run_reconcile_error", dict(zip(KEY, key, strict=True)), count)
        yield errors
        aborts = CounterMetricFamily("coalmine_rollout_aborts", "Canaries that were taken back.", labels=("reason",))
        for reason, count in sorted(self._aborts.items()):
            aborts.add_metric((reason,), count)
        yield aborts


def _of_rollouts(rollouts: Sequence[Object]) -> Iterator[Metric]:
    """Family by family, so that who collects may pause in between."""
    statuses = [(key_of(rollout), rollout.get("status") or {}) for rollout in rollouts]
    info = gauge("rollout_info", "Information about Rollouts.", "strategy", "traffic_router", "phase")
    for key, status in statuses:
        if status.get("phase") in _PHASES:
            info.add_metric((*key, "canary", "coalmine", status["phase"]), 1)
    yield info
    for name, (text, field) in _GAUGES.items():
        family = gauge(name, text)
        for key, status in statuses:
            if (value := number(status, field)) is not None:
                # without a canary the status says 100, as Argo's does: everything goes to the one version
                idle = field in _WEIGHTS and not status.get("canary")
                family.add_metric(key, 0.0 if idle else value)
        yield family
    missing = gauge("rollout_info_replicas_unavailable", "Pods of both versions that are not available.")
    began = gauge("coalmine_rollout_step_started_timestamp_seconds", "When the current step began.")
    for key, status in statuses:
        current, available = number(status, "currentReplicas"), number(status, "availableReplicas")
        if current is not None and available is not None:
            missing.add_metric(key, max(0.0, current - available))
        if (since := moment(status, "stepStartedAt")) is not None:
            began.add_metric(key, since)
    yield from (missing, began)
