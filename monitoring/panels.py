"""The dashboard's rows, what one chooses from, and the panels of the picture in the docs."""

from __future__ import annotations

from typing import Final

from monitoring.components import COMPONENTS
from monitoring.panel import ROLLOUT, Panel
from monitoring.releases import RELEASES

#: The panels of the picture in the docs, in its order.
_SHOWN: Final = (
    "Phases",
    "Weight",
    "Requests by arm",
    "Share of the canary, measured",
    "Latency, canary against control",
    "Sidecars in sync",
    "Requests to the API server",
    "Queue",
)
#: What a person chooses from, as Grafana asks for it.
VARIABLES: Final = {
    "namespace": 'label_values(rollout_info{traffic_router="coalmine"}, namespace)',
    "rollout": 'label_values(rollout_info{traffic_router="coalmine",namespace=~"$namespace"}, name)',
}
#: When a step was begun: marks on every panel.
STEPS: Final = f"changes(coalmine_rollout_step{{{ROLLOUT}}}[30s]) > 0"

ROWS: Final = (*RELEASES, *COMPONENTS)


def panels() -> tuple[Panel, ...]:
    """All of them, in their order."""
    return tuple(panel for row in ROWS for panel in row.panels)


def shown() -> list[Panel]:
    """Those of the picture in the docs."""
    by_title = {panel.title: panel for panel in panels()}
    return [by_title[title] for title in _SHOWN]
