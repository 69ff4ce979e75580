"""What a row of the dashboard is made of: panels and their queries.

Pure values. Rules: every query can be asked of Prometheus once its variables (`$namespace`, `$rollout`,
`$__rate_interval`) have a value, and a test does. Series that Argo Rollouts makes under the same name are kept apart by
``traffic_router="coalmine"``, or by a label that only ours have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Of the controller's series, which name the Rollout themselves.
ROLLOUT: Final = 'namespace=~"$namespace",name=~"$rollout"'
#: Of the sidecars' series, to which the scrape adds both.
SIDECAR: Final = 'namespace=~"$namespace",rollout=~"$rollout"'
RATE: Final = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the name of its lines, with labels in double braces."""

    expr: str
    legend: str = ""
    #: That a fault of some kind must have happened before it has data; a test only asks whether it can be asked.
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """`kind` is timeseries, table, states or stat; `width` of 24; `unit` is Grafana's name of it."""

    title: str
    description: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    stacked: bool = False
    steps: bool = False
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def quantile(part: float, family: str, matchers: str, by: str) -> str:
    """A quantile of the histogram `family`."""
    return f"histogram_quantile({part}, sum by (le, {by}) (rate({family}_bucket{{{matchers}}}[{RATE}])))"
