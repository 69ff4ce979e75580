"""What each alert must and must not fire on: series, and who is told at what time.

Values are promtool's: ``1x30`` is thirty times more of the same at one a minute, ``_`` is a scrape that failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Fired = tuple[tuple[dict[str, str], str], ...]

_COLORAPI: Final = {"namespace": "shop", "name": "colorapi"}
_INFO: Final = 'namespace="shop",name="colorapi",strategy="canary",traffic_router="coalmine"'
_KEY: Final = 'namespace="shop",name="colorapi"'
_TOLD: Final[Fired] = ((_COLORAPI, "1"),)


@dataclass(frozen=True, slots=True)
class Case:
    """`fires` maps a time to the alerts that there are then: their labels, and what stands for the value."""

    alert: str
    title: str
    series: dict[str, str]
    fires: dict[str, Fired]


CASES: Final = (
    Case(
        "CoalmineWebhookDown",
        "none has been scraped for two minutes",
        {'up{job="coalmine-webhook",instance="a"}': "1x5 0x10", 'up{job="coalmine-webhook",instance="b"}': "1x3 0x12"},
        {"5m": (), "7m": (), "9m": (({}, "1"),)},
    ),
    Case(
        "CoalmineWebhookDown",
        "one of two is enough",
        {'up{job="coalmine-webhook",instance="a"}': "1x15", 'up{job="coalmine-webhook",instance="b"}': "0x15"},
        {"10m": ()},
    ),
    Case("CoalmineWebhookDown", "there is no such target", {'up{job="other"}': "1x10"}, {"3m": (({}, "1"),)}),
    Case(
        "CoalmineControllerDown",
        "nobody leads, though both are up",
        {'coalmine_controller_leading{instance="a"}': "1x5 0x10", 'coalmine_controller_leading{instance="b"}': "0x15"},
        {"5m": (), "9m": (({}, "1"),)},
    ),
    Case(
        "CoalmineControllerDown",
        "the other one took over within a minute",
        {
            'coalmine_controller_leading{instance="a"}': "1x5 0x10",
            'coalmine_controller_leading{instance="b"}': "0x6 1x8",
        },
        {"7m": (), "12m": ()},
    ),
    Case(
        "CoalmineRolloutDegraded",
        "a canary was taken back, and later another one shipped",
        {
            f'rollout_info{{{_INFO},phase="Degraded"}}': "1x9 _x10",
            f'rollout_info{{{_INFO},phase="Progressing"}}': "_x10 1x9",
        },
        {"0m": (), "2m": _TOLD, "16m": ()},
    ),
    Case(
        "CoalmineRolloutDegraded",
        "a Rollout of Argo's is not ours",
        {'rollout_info{namespace="shop",name="a",strategy="canary",traffic_router="Istio",phase="Degraded"}': "1x9"},
        {"5m": ()},
    ),
    Case(
        "CoalmineRolloutStuck",
        "half an hour without a step",
        {f'rollout_info{{{_INFO},phase="Progressing"}}': "1x60", f"coalmine_rollout_step{{{_KEY}}}": "1x60"},
        {"20m": (), "31m": _TOLD},
    ),
    Case(
        "CoalmineRolloutStuck",
        "it goes on, or waits for a person",
        {
            f'rollout_info{{{_INFO},phase="Progressing"}}': "1x60",
            f"coalmine_rollout_step{{{_KEY}}}": "1x10 2x10 3x10 4x10 5x20",
            'rollout_info{namespace="shop",name="b",traffic_router="coalmine",phase="Paused"}': "1x60",
        },
        {"40m": ()},
    ),
    Case(
        "CoalmineSidecarsOutOfSync",
        "one of six does not follow",
        {
            f"coalmine_rollout_sidecars_expected{{{_KEY}}}": "6x20",
            f"coalmine_rollout_sidecars_acknowledged{{{_KEY}}}": "6x4 5x16",
        },
        {"6m": (), "11m": ((_COLORAPI, "5"),)},
    ),
    Case(
        "CoalmineSidecarsOutOfSync",
        "all of them do, a moment later",
        {
            f"coalmine_rollout_sidecars_expected{{{_KEY}}}": "6x20",
            f"coalmine_rollout_sidecars_acknowledged{{{_KEY}}}": "0x2 6x18",
        },
        {"11m": ()},
    ),
    Case(
        "CoalmineCertificateExpiring",
        "six days are left",
        {
            'coalmine_webhook_certificate_expiry_timestamp_seconds{certificate="serving"}': "518400x20",
            'coalmine_webhook_certificate_expiry_timestamp_seconds{certificate="authority"}': "99999999x20",
        },
        {"5m": (), "15m": (({"certificate": "serving"}, "5d 23h 45m 0s"),)},
    ),
    Case(
        "CoalmineReconcileErrors",
        "every look fails",
        {f"rollout_reconcile_error{{{_KEY}}}": "0+3x30", f'rollout_info{{{_INFO},phase="Progressing"}}': "1x30"},
        {"3m": (), "20m": _TOLD},
    ),
    Case(
        "CoalmineReconcileErrors",
        "every look at an AnalysisRun fails",
        {
            'analysis_run_reconcile_error{job="coalmine-controller",namespace="shop",name="colorapi-5d"}': "0+3x30",
            'analysis_run_reconcile_error{job="argo-rollouts",namespace="shop",name="argo-5d"}': "0+3x30",
        },
        {"3m": (), "20m": (({"namespace": "shop", "name": "colorapi-5d"}, "1"),)},
    ),
    Case(
        "CoalmineReconcileErrors",
        "one conflict, and one of Argo's",
        {
            f"rollout_reconcile_error{{{_KEY}}}": "0x5 1x25",
            f'rollout_info{{{_INFO},phase="Healthy"}}': "1x30",
            'rollout_reconcile_error{namespace="shop",name="argo"}': "0+3x30",
        },
        {"20m": ()},
    ),
)
