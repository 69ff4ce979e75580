"""Durations and times as Kubernetes and Argo write them.

Argo's pause takes whole seconds or a number with one unit (``30``, ``"30s"``, ``"5m"``,
``"1h"``); its intervals are Go's time.ParseDuration (``"1m30s"``, and not ``"1d"``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from coalmine.model.errors import SpecError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 366 * 86_400.0  # a year: longer is a typing error, and Go's own limit is 292 years


def parse_go_duration(value: object, path: str) -> float:
    """Seconds of a Go duration such as ``90s`` or ``1m30s``. Raises SpecError."""
    advice = 'write a number with a unit of ms, s, m or h, for example "30s" or "1m30s"'
    if not isinstance(value, str):
        raise SpecError(path, f"{value!r} is not a duration", advice)
    total, at, text = 0.0, 0, value
    if text == "0":
        return 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise SpecError(path, f"{value!r} is not a duration", advice)
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not text or total > _LONGEST:
        raise SpecError(path, f"{value!r} is not a duration", advice)
    return total


def parse_pause(value: object, path: str) -> float:
    """Seconds of a pause: whole seconds, or a Go duration. Raises SpecError."""
    if (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and value.isascii() and value.isdigit()
    ):
        seconds = float(int(value))
        if 0 <= seconds <= _LONGEST:
            return seconds
        raise SpecError(path, f"{value!r} is out of range", "write at most a year")
    if isinstance(value, str):
        return parse_go_duration(value, path)
    raise SpecError(path, f"{value!r} is not a duration", 'write seconds, for example 30, or "30s", "5m", "1h"')


def format_time(moment: float) -> str:
    """RFC 3339 in UTC with microseconds, as Kubernetes' MicroTime; `moment` is a Unix time."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> float:
    """The Unix time of an RFC 3339 stamp as the API server writes it. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def short(seconds: float) -> str:
    """An age as kubectl prints it: 12s, 4m6s, 5h52m, 3d."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{hours // 24}d"
