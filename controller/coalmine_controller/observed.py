"""What the controller knows of one Deployment when it decides: a snapshot, as values.

Pure. Made by `observe`, read by `plan`. Nothing here is judged yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import ProxySettings
from coalmine.model.rollout import Status, Wishes
from coalmine.model.strategy import Strategy
from coalmine.model.wire import Injection, Routing


@dataclass(frozen=True, slots=True)
class Deployment:
    """The Deployment. `raw` is the stored object, for what is written back."""

    namespace: str
    name: str
    uid: str
    generation: int
    fingerprint: str
    replicas: int
    min_ready: int
    max_surge: int
    progress_deadline: float
    paused: bool
    #: Our annotations; None where absent.
    hold: str | None
    stable: str | None
    failed: str | None
    handover: str | None
    #: None: not annotated, or "off".
    strategy: Strategy | SpecError | None
    off: bool
    stamped: bool
    #: Whether the native controller is done with the current template and replicas.
    complete: bool
    updated: int
    available: int
    #: Reason of the native condition Progressing, and the fingerprint of our failure condition.
    progressing_reason: str
    reported_failure: str | None
    images: tuple[str, ...]
    local_paths: tuple[str, ...]
    #: How sidecars are to work; the defaults where what is written cannot be read.
    settings: ProxySettings
    raw: dict[str, Any] = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether the template is ours to bring up."""
        return self.hold is not None


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """A ReplicaSet of the Deployment: owned by it, or hidden from it (role canary), or in between."""

    name: str
    uid: str
    fingerprint: str
    hash: str
    #: spec.replicas, and what its status says.
    replicas: int
    current: int
    ready: int
    available: int
    #: Carries the role canary.
    hidden: bool
    #: Its hidden ones name the Deployment's uid; one of an earlier Deployment of that name does not.
    ours: bool
    #: Controlled by the Deployment.
    owned: bool
    #: Carries an owner reference to the Deployment, controlling or not.
    referenced: bool
    min_ready: int
    #: Hidden, and was an older revision before.
    returnable: bool
    revision: int
    created: float
    images: tuple[str, ...]
    #: Message of the condition ReplicaFailure (quota, admission), or "".
    failure: str
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of one of those ReplicaSets."""

    name: str
    uid: str
    replica_set: str
    address: str
    ready: bool
    terminating: bool
    created: float
    #: None: it came up without a sidecar.
    injection: Injection | None
    #: Why a container waits (CrashLoopBackOff, ImagePullBackOff ...), or "".
    waiting: str
    #: What its sidecar has acknowledged to this controller, or None; and why it did not.
    applied: Routing | None = None
    push_error: str = ""
    #: The schema that its sidecar understands, by its own last word; None before that.
    schema: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """An AnalysisRun of this rollout."""

    name: str
    phase: str
    message: str
    terminated: bool

    @property
    def over(self) -> bool:
        return self.phase in ("Successful", "Failed", "Error", "Inconclusive")


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that `plan` may look at.

    `live` says that it was read from the API server in one breath rather than from caches:
    the handover's writes are decided on nothing else.
    """

    deployment: Deployment
    rollout_exists: bool
    wishes: Wishes
    status: Status
    replica_sets: tuple[ReplicaSet, ...]
    pods: tuple[Pod, ...]
    run: Run | None = None
    #: What is wrong with the analysis templates that the strategy names, or "".
    analysis_problem: str = ""
    #: What the API server said when it last refused a write for this Deployment, or "".
    refusal: str = ""
    live: bool = False
    #: Whether this controller sees the Deployment for the first time: nobody may have looked for long.
    first: bool = False
    #: metadata.generation of the Rollout: what people asked for, counted. 0: there is no Rollout.
    rollout_generation: int = 0
