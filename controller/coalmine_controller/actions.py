"""What `plan` can ask for. Frozen values; `apply` is the one module that performs them.

Each is safe to repeat, and each write that rests on what was observed carries the
resourceVersion that was observed.
"""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class CreateRollout:
    """Make the Rollout object of the Deployment."""


@dataclass(frozen=True, slots=True)
class DeleteRollout:
    """The Deployment opted out and nothing is left to clean up."""


@dataclass(frozen=True, slots=True)
class Touch:
    """An empty patch on the Deployment, so that the webhook records a completed template as stable."""


@dataclass(frozen=True, slots=True)
class CreateCanary:
    """Make the hidden ReplicaSet of the held template."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Hide:
    """Hide an older revision's ReplicaSet (at 0) that has the held template, to use it as the canary."""

    name: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Give a hidden ReplicaSet that the Deployment released our owner reference (controller: false)."""

    name: str


@dataclass(frozen=True, slots=True)
class ScaleCanary:
    """Set the replicas (and the Deployment's minReadySeconds) of a hidden ReplicaSet."""

    name: str
    replicas: int
    min_ready: int


@dataclass(frozen=True, slots=True)
class DeleteReplicaSet:
    """Delete a hidden ReplicaSet that is at 0."""

    name: str


@dataclass(frozen=True, slots=True)
class ReturnReplicaSet:
    """Give a hidden older revision at 0 its labels back: the Deployment adopts it again."""

    name: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a canary pod that came up without a sidecar."""

    name: str


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Evict a stable pod that came up without a sidecar (its disruption budget holds)."""

    name: str


@dataclass(frozen=True, slots=True)
class MarkFailed:
    """Write `failed` on the Deployment: this template stays held until it is retried."""


@dataclass(frozen=True, slots=True)
class ReportFailure:
    """Write the Deployment's own condition, which `kubectl rollout status` understands."""

    message: str


@dataclass(frozen=True, slots=True)
class ClearFailed:
    """First write of a retry: take `failed` off the Deployment."""


@dataclass(frozen=True, slots=True)
class ClearFailure:
    """Second write of a retry: take our condition off the Deployment."""


@dataclass(frozen=True, slots=True)
class BeginHandover:
    """First write of the handover: `handover` on the Deployment."""


@dataclass(frozen=True, slots=True)
class CancelHandover:
    """Take `handover` back: the ReplicaSet was not relabelled and its preconditions are gone."""


@dataclass(frozen=True, slots=True)
class Relabel:
    """Second write of the handover: the one patch on the canary ReplicaSet."""

    name: str


@dataclass(frozen=True, slots=True)
class Release:
    """Third write of the handover: unpause, drop the hold, record the template as stable.

    `early` keeps `handover` standing until the native update is complete.
    """

    early: bool


@dataclass(frozen=True, slots=True)
class EndHandover:
    """Drop `handover` after an early release. When the native update did not complete, `stable` goes, too:
    what comes next, a way back above all, is the native controller's."""

    complete: bool


@dataclass(frozen=True, slots=True)
class StartAnalysis:
    """Make the background AnalysisRun."""

    run: str


@dataclass(frozen=True, slots=True)
class StopAnalysis:
    """Terminate an AnalysisRun."""

    run: str


@dataclass(frozen=True, slots=True)
class Emit:
    """An event on the Deployment."""

    reason: Reason
    message: str
    warning: bool = False


Action = (
    CreateRollout
    | DeleteRollout
    | Touch
    | CreateCanary
    | Hide
    | Reference
    | ScaleCanary
    | DeleteReplicaSet
    | ReturnReplicaSet
    | DeletePod
    | EvictPod
    | MarkFailed
    | ReportFailure
    | ClearFailed
    | ClearFailure
    | BeginHandover
    | CancelHandover
    | Relabel
    | Release
    | EndHandover
    | StartAnalysis
    | StopAnalysis
    | Emit
)
