"""The Rollout object: what a person asked for (spec), and where the rollout stands (status).

Rules:
- The controller makes one for each annotated Deployment, with the same name, and alone writes
  its status. Everything that the controller must remember is in it: it can be killed at any line.
- A person's wish names the revision and the attempt that it is about, so that a stale wish
  does nothing. `attempt` counts the tries of this Rollout: each new template and each
  retry raises it, it never falls.
- An absent field has the default given here; unknown ones are dropped (the status is ours).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from coalmine.model.durations import format_time, parse_time
from coalmine.model.weights import Weight


class Phase(StrEnum):
    """Argo Rollouts' phases of a rollout."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked of one attempt at one revision (a template's fingerprint)."""

    revision: str
    attempt: int

    @classmethod
    def read(cls, raw: object) -> Wish | None:
        """None for anything that is not a complete wish: a person may write this by hand."""
        if not isinstance(raw, Mapping):
            return None
        revision, attempt = raw.get("revision"), raw.get("attempt")
        if not isinstance(revision, str) or isinstance(attempt, bool) or not isinstance(attempt, int):
            return None
        return cls(revision, attempt)

    def to_json(self) -> dict[str, Any]:
        return {"revision": self.revision, "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class Promotion:
    """Go on from step `step`; with `full`, skip all steps that remain."""

    wish: Wish
    step: int
    full: bool

    @classmethod
    def read(cls, raw: object) -> Promotion | None:
        wish = Wish.read(raw)
        if wish is None or not isinstance(raw, Mapping):
            return None
        step = raw.get("step", -1)
        whole = isinstance(step, int) and not isinstance(step, bool)
        return cls(wish, step if whole else -1, raw.get("full") is True)

    def to_json(self) -> dict[str, Any]:
        return {**self.wish.to_json(), "step": self.step, "full": self.full}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The spec of a Rollout."""

    paused: Wish | None = None
    abort: Wish | None = None
    promote: Promotion | None = None
    retry: Wish | None = None

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Wishes:
        return cls(
            paused=Wish.read(spec.get("paused")),
            abort=Wish.read(spec.get("abort")),
            promote=Promotion.read(spec.get("promote")),
            retry=Wish.read(spec.get("retry")),
        )


