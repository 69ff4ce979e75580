"""When somebody is to be told: alerts, each with what it means and what to do.

Pure values. Names are Prometheus' way (CamelCase), ``severity`` is critical where Deployments cannot be written or
nothing is released, warning where one Rollout waits for a person. The expressions use no jobs but ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Alert:
    """`held` is for how long the expression must be true (Prometheus' ``for``)."""

    name: str
    expr: str
    held: str
    severity: str
    summary: str
    description: str
    runbook: str


_OURS: Final = 'traffic_router="coalmine"'
#: Series of AnalysisRuns are Argo's to the letter: only who tells them says whose they are.
_OUR_JOB: Final = 'job=~".*coalmine-controller"'

ALERTS: Final = (
    Alert(
        name="CoalmineWebhookDown",
        expr='absent(up{job=~".*coalmine-webhook"} == 1)',
        held="2m",
        severity="critical",
        summary="No webhook of Coalmine answers",
        description="Writes to annotated Deployments are refused by the API server while no webhook answers; pods "
        "start without a sidecar, and releases wait for them.",
        runbook="Look at `kubectl -n coalmine-system get pods` and the webhook's log; if it cannot be mended soon, "
        "`kubectl delete mutatingwebhookconfiguration coalmine` lets every write through, unheld.",
    ),
    Alert(
        name="CoalmineControllerDown",
        expr="absent(coalmine_controller_leading == 1)",
        held="2m",
        severity="critical",
        summary="No controller of Coalmine leads",
        description="Requests go on as they are split, but no step is taken, no canary is judged, none is taken back.",
        runbook="Look at `kubectl -n coalmine-system get pods,lease` and the controller's log; an abort waits for the "
        "next leader. A canary that must go now: `coalmine undo NAME`, then `kubectl delete replicaset` the one with "
        "the annotation coalmine.dev/role=canary: once its pods are gone, sidecars send its share to stable.",
    ),
    Alert(
        name="CoalmineRolloutDegraded",
        expr=f'max by (namespace, name) (rollout_info{{{_OURS},phase="Degraded"}}) == 1',
        held="1m",
        severity="warning",
        summary="The canary of {{ $labels.namespace }}/{{ $labels.name }} was taken back",
        description="All requests go to the stable version, and the new template is held.",
        runbook="Read why with `coalmine get rollout {{ $labels.name }} -n {{ $labels.namespace }}`; then ship another "
        "image, go back with `coalmine undo`, or try the same again with `coalmine retry`.",
    ),
    Alert(
        name="CoalmineRolloutStuck",
        expr=f'max by (namespace, name) (rollout_info{{{_OURS},phase="Progressing"}}) == 1 '
        "unless on (namespace, name) changes(coalmine_rollout_step[15m]) > 0",
        held="30m",
        severity="warning",
        summary="The rollout of {{ $labels.namespace }}/{{ $labels.name }} does not go on",
        description="It has been Progressing for half an hour without a step.",
        runbook="`coalmine get rollout {{ $labels.name }} -n {{ $labels.namespace }}` says what it waits for: pods, "
        "sidecars, a quota, an analysis template; `coalmine abort` takes it back.",
    ),
    Alert(
        name="CoalmineSidecarsOutOfSync",
        expr="coalmine_rollout_sidecars_acknowledged < coalmine_rollout_sidecars_expected",
        held="5m",
        severity="warning",
        summary="{{ $value }} sidecars of {{ $labels.namespace }}/{{ $labels.name }} are all that follow",
        description="Some sidecars have not acknowledged their routing, so the weight does not move.",
        runbook="The condition TrafficSynced of the Rollout names a pod and the reason; a NetworkPolicy or a mesh "
        "between the controller and the pods' admin port (17081) is the usual one.",
    ),
    Alert(
        name="CoalmineCertificateExpiring",
        expr="min by (certificate) (coalmine_webhook_certificate_expiry_timestamp_seconds) - time() < 7 * 86400",
        held="10m",
        severity="critical",
        summary="The webhook's {{ $labels.certificate }} certificate ends in {{ $value | humanizeDuration }}",
        description="It is renewed at two thirds of its life; that has not happened. After its end, writes to "
        "annotated Deployments are refused.",
        runbook="Look for the reason in the webhook's log (may it write its Secret?), or in the Certificate when "
        "cert-manager makes it. `kubectl -n coalmine-system delete secret coalmine-webhook-certificates` has a new one "
        "made.",
    ),
    Alert(
        name="CoalmineReconcileErrors",
        expr="sum by (namespace, name) (increase(rollout_reconcile_error[10m])) > 5 "
        f"and on (namespace, name) max by (namespace, name) (rollout_info{{{_OURS}}}) == 1 "
        f"or sum by (namespace, name) (increase(analysis_run_reconcile_error{{{_OUR_JOB}}}[10m])) > 5",
        held="5m",
        severity="warning",
        summary="Looks at {{ $labels.namespace }}/{{ $labels.name }} fail",
        description="The API server refuses a write or cannot be reached, or the controller has a fault.",
        runbook="The controller's log names the Rollout or the AnalysisRun, and the refusal: a webhook of somebody "
        "else, a quota, a missing right; a traceback is a bug to report.",
    ),
)
