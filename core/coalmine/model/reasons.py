"""Every outcome as a code and a sentence: one table for the webhook's answers, events,
conditions, metrics and the command line.

A code is a Kubernetes reason (CamelCase, stable, fit for alerts); its sentence is for people
and is filled in by `say`. Nothing else in the project writes such a sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why something happened or was refused."""

    # webhook: warnings
    OPTED_IN = "OptedIn"
    OPTED_OUT = "OptedOut"
    HELD = "Held"
    RELEASED = "Released"
    USER_PAUSED = "UserPaused"
    STRATEGY_CHANGED = "StrategyChanged"
    STILL_FAILED = "StillFailed"
    # webhook: refusals
    BAD_ANNOTATION = "BadAnnotation"
    RECREATE = "RecreateStrategy"
    READ_WRITE_ONCE = "ReadWriteOnceVolume"
    NOT_INJECTABLE = "NotInjectable"
    SELECTOR_TOO_WIDE = "SelectorTooWide"
    HANDOVER_IN_PROGRESS = "HandoverInProgress"
    REMOVED_WHILE_HELD = "AnnotationRemovedWhileHeld"
    REMOVED_WITH_TEMPLATE = "AnnotationRemovedWithTemplateChange"
    OFF_WHILE_FAILED = "OffWhileFailed"
    BAD_RELEASE = "BadRelease"
    # injection
    INJECTED = "SidecarInjected"
    SKIP_HOST_NETWORK = "HostNetwork"
    SKIP_WINDOWS = "Windows"
    SKIP_NO_DEPLOYMENT = "NoDeployment"
    SKIP_ALREADY = "AlreadyInjected"
    SKIP_NO_PORT = "NoPortToTake"
    # rollout
    CANARY_STARTED = "CanaryStarted"
    WEIGHT_SET = "WeightSet"
    STEP_COMPLETED = "StepCompleted"
    PAUSED = "RolloutPaused"
    WAITING_FOR_CANARY = "WaitingForCanary"
    WAITING_FOR_SIDECARS = "WaitingForSidecars"
    WAITING_FOR_STABLE = "WaitingForStable"
    SIDECAR_OUTDATED = "SidecarOutdated"
    ANALYSIS_MISSING = "AnalysisMissing"
    ANALYSIS_FAILED = "AnalysisFailed"
    ANALYSIS_INCONCLUSIVE = "AnalysisInconclusive"
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    QUOTA = "QuotaExceeded"
    ABORTED_BY_USER = "AbortedByUser"
    ABORTED = "RolloutAborted"
    RETRIED = "RolloutRetried"
    SUPERSEDED = "RevisionSuperseded"
    STEPS_CHANGED = "StepsChanged"
    REDUCED = "WeightReduced"
    BARE_CANARY = "CanaryWithoutSidecar"
    WENT_BACK = "WentBackToStable"
    HANDOVER_STARTED = "HandoverStarted"
    HANDOVER_CUT_SHORT = "HandoverCutShort"
    COMPLETED = "RolloutCompleted"
    NATIVE_UPDATE = "NativeUpdate"
    INCOMPLETE = "NotComplete"
    HEALTHY = "RolloutHealthy"
    INVALID = "InvalidSpec"
    SCALED_TO_ZERO = "ScaledToZero"


