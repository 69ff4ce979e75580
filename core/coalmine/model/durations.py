"""Durations and times as Kubernetes and Argo write them.

Argo's pause takes whole seconds or a number with one unit (``30``, ``"30s"``, ``"5m"``,
``"1h"``); its intervals are Go's time.ParseDuration (``"1m30s"``, and not ``"1d"``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from coalmine.model.errors import SpecError, shown

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 366 * 86_400.0  # a year: longer is a typing error, and Go's own limit is 292 years
_DIGITS = 20  # int() of thousands of digits is an error of its own


def parse_go_duration(value: object, path: str) -> float:
    """Seconds of a Go duration such as ``90s`` or ``1m30s``; not a negative one. Raises SpecError."""
    advice = 'write a number with a unit of ms, s, m or h, for example "30s" or "1m30s"'
    if not isinstance(value, str):
        raise SpecError(path, f"{shown(value)} is not a duration", advice)
    total, at, text = 0.0, 0, value.removeprefix("+")
    if text == "0":
        return 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise SpecError(path, f"{shown(value)} is not a duration", advice)
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not text:
        raise SpecError(path, f"{shown(value)} is not a duration", advice)
    if total > _LONGEST:
        raise SpecError(path, f"{shown(value)} is out of range", "write at most a year")
    return total


def parse_pause(value: object, path: str) -> float:
    """Seconds of a pause: whole seconds, or a Go duration. Raises SpecError."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        return parse_go_duration(value, path)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise SpecError(
            path, f"{shown(value)} is not a duration", 'write seconds, for example 30, or "30s", "5m", "1h"'
        )
    seconds = value if isinstance(value, int) else int(value) if len(value) <= _DIGITS else -1
    if not 0 <= seconds <= _LONGEST:
        raise SpecError(path, f"{shown(value)} is out of range", "write 0 to a year in seconds")
    return float(seconds)


def format_time(moment: float) -> str:
    """RFC 3339 in UTC with microseconds, as Kubernetes' MicroTime; `moment` is a Unix time."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> float:
    """The Unix time of an RFC 3339 stamp as the API server writes it. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{shown(text)} has no time zone")
    return moment.timestamp()


def short(seconds: float) -> str:
    """An age as kubectl prints it: 12s, 4m6s, 5h52m, 3d4h (duration.HumanDuration in
    k8s.io/apimachinery). A negative one is a clock that differs: 0s."""
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
    days, rest = divmod(hours, 24)
    if days < 8:
        return f"{days}d{rest}h" if rest else f"{days}d"
    if days < 2 * 365:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return f"{years}y{rest}d" if rest and years < 8 else f"{years}y"