@dataclass(frozen=True, slots=True)
class Revision:
    """One of the two versions: its template's fingerprint, its ReplicaSet and the number of its revision.

    A canary's `number` is the one that it will get when it is promoted. `images` are
    those of its containers.
    """

    fingerprint: str = ""
    replica_set: str = ""
    number: int = 0
    images: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "replicaSet": self.replica_set,
            "revision": self.number,
            "images": list(self.images),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Revision:
        return cls(
            str(raw.get("fingerprint", "")),
            str(raw.get("replicaSet", "")),
            _natural(raw, "revision"),
            tuple(str(i) for i in raw.get("images", ())),
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """A Kubernetes condition; `since` (Unix time) is when its status last changed."""

    type: str
    status: bool
    reason: str
    message: str
    since: float

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "status": "True" if self.status else "False",
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": format_time(self.since),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Condition:
        return cls(
            str(raw["type"]),
            raw.get("status") == "True",
            str(raw.get("reason", "")),
            str(raw.get("message", "")),
            parse_time(raw["lastTransitionTime"]),
        )


@dataclass(frozen=True, slots=True)
class Replicas:
    """Pods of both versions: wanted by the Deployment, existing, canary, ready, available."""

    desired: int = 0
    current: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """Where a rollout stands. Times are Unix times; None is "not yet"."""

    phase: Phase = Phase.HEALTHY
    reason: str = ""
    message: str = ""
    #: Generations of the Rollout itself and of its Deployment that this status is about.
    observed_generation: int = 0
    workload_generation: int = 0
    stable: Revision = Revision()
    canary: Revision | None = None
    attempt: int = 0
    #: Index of the current step; equal to `steps` when the implicit last one (100 %) is on.
    step: int = 0
    steps: int = 0
    step_started_at: float | None = None
    #: The share that the sidecars are told, and the one that all of them have acknowledged.
    weight: Weight = Weight.ZERO
    actual_weight: Weight = Weight.ZERO
    #: uids of the stable pods of the control arm.
    control: tuple[str, ...] = ()
    #: Names of the header and mirror routes in force, for people.
    routes: tuple[str, ...] = ()
    #: Whether sidecars may hold a routing that is not local-only.
    routed: bool = False
    #: Since when 100 % is acknowledged by all sidecars.
    full_at: float | None = None
    #: When every step was skipped by a person.
    full_promotion: bool = False
    aborted_at: float | None = None
    abort_reason: str = ""
    abort_message: str = ""
    #: The last progress, and the most canary pods that were ever available in this attempt.
    progressed_at: float | None = None
    best_available: int = 0
    handover_at: float | None = None
    #: Since when no request goes to a canary that was aborted or left behind.
    withdrawn_at: float | None = None
    #: Name of the background AnalysisRun of this attempt, and how many there were: one that was
    #: inconclusive and that a person passed is followed by another.
    analysis_run: str = ""
    analysis_runs: int = 0
    #: Identity of the steps that this attempt follows.
    strategy: str = ""
    #: Whether the clock of the progress deadline ran at the last look.
    waiting: bool = False
    #: When canary pods without a sidecar were last deleted.
    bare_at: float | None = None
    replicas: Replicas = Replicas()
    conditions: tuple[Condition, ...] = ()

    def next_attempt(self, now: float) -> Status:
        """The status of another try at the same canary: at the first step, nothing granted."""
        return Status(
            phase=Phase.PROGRESSING,
            observed_generation=self.observed_generation,
            workload_generation=self.workload_generation,
            stable=self.stable,
            canary=self.canary,
            attempt=self.attempt + 1,
            steps=self.steps,
            step_started_at=now,
            routed=True,
            progressed_at=now,
            strategy=self.strategy,
            replicas=self.replicas,
            conditions=self.conditions,
        )

    @property
    def step_text(self) -> str:
        """``1/4`` as Argo's tree shows it."""
        return f"{min(self.step, self.steps)}/{self.steps}"

    def to_json(self) -> dict[str, Any]:
        """The status as it is stored; absent where None."""
        raw: dict[str, Any] = {
            "phase": self.phase.value,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": self.observed_generation,
            "workloadObservedGeneration": self.workload_generation,
            "stable": self.stable.to_json(),
            "attempt": self.attempt,
            "step": self.step,
            "steps": self.steps,
            "stepText": self.step_text,
            "weight": self.weight.percent,
            "actualWeight": self.actual_weight.percent,
            "control": list(self.control),
            "routed": self.routed,
            "fullPromotion": self.full_promotion,
            "bestAvailable": self.best_available,
            "analysisRun": self.analysis_run,
            "analysisRuns": self.analysis_runs,
            "strategy": self.strategy,
            "waiting": self.waiting,
            "replicas": self.replicas.desired,
            "currentReplicas": self.replicas.current,
            "updatedReplicas": self.replicas.updated,
            "readyReplicas": self.replicas.ready,
            "availableReplicas": self.replicas.available,
            "conditions": [c.to_json() for c in self.conditions],
            "abortReason": self.abort_reason,
            "abortMessage": self.abort_message,
        }
        if self.routes:
            raw["routes"] = list(self.routes)
        if self.canary is not None:
            raw["canary"] = self.canary.to_json()
        for key, moment in (
            ("stepStartedAt", self.step_started_at),
            ("fullAt", self.full_at),
            ("abortedAt", self.aborted_at),
            ("progressedAt", self.progressed_at),
            ("handoverAt", self.handover_at),
            ("withdrawnAt", self.withdrawn_at),
            ("bareAt", self.bare_at),
        ):
            if moment is not None:
                raw[key] = format_time(moment)
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Status:
        """Read what `to_json` wrote; an empty mapping is a Rollout that was just made.

        Raises ValueError for a status that somebody else wrote.
        """
        try:
            return cls._read(raw)
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a status of ours: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, raw: Mapping[str, Any]) -> Status:
        def moment(key: str) -> float | None:
            return parse_time(raw[key]) if raw.get(key) else None

        return cls(
            phase=Phase(raw.get("phase", Phase.HEALTHY)),
            reason=str(raw.get("reason", "")),
            message=str(raw.get("message", "")),
            observed_generation=_natural(raw, "observedGeneration"),
            workload_generation=_natural(raw, _workload_generation_of(raw)),
            stable=Revision.from_json(raw.get("stable") or {}),
            canary=Revision.from_json(raw["canary"]) if raw.get("canary") else None,
            attempt=_natural(raw, "attempt"),
            step=_natural(raw, "step"),
            steps=_natural(raw, "steps"),
            step_started_at=moment("stepStartedAt"),
            weight=Weight.parse(raw.get("weight", 0), "status.weight"),
            actual_weight=Weight.parse(raw.get("actualWeight", 0), "status.actualWeight"),
            control=tuple(str(uid) for uid in raw.get("control", ())),
            routes=tuple(str(name) for name in raw.get("routes", ())),
            routed=bool(raw.get("routed", False)),
            full_at=moment("fullAt"),
            full_promotion=bool(raw.get("fullPromotion", False)),
            aborted_at=moment("abortedAt"),
            abort_reason=str(raw.get("abortReason", "")),
            abort_message=str(raw.get("abortMessage", "")),
            progressed_at=moment("progressedAt"),
            best_available=_natural(raw, "bestAvailable"),
            handover_at=moment("handoverAt"),
            withdrawn_at=moment("withdrawnAt"),
            analysis_run=str(raw.get("analysisRun", "")),
            analysis_runs=_natural(raw, "analysisRuns"),
            strategy=str(raw.get("strategy", "")),
            waiting=bool(raw.get("waiting", False)),
            bare_at=moment("bareAt"),
            replicas=Replicas(
                _natural(raw, "replicas"),
                _natural(raw, "currentReplicas"),
                _natural(raw, "updatedReplicas"),
                _natural(raw, "readyReplicas"),
                _natural(raw, "availableReplicas"),
            ),
            conditions=tuple(Condition.from_json(c) for c in raw.get("conditions", ())),
        )


def _workload_generation_of(raw: Mapping[str, Any]) -> str:
    # until there were two, the one was the Deployment's: a controller of then, or nobody has looked since
    return "workloadObservedGeneration" if "workloadObservedGeneration" in raw else "observedGeneration"


def _natural(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{key} must be a whole number")
    return value
