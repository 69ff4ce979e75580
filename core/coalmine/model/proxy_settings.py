"""The annotation ``coalmine.dev/proxy``: how a Deployment's sidecars are to work.

PURE. It is parsed once, into values that cannot be invalid; every error names the field and says what to
write. None means the sidecar's own default, so that a default may change with the sidecar.

Two halves. Timeouts, limits, forwarding, metrics, logs and workers are an argument of the sidecar: they
take effect when a pod is made (`for_injection` spells them). Affinity, balance, ejection and pin
stand in the configuration that the controller pushes: they take effect at once.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model import spec
from coalmine.model.durations import parse_pause
from coalmine.model.errors import SpecError, shown
from coalmine.model.names import PROXY
from coalmine.model.routes import (
    BALANCES,
    EJECTION,
    MAX_AGE,
    MAX_CONSECUTIVE,
    MAX_EJECTION,
    RANDOM,
    TOKEN,
    Affinity,
    Ejection,
)
from coalmine.model.weights import Weight

_SECOND, _MINUTE, _HOUR, _DAY = 1.0, 60.0, 3600.0, 86_400.0
_KI, _MI = 1 << 10, 1 << 20

#: Timeouts with the least and the most that they may be, in seconds. None may be off: a peer that says
#: nothing for ever would hold its connections for ever.
TIMEOUTS: Final[Mapping[str, tuple[float, float]]] = {
    "head": (_SECOND, 10 * _MINUTE),
    "idle": (_SECOND, _DAY),
    "connect": (0.1, _MINUTE),
    "firstByte": (_SECOND, _DAY),
    "stream": (_SECOND, _DAY),
    "tunnel": (_SECOND, 7 * _DAY),
    "pooled": (0.1, 10 * _MINUTE),
    "linger": (0.1, _MINUTE),
    "mirror": (0.1, 10 * _MINUTE),
}
#: Limits likewise. The least are those below which ordinary requests fail; the most keep one client from
#: taking the sidecar's memory (192 MiB) for itself.
LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    "line": (_KI, _MI),
    "head": (_KI, _MI),
    "fields": (10, 10_000),
    "trailers": (0, _MI),
    "held": (4 * _KI, 16 * _MI),
    "connections": (10, 1_000_000),
    "idlePerEndpoint": (0, 100_000),
    "mirrors": (1, 10_000),
}
#: Those of `LIMITS` that are sizes in bytes, and may be written as quantities.
_SIZES: Final = ("line", "head", "trailers", "held")
_SIZE: Final = re.compile(r"([0-9]{1,12})(Ki|Mi|k|M|)")
_UNITS: Final = {"": 1, "k": 1000, "M": 1_000_000, "Ki": _KI, "Mi": _MI}

MAX_NETWORKS: Final = 64
#: One for each core of the largest nodes that anybody gives to a sidecar.
MAX_WORKERS: Final = 64
#: A rollout lasts hours; a client that comes back within the day finds its version again.
DEFAULT_MAX_AGE: Final = 86_400
DEFAULT_COOKIE: Final = "coalmine"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What somebody wants otherwise. Timeouts are in seconds, sizes in bytes, by the names used above.

    `trusted` are the clients that are believed what they say of those before them: None is the default,
    all of them are two networks, nobody is none.
    """

    timeouts: tuple[tuple[str, float], ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    trusted: tuple[Network, ...] | None = None
    istio: bool | None = None
    log_sample: Weight | None = None
    workers: int | None = None
    affinity: Affinity | None = None
    balance: str = RANDOM
    ejection: Ejection | None = EJECTION
    pin: bool = True

    def for_injection(self) -> str:
        """The half that a sidecar is started with, as canonical JSON; empty when all of it is the default."""
        raw: dict[str, Any] = {}
        if self.timeouts:
            raw["timeouts"] = {key: f"{seconds:g}s" for key, seconds in self.timeouts}
        if self.limits:
            raw["limits"] = dict(self.limits)
        if self.trusted is not None:
            trusted = [str(network) for network in self.trusted]
            raw["forwarded"] = {"trust": _word_of(self.trusted) or trusted}
        if self.istio is not None:
            raw["metrics"] = {"istio": self.istio}
        if self.log_sample is not None:
            raw["logs"] = {"sample": self.log_sample.percent}
        if self.workers is not None:
            raw["workers"] = self.workers
        return json.dumps(raw, separators=(",", ":"), sort_keys=True) if raw else ""


DEFAULTS: Final = ProxySettings()
EVERYBODY: Final[tuple[Network, ...]] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


def _word_of(trusted: tuple[Network, ...]) -> str:
    return "none" if not trusted else "all" if trusted == EVERYBODY else ""


_FIELDS: Final = (
    "timeouts",
    "limits",
    "forwarded",
    "metrics",
    "logs",
    "workers",
    "affinity",
    "balance",
    "ejection",
    "pin",
)


def parse_settings(text: str, path: str = f"metadata.annotations[{PROXY}]") -> ProxySettings:
    """Read the annotation's text. Raises SpecError with the field's path below `path`."""
    from coalmine.model.yaml_text import load

    raw = load(text, path, "write a mapping, for example {timeouts: {idle: 90s}}")
    try:
        return read_settings({} if raw is None else raw)
    except SpecError as error:
        raise error.under(path) from None


def read_settings(raw: Any) -> ProxySettings:
    """Read values that were parsed. Raises SpecError."""
    fields = spec.mapping(raw, "", "write a mapping, for example {timeouts: {idle: 90s}}")
    spec.known(fields, _FIELDS, "", {})
    balance = fields.get("balance", RANDOM)
    if balance not in BALANCES:
        raise SpecError("balance", f"{shown(balance)} is unknown", f"write {' or '.join(BALANCES)}")
    metrics = _below(fields, "metrics", ("istio",), "write {istio: true}")
    logs = _below(fields, "logs", ("sample",), "write {sample: PERCENT}")
    workers = fields.get("workers")
    return ProxySettings(
        timeouts=_timeouts(fields),
        limits=_limits(fields),
        trusted=_trusted(fields),
        istio=spec.flag(metrics["istio"], "metrics.istio") if "istio" in metrics else None,
        log_sample=Weight.parse(logs["sample"], "logs.sample") if "sample" in logs else None,
        workers=None if workers is None else spec.whole(workers, "workers", 1, MAX_WORKERS),
        affinity=_affinity(fields),
        balance=balance,
        ejection=_ejection(fields),
        pin=spec.flag(fields.get("pin", True), "pin"),
    )


def _below(fields: Mapping[str, Any], key: str, known: tuple[str, ...], advice: str) -> Mapping[str, Any]:
    """The mapping at `key`, empty when there is none."""
    if fields.get(key) is None:
        return {}
    found = spec.mapping(fields[key], key, advice)
    spec.known(found, known, key, {})
    return found


def _timeouts(fields: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    given = _below(fields, "timeouts", tuple(TIMEOUTS), 'write a mapping, for example {idle: "90s"}')
    found = []
    for key, (least, most) in TIMEOUTS.items():
        if key in given:
            found.append((key, _seconds(given[key], f"timeouts.{key}", least, most)))
    return tuple(found)


def _seconds(raw: Any, path: str, least: float, most: float) -> float:
    seconds = parse_pause(raw, path)
    if not least <= seconds <= most:
        raise SpecError(path, f"{shown(raw)} is out of range", f'write "{least:g}s" to "{most:g}s"')
    return seconds


def _limits(fields: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    given = _below(fields, "limits", tuple(LIMITS), "write a mapping, for example {head: 64Ki}")
    found = []
    for key, (least, most) in LIMITS.items():
        if key in given:
            value = _size(given[key]) if key in _SIZES else given[key]
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                kind = "a number of bytes or a quantity such as 64Ki" if key in _SIZES else "a whole number"
                advice = f"write {kind}, from {least} to {most}"
                raise SpecError(f"limits.{key}", f"{shown(given[key])} is not in range", advice)
            found.append((key, value))
    return tuple(found)


def _size(raw: Any) -> Any:
    """Bytes of a quantity; anything else as it came."""
    match = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
    return raw if match is None else int(match[1]) * _UNITS[match[2]]


def _trusted(fields: Mapping[str, Any]) -> tuple[Network, ...] | None:
    advice = "write all, none, or a list of networks, for example [10.0.0.0/8]"
    trust = _below(fields, "forwarded", ("trust",), f"write {{trust: ...}}: {advice}").get("trust")
    if trust is None:
        return None
    if trust in ("all", "none"):
        return EVERYBODY if trust == "all" else ()
    if not isinstance(trust, list):
        raise SpecError("forwarded.trust", f"{shown(trust)} is unknown", advice)
    if len(trust) > MAX_NETWORKS:
        raise SpecError("forwarded.trust", f"{len(trust)} networks are too many", f"write at most {MAX_NETWORKS}")
    found = []
    for i, network in enumerate(trust):
        try:
            # ip_network takes numbers, too
            found.append(ipaddress.ip_network(network if isinstance(network, str) else ""))
        except ValueError as error:
            path = f"forwarded.trust[{i}]"
            raise SpecError(path, f"{shown(network)} is not a network", "write one such as 10.0.0.0/8") from error
    return tuple(found)


def _affinity(fields: Mapping[str, Any]) -> Affinity | None:
    if fields.get("affinity") is None:
        return None
    given = _below(fields, "affinity", ("cookie", "maxAge"), "write {cookie: NAME, maxAge: 24h}")
    cookie = given.get("cookie", DEFAULT_COOKIE)
    if not isinstance(cookie, str) or not TOKEN.fullmatch(cookie):
        raise SpecError("affinity.cookie", f"{shown(cookie)} is not a cookie's name", "write letters, digits, - and _")
    age = _seconds(given.get("maxAge", DEFAULT_MAX_AGE), "affinity.maxAge", 1, MAX_AGE)
    if age != int(age):
        raise SpecError("affinity.maxAge", f"{shown(given['maxAge'])} is not whole seconds", "write whole seconds")
    return Affinity(cookie, int(age))


def _ejection(fields: Mapping[str, Any]) -> Ejection | None:
    given = fields.get("ejection")
    if given is None:
        return EJECTION
    if given is False or given == "off":  # YAML reads a bare off as false
        return None
    advice = "write off, or {consecutive: 5, time: 30s, percent: 50}"
    below = _below(fields, "ejection", ("consecutive", "time", "percent"), advice)
    return Ejection(
        spec.whole(below.get("consecutive", EJECTION.consecutive), "ejection.consecutive", 1, MAX_CONSECUTIVE),
        _seconds(below["time"], "ejection.time", 1, MAX_EJECTION) if "time" in below else EJECTION.seconds,
        spec.whole(below.get("percent", EJECTION.percent), "ejection.percent", 0, 100),
    )
