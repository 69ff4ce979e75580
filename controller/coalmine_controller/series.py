"""How the series of one object are made: its family, its key, what of a status can be shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily

from coalmine.kube.cache import Key
from coalmine.kube.resources import Object, name_of, namespace_of
from coalmine.model.durations import parse_time

#: The labels that say whose series it is.
KEY: Final = ("namespace", "name")


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """A family with the labels of `KEY`, and others behind them."""
    return GaugeMetricFamily(name, text, labels=(*KEY, *labels))


def key_of(obj: Object) -> Key:
    """Namespace and name."""
    return namespace_of(obj), name_of(obj)


def number(status: Mapping[str, Any], field: str) -> float | None:
    """A field of a status; None for what is no number."""
    value = status.get(field)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def moment(status: Mapping[str, Any], field: str) -> float | None:
    """A time of a status as Unix time; None for what is none."""
    try:
        return parse_time(status[field]) if status.get(field) else None
    except (ValueError, TypeError):
        return None
