"""What the dashboard shows of releases: rollouts, the requests that they split, their sidecars and analyses."""

from __future__ import annotations

from typing import Final

from monitoring.panel import RATE, ROLLOUT, SIDECAR, Panel, Query, Row, quantile

_ARMS: Final = 'arm=~"canary|control|stable"'
#: Phases as numbers, as a time line of states draws numbers.
PHASES: Final = {1: ("Healthy", "green"), 2: ("Progressing", "blue"), 3: ("Paused", "yellow"), 4: ("Degraded", "red")}
COLOURS: Final = {"canary": "#f5c542", "control": "#3f7fc1", "stable": "#7fb2e5", "local": "#a3b1c2"}


def _errors() -> str:
    """The part of an arm's requests that its version answered with a 5xx, or did not answer; clients that
    left are not its fault."""
    bad = (
        f'(sum by (arm) (rate(coalmine_requests_total{{{SIDECAR},{_ARMS},code=~"5.."}}[{RATE}]))'
        f' + sum by (arm) (rate(coalmine_attempt_failures_total{{{SIDECAR},{_ARMS},cause!="aborted"}}[{RATE}])))'
    )
    all_ = (
        f"(sum by (arm) (rate(coalmine_requests_total{{{SIDECAR},{_ARMS}}}[{RATE}]))"
        f' + sum by (arm) (rate(coalmine_attempt_failures_total{{{SIDECAR},{_ARMS},cause!="aborted"}}[{RATE}])))'
    )
    return f"{bad} / {all_}"


def _phases() -> str:
    info = 'rollout_info{%s,traffic_router="coalmine",phase="%s"}'
    return " or ".join(
        f"{number} * max by (namespace, name) ({info % (ROLLOUT, name)})" for number, (name, _) in PHASES.items()
    )


