"""The alert rules as files: Prometheus' own, the operator's PrometheusRule, and the cases that promtool tries."""

from __future__ import annotations

from typing import Any, Final

import yaml

from monitoring.alerts import ALERTS, Alert
from monitoring.cases import CASES, Case

_HEAD: Final = "# Made by `python -m monitoring`; do not edit.\n"


def groups() -> list[dict[str, Any]]:
    """The groups of a rules file."""
    return [{"name": "coalmine", "rules": [_rule(alert) for alert in ALERTS]}]


def plain() -> str:
    """For ``rule_files`` of Prometheus."""
    return _text({"groups": groups()})


def operator() -> str:
    """For those who run the Prometheus operator."""
    return _text(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": "coalmine",
                "namespace": "coalmine-system",
                "labels": {"app.kubernetes.io/part-of": "coalmine"},
            },
            "spec": {"groups": groups()},
        }
    )


def cases(rules: str) -> str:
    """For ``promtool test rules``; `rules` is the path of the rules file."""
    return _text(
        {"rule_files": [rules], "evaluation_interval": "1m", "tests": [_case(case) for case in CASES]},
    )


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.held,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description, "runbook": alert.runbook},
    }


def _case(case: Case) -> dict[str, Any]:
    (alert,) = [a for a in ALERTS if a.name == case.alert]
    return {
        "name": f"{case.alert}: {case.title}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": at,
                "alertname": case.alert,
                "exp_alerts": [
                    {
                        "exp_labels": {"severity": alert.severity, **labels},
                        "exp_annotations": {
                            "summary": _filled(alert.summary, labels, value),
                            "description": _filled(alert.description, labels, value),
                            "runbook": _filled(alert.runbook, labels, value),
                        },
                    }
                    for labels, value in fired
                ],
            }
            for at, fired in case.fires.items()
        ],
    }


def _filled(template: str, labels: dict[str, str], value: str) -> str:
    """The few things that our templates say, as Prometheus fills them in."""
    for name, label in labels.items():
        template = template.replace(f"{{{{ $labels.{name} }}}}", label)
    return template.replace("{{ $value }}", value).replace("{{ $value | humanizeDuration }}", value)


def _text(document: dict[str, Any]) -> str:
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)