SENTENCES: Final[dict[Reason, str]] = {
    Reason.OPTED_IN: "Coalmine now holds new templates of this Deployment; this first update only brings "
    "the sidecars and is no canary",
    Reason.OPTED_OUT: "Coalmine lets go of this Deployment; {images} now ships by the native rolling update",
    Reason.HELD: "Coalmine holds {images}: it is brought up as a canary first; follow it with "
    "`coalmine get rollout {name} -w`",
    Reason.RELEASED: "the template is the stable one again: nothing is held",
    Reason.USER_PAUSED: "spec.paused is set by you, so Coalmine starts no canary until you remove it",
    Reason.STRATEGY_CHANGED: "the annotation coalmine.dev/canary changed with the template; the strategy that now holds: {strategy}",
    Reason.STILL_FAILED: "{images} is the version whose canary was taken back: it stays held; "
    "`coalmine retry {name}` tries it again",
    Reason.BAD_ANNOTATION: "{error}",
    Reason.RECREATE: "spec.strategy.type: Recreate cannot run two versions at once; write RollingUpdate, "
    "or remove the annotation coalmine.dev/canary",
    Reason.READ_WRITE_ONCE: "spec.template.spec.volumes[{index}]: the claim {claim} is ReadWriteOnce, which canary and stable pods "
    "cannot share; use a ReadWriteMany claim, or remove the annotation coalmine.dev/canary",
    Reason.NOT_INJECTABLE: "no sidecar fits into this pod template: {why}",
    Reason.SELECTOR_TOO_WIDE: "spec.selector matches objects without labels, so a canary could not be hidden "
    "from the Deployment; add a matchLabels entry",
    Reason.HANDOVER_IN_PROGRESS: "handover in progress, try again in a few seconds",
    Reason.REMOVED_WHILE_HELD: "the annotation coalmine.dev/canary cannot be removed while {images} is held: "
    'promote or abort it and go back first, or write coalmine.dev/canary: "off" to ship it natively',
    Reason.REMOVED_WITH_TEMPLATE: "the annotation coalmine.dev/canary cannot be removed in the same write that changes the template, "
    "or the new template would ship unwatched; remove it in a write of its own "
    "(`kubectl rollout undo` does this when the old revision had none: use `coalmine undo`)",
    Reason.OFF_WHILE_FAILED: 'coalmine.dev/canary: "off" would ship {images}, whose canary was taken back; '
    "go back to another template first, or `coalmine retry {name}`",
    Reason.BAD_RELEASE: "a release must record the template that it releases as stable (controller bug)",
    Reason.INJECTED: "sidecar injected: it takes the port name {port}",
    Reason.SKIP_HOST_NETWORK: "hostNetwork: the pod shares its node's ports",
    Reason.SKIP_WINDOWS: "os: the sidecar runs on Linux",
    Reason.SKIP_NO_DEPLOYMENT: "no ReplicaSet made this pod: nobody would tell its sidecar what to do",
    Reason.SKIP_ALREADY: "the pod already has a sidecar",
    Reason.SKIP_NO_PORT: "{error}",
    Reason.CANARY_STARTED: "bringing up {images} as canary, revision {revision}",
    Reason.WEIGHT_SET: "{weight} % of the requests go to the canary, acknowledged by all {count} sidecars",
    Reason.STEP_COMPLETED: "step {step} of {steps} completed",
    Reason.PAUSED: "paused at step {step} of {steps}{until}",
    Reason.WAITING_FOR_CANARY: "waiting for canary pods: {available} of {wanted} available{detail}",
    Reason.WAITING_FOR_SIDECARS: "waiting for the sidecar of {pod} to acknowledge",
    Reason.SIDECAR_OUTDATED: "the sidecar of {pod} is older than the controller and does not know {what}: what comes to it "
    "is split by weight alone; delete the pod, and the one that takes its place has a current sidecar",
    Reason.WAITING_FOR_STABLE: "waiting for stable pods: {detail}",
    Reason.ANALYSIS_MISSING: "waiting for analysis {run} to be started{detail}",
    Reason.ANALYSIS_FAILED: "canary aborted: {detail}",
    Reason.ANALYSIS_INCONCLUSIVE: "analysis {run} is inconclusive: promote or abort",
    Reason.DEADLINE_EXCEEDED: "canary aborted: no progress for {seconds} s: {detail}",
    Reason.QUOTA: "the canary pods cannot be made: {detail}",
    Reason.ABORTED_BY_USER: "canary aborted by a person",
    Reason.ABORTED: "{why}; all requests go to stable",
    Reason.RETRIED: "trying {images} again from the first step",
    Reason.SUPERSEDED: "a newer template took the place of {fingerprint}: starting again at the first step",
    Reason.STEPS_CHANGED: "the steps of the strategy changed: starting again at the first one",
    Reason.REDUCED: "only {ready} of {wanted} canary pods are ready: they get {told} % instead of {weight} %, stable the rest",
    Reason.BARE_CANARY: "canary pod {pod} came up without a sidecar, so the Pod webhook did not answer: it is deleted and tried again",
    Reason.WENT_BACK: "the template is the stable one again: no request goes to the canary",
    Reason.HANDOVER_STARTED: "handing {replicas} canary pods over to the Deployment",
    Reason.HANDOVER_CUT_SHORT: "replicas or availability changed during the handover: the native update completes it",
    Reason.COMPLETED: "{images} is promoted: all {replicas} pods run it",
    Reason.NATIVE_UPDATE: "a native rolling update is under way",
    Reason.INCOMPLETE: "{available} of {replicas} pods run the current template and are available",
    Reason.HEALTHY: "all {replicas} pods run the stable template",
    Reason.INVALID: "{error}",
    Reason.SCALED_TO_ZERO: "held at 0 replicas: the canary starts when the Deployment is scaled up",
}


def say(reason: Reason, **fields: object) -> str:
    """The sentence of `reason`; a missing field is our bug and raises KeyError."""
    return SENTENCES[reason].format(**fields)