RELEASES: Final = (
    Row(
        "Rollouts",
        (
            Panel(
                "Rollouts",
                "Every Rollout with its phase, step and weight.",
                (
                    Query(f'max by (namespace, name, phase) (rollout_info{{{ROLLOUT},traffic_router="coalmine"}})'),
                    Query(f"max by (namespace, name) (coalmine_rollout_step{{{ROLLOUT}}})"),
                    Query(f"max by (namespace, name) (coalmine_rollout_steps{{{ROLLOUT}}})"),
                    Query(f"max by (namespace, name) (coalmine_rollout_desired_weight_percent{{{ROLLOUT}}})"),
                    Query(f"max by (namespace, name) (rollout_info_replicas_available{{{ROLLOUT}}})"),
                ),
                kind="table",
                width=12,
            ),
            Panel(
                "Phases",
                "Degraded is a canary that was taken back; Paused may wait for a person.",
                (Query(_phases(), "{{namespace}}/{{name}}"),),
                kind="states",
                width=12,
            ),
            Panel(
                "Weight",
                "What the sidecars are told, and what all of them have acknowledged. Marks are steps.",
                (
                    Query(
                        f"max by (namespace, name) (coalmine_rollout_desired_weight_percent{{{ROLLOUT}}})",
                        "{{name}} desired",
                    ),
                    Query(
                        f"max by (namespace, name) (coalmine_rollout_actual_weight_percent{{{ROLLOUT}}})",
                        "{{name}} actual",
                    ),
                ),
                unit="percent",
                steps=True,
                most=100,
            ),
            Panel(
                "Share of the canary, measured",
                "The canary's part of all answers, beside the weight that was acknowledged.",
                (
                    Query(
                        "100 * sum by (namespace, rollout) (rate(coalmine_requests_total"
                        f'{{{SIDECAR},arm="canary"}}[{RATE}])) / sum by (namespace, rollout) '
                        f"(rate(coalmine_requests_total{{{SIDECAR},{_ARMS}}}[{RATE}]))",
                        "{{rollout}} measured",
                    ),
                    Query(
                        f"max by (namespace, name) (coalmine_rollout_actual_weight_percent{{{ROLLOUT}}})",
                        "{{name}} weight",
                    ),
                ),
                unit="percent",
                most=100,
            ),
            Panel(
                "Arms",
                "Shares that the sidecars are told; control has as many pods as the canary, for the comparison.",
                (Query(f"sum by (name, arm) (coalmine_rollout_arm_weight_percent{{{ROLLOUT}}})", "{{arm}}"),),
                unit="percent",
                stacked=True,
                steps=True,
                most=100,
            ),
        ),
    ),
    Row(
        "Requests",
        (
            Panel(
                "Requests by arm",
                "Answers of each arm's version; local is what a sidecar serves while no rollout goes on.",
                (Query(f"sum by (arm) (rate(coalmine_requests_total{{{SIDECAR}}}[{RATE}]))", "{{arm}}"),),
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Errors by arm",
                "5xx and attempts without an answer, as a part of the arm's requests.",
                (Query(_errors(), "{{arm}}"),),
                unit="percentunit",
            ),
            Panel(
                "Latency, canary against control",
                "From a request's head to the end of its answer. Control has as many pods, and the same paths.",
                tuple(
                    Query(
                        quantile(q, "coalmine_request_duration_seconds", f"{SIDECAR},{_ARMS}", "arm"),
                        f"{{{{arm}}}} p{q * 100:g}",
                    )
                    for q in (0.5, 0.99)
                ),
                unit="s",
            ),
            Panel(
                "Attempts without an answer, by cause",
                "connect, reset, timeout, invalid and no_endpoint are the version's; aborted is a client that left.",
                (
                    Query(
                        f"sum by (arm, cause) (rate(coalmine_attempt_failures_total{{{SIDECAR}}}[{RATE}])) > 0",
                        "{{arm}} {{cause}}",
                        fault=True,
                    ),
                ),
                unit="ops",
            ),
            Panel(
                "Ejections and retries",
                "Endpoints that were left out, attempts after the first of a request, peers that were somebody else.",
                (
                    Query(f"sum(rate(coalmine_ejections_total{{{SIDECAR}}}[{RATE}]))", "ejections"),
                    Query(f"sum(rate(coalmine_retries_total{{{SIDECAR}}}[{RATE}]))", "retries"),
                    Query(f"sum(rate(coalmine_confirmations_failed_total{{{SIDECAR}}}[{RATE}]))", "not confirmed"),
                    Query(f"sum(rate(coalmine_exhausted_total{{{SIDECAR}}}[{RATE}]))", "no descriptor or port"),
                ),
                unit="ops",
            ),
            Panel(
                "Sent to a version by name",
                "Pinned and header-routed requests: outside of shares and comparison.",
                (
                    Query(
                        f"sum by (arm) (rate(coalmine_pinned_requests_total{{{SIDECAR}}}[{RATE}]))",
                        "{{arm}}",
                    ),
                ),
                unit="reqps",
            ),
        ),
    ),
    Row(
        "Sidecars",
        (
            Panel(
                "Sidecars in sync",
                "Weight moves only when every sidecar that counts has acknowledged the last one.",
                (
                    Query(
                        f"sum by (namespace, name) (coalmine_rollout_sidecars_expected{{{ROLLOUT}}})",
                        "{{name}} expected",
                    ),
                    Query(
                        f"sum by (namespace, name) (coalmine_rollout_sidecars_acknowledged{{{ROLLOUT}}})",
                        "{{name}} acknowledged",
                    ),
                ),
                steps=True,
            ),
            Panel(
                "Connections and requests under way",
                "Of all sidecars together.",
                (
                    Query(f"sum(coalmine_client_connections{{{SIDECAR}}})", "clients"),
                    Query(f"sum(coalmine_upstream_connections{{{SIDECAR}}})", "applications"),
                    Query(f"sum(coalmine_requests_in_flight{{{SIDECAR}}})", "requests"),
                    Query(f"sum(coalmine_tunnels{{{SIDECAR}}})", "passed on unread"),
                ),
            ),
            Panel(
                "Refused",
                "Requests that were not understood, by status; connections closed as there were too many.",
                (
                    Query(f"sum by (code) (rate(coalmine_refused_total{{{SIDECAR}}}[{RATE}]))", "{{code}}", fault=True),
                    Query(f"sum(rate(coalmine_clients_refused_total{{{SIDECAR}}}[{RATE}]))", "too many"),
                ),
                unit="ops",
            ),
        ),
    ),
    Row(
        "Analysis",
        (
            Panel(
                "Analysis runs",
                "The newest five runs of each Rollout, metric by metric.",
                (
                    Query(
                        "max by (namespace, name, metric, type, phase) "
                        '(analysis_run_metric_phase{namespace=~"$namespace",name=~"($rollout)-.*"})'
                    ),
                ),
                kind="table",
                width=12,
            ),
            Panel(
                "How rollouts end",
                "Handovers, and canaries taken back by reason, in the chosen time.",
                (
                    Query("sum by (outcome) (increase(coalmine_handovers_total[$__range]))", "handover {{outcome}}"),
                    Query(
                        "sum by (reason) (increase(coalmine_rollout_aborts_total[$__range]))", "{{reason}}", fault=True
                    ),
                ),
                kind="stat",
                width=6,
            ),
            Panel(
                "Events",
                "What is told on Deployments, by reason.",
                (Query(f"sum by (reason) (increase(rollout_events_total{{{ROLLOUT}}}[{RATE}])) > 0", "{{reason}}"),),
                width=6,
            ),
        ),
    ),
)
