"""What the dashboard shows of our own processes: the controller and the webhook."""

from __future__ import annotations

from typing import Final

from monitoring.panel import RATE, ROLLOUT, Panel, Query, Row, quantile

COMPONENTS: Final = (
    Row(
        "Controller",
        (
            Panel(
                "Leaders",
                "One process leads; with none, traffic goes on as it is split, and releases wait.",
                (Query("sum(coalmine_controller_leading)", "leading"),),
                kind="stat",
                width=4,
            ),
            Panel(
                "Looks",
                "Seconds of one look at a Rollout, and at an AnalysisRun with its measurements.",
                (
                    Query(quantile(0.99, "rollout_reconcile", 'job=~".*coalmine-controller"', "job"), "Rollout p99"),
                    Query(
                        quantile(0.99, "analysis_run_reconcile", 'job=~".*coalmine-controller"', "job"),
                        "AnalysisRun p99",
                    ),
                ),
                unit="s",
                width=10,
            ),
            Panel(
                "Looks that were cut short",
                "By the API server, or by a fault of ours: the log says which.",
                (Query(f"sum by (namespace, name) (rate(rollout_reconcile_error{{{ROLLOUT}}}[{RATE}]))", "{{name}}"),),
                unit="ops",
                width=10,
            ),
            Panel(
                "Queue",
                "Objects that wait, and how long they do.",
                (
                    Query('workqueue_depth{job=~".*coalmine-controller"}', "{{name}} depth"),
                    Query(
                        quantile(0.99, "workqueue_queue_duration_seconds", 'job=~".*coalmine-controller"', "name"),
                        "{{name}} wait p99, s",
                    ),
                ),
            ),
            Panel(
                "Requests to the API server",
                "Idle rollouts cost none.",
                (
                    Query(
                        "sum by (kind) (rate(controller_clientset_k8s_request_total"
                        f'{{job=~".*coalmine-controller"}}[{RATE}]))',
                        "{{kind}}",
                    ),
                ),
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "The API server's answers",
                "Time until they begin, and those that are errors (0: none came).",
                (
                    Query(
                        quantile(0.99, "coalmine_k8s_request_duration_seconds", 'verb!="Watch"', "verb"),
                        "{{verb}} p99",
                    ),
                    Query(
                        "sum by (status_code) (rate(controller_clientset_k8s_request_total"
                        f'{{job=~".*coalmine-controller",status_code!~"2.."}}[{RATE}]))',
                        "{{status_code}} a second",
                        fault=True,
                    ),
                ),
                unit="s",
            ),
            Panel(
                "How long steps and phases take",
                "Medians of what ended lately.",
                (
                    Query(
                        "histogram_quantile(0.5, "
                        "sum by (le) (rate(coalmine_rollout_step_duration_seconds_bucket[1h])))",
                        "step",
                    ),
                    Query(
                        "histogram_quantile(0.5, sum by (le, phase) "
                        "(rate(coalmine_rollout_phase_duration_seconds_bucket[1h])))",
                        "{{phase}}",
                    ),
                ),
                unit="s",
                width=12,
            ),
            Panel(
                "What the processes use",
                "Resident memory of controller and webhook.",
                (
                    Query(
                        'process_resident_memory_bytes{job=~".*coalmine-(controller|webhook)"}', "{{job}} {{instance}}"
                    ),
                ),
                unit="bytes",
                width=12,
            ),
        ),
    ),
    Row(
        "Webhook",
        (
            Panel(
                "Reviews by outcome",
                "What was decided about Deployments and Pods.",
                (
                    Query(
                        f"sum by (resource, code) (rate(coalmine_webhook_reviews_total[{RATE}]))",
                        "{{resource}} {{code}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Time of a review",
                "The API server waits for 5 s at most.",
                (
                    Query(quantile(0.5, "coalmine_webhook_review_seconds", "", "resource"), "{{resource}} p50"),
                    Query(quantile(0.99, "coalmine_webhook_review_seconds", "", "resource"), "{{resource}} p99"),
                ),
                unit="s",
            ),
            Panel(
                "Certificates",
                "How long they are still valid.",
                (
                    Query(
                        "min by (certificate) (coalmine_webhook_certificate_expiry_timestamp_seconds) - time()",
                        "{{certificate}}",
                    ),
                ),
                kind="stat",
                unit="s",
            ),
        ),
    ),
)
