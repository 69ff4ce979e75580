"""The Rollout: what a person may ask for, and where it stands (`coalmine.model.rollout` reads and writes it)."""

from __future__ import annotations

from typing import Final

from coalmine.model.schema import Schema, flag, moment, number, record, sequence, text, whole

_REVISION: Final = text(
    "The revision that this is about, as in status.canary.fingerprint. For any other revision the wish does nothing."
)
_ATTEMPT: Final = whole(
    "The attempt that this is about, as in status.attempt. For any other attempt the wish does nothing."
)


def _wish(about: str, **more: Schema) -> Schema:
    return record(about, {"revision": _REVISION, "attempt": _ATTEMPT, **more}, required=("revision", "attempt"))


SPEC: Final = record(
    "What a person asked for. `coalmine promote`, `abort`, `retry` and `pause` write it; by hand works as well. Each "
    "wish names the revision and the attempt that it is about, so that a stale one does nothing.",
    {
        "paused": _wish("Stand still at the current step, until this is removed."),
        "abort": _wish("Send every request back to the stable version and remove the canary's pods."),
        "promote": _wish(
            "Go on from a pause, or skip what remains.",
            step=whole("Index of the step to go on from, the first being 0: the wish does nothing at any other step."),
            full=flag("Skip every step that remains, and the analysis, and hand the new version over."),
        ),
        "retry": _wish("Try an aborted revision again, from the first step."),
    },
)


def _version(about: str, revision: str) -> Schema:
    return record(
        about,
        {
            "fingerprint": text("Hash of the pod template: what names this version everywhere."),
            "replicaSet": text("Name of its ReplicaSet."),
            "revision": whole(revision),
            "images": sequence("The images of its containers.", text("An image.")),
        },
        keeps_unknown=True,
    )


_CONDITION: Final = record(
    "One aspect of the rollout.",
    {
        "type": text("What it is about, for example Reconciling, Stalled, TrafficSynced."),
        "status": text("True, False or Unknown."),
        "reason": text("Why, as one word for programs."),
        "message": text("Why, as a sentence for people."),
        "lastTransitionTime": moment("When the status last changed."),
    },
    required=("type", "status"),
    keeps_unknown=True,
)

STATUS: Final = record(
    "Where the rollout stands. Written by the controller alone; everything that it must remember is here.",
    {
        "phase": text(
            "Healthy: the stable version gets every request. Progressing: a canary is on its way. Paused: it waits, "
            "for a time or for a person. Degraded: it was aborted, or cannot go on; the message says why."
        ),
        "reason": text("Why it is in this phase, as one word for programs."),
        "message": text("Why it is in this phase, as a sentence for people."),
        "observedGeneration": whole("The generation of this Rollout that the status is about."),
        "workloadObservedGeneration": whole("The generation of the Deployment that the status is about."),
        "stable": _version("The version that is fully rolled out.", "Number of its revision."),
        "canary": {
            **_version(
                "The version that is on its way; absent when there is none.",
                "Number of the revision that it becomes when it is promoted.",
            ),
            "nullable": True,
        },
        "attempt": whole("Counts the tries of this Rollout: each new template and each retry adds one."),
        "step": whole("Index of the current step, the first being 0; equal to `steps` once all are done."),
        "steps": whole("How many steps there are."),
        "stepText": text("The step and how many there are, for example 1/4."),
        "stepStartedAt": moment("When the current step began."),
        "weight": number("Percentage of the requests that the canary is to get."),
        "actualWeight": number("Percentage that every sidecar has acknowledged."),
        "control": sequence(
            "Those stable pods that the canary is compared with while the step lasts.", text("A pod's uid.")
        ),
        "routes": sequence("The header and mirror routes in force.", text("Name of a route.")),
        "routed": flag("Whether sidecars may hold another routing than to their own pod."),
        "fullAt": moment("Since when every sidecar sends all requests to the canary."),
        "fullPromotion": flag("Whether a person skipped all steps."),
        "abortedAt": moment("When the canary was aborted."),
        "abortReason": text("Why it was aborted, as one word for programs."),
        "abortMessage": text("Why it was aborted, as a sentence for people."),
        "progressedAt": moment("When the canary last made progress; the progress deadline counts from here."),
        "bestAvailable": whole("The most canary pods that were available at once in this attempt."),
        "handoverAt": moment("When the canary's pods were handed to the Deployment."),
        "withdrawnAt": moment("Since when no request goes to a canary that was aborted."),
        "analysisRun": text("Name of the AnalysisRun that judges this attempt."),
        "analysisRuns": whole("How many AnalysisRuns this attempt has had."),
        "strategy": text("Identity of the steps that this attempt follows."),
        "waiting": flag("Whether the progress deadline counted at the last look."),
        "bareAt": moment("When canary pods without a sidecar were last deleted."),
        "replicas": whole("Pods that the Deployment asks for."),
        "currentReplicas": whole("Pods that there are, of both versions."),
        "updatedReplicas": whole("Pods of the canary."),
        "readyReplicas": whole("Pods that are ready, of both versions."),
        "availableReplicas": whole("Pods that are available, of both versions."),
        "conditions": sequence("Aspects of the rollout, each with its own status.", _CONDITION),
    },
    keeps_unknown=True,
)
