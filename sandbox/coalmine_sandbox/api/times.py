"""Points in time as Kubernetes writes them, and ages as kubectl shows them."""

from __future__ import annotations

import datetime

#: The last second that four digits of a year can tell: a grace period may be of any length.
_LAST = 253_402_300_799
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def timestamp(seconds: float) -> str:
    """Unix time as metav1.Time: whole seconds, UTC, the year 9999 at the latest."""
    return datetime.datetime.fromtimestamp(min(int(seconds), _LAST), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str | None) -> float | None:
    """Unix time of a metav1.Time or MicroTime; None where there is none."""
    if not text:
        return None
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def age(seconds: float) -> str:
    """A duration as ``kubectl get`` shows it (apimachinery's duration.HumanDuration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes = whole // _MINUTE
    if minutes < 10:
        return _two(minutes, "m", whole % _MINUTE, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // _HOUR
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large}{unit}{small}{smaller}" if small else f"{large}{unit}"
