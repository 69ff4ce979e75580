"""The configuration document that the controller pushes to a sidecar, and the sidecar's answer.

Rules:
- A document is JSON of at most `MAX_DOCUMENT` bytes, checked before its signature is, and
  its signature before it is parsed. What is signed are the very bytes of the body.
- It names the pod (uid) and the boot (nonce) it is for, so that it can be replayed neither to
  another pod nor after a restart, and its version (term, counter), so that an older
  one never replaces a newer one, whichever controller sent it.
- Fields that are unknown are ignored, fields that are absent have the default given here:
  an older and a newer sidecar work under one controller.

This module only describes; signing and HTTP are with those who do them.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from coalmine.model.errors import RemoteError
from coalmine.model.weights import Weight

#: 5,000 endpoints of about 120 bytes each, with room to spare; a larger Deployment is refused.
MAX_DOCUMENT: Final = 1 << 20
SCHEMA: Final = 1

STABLE: Final = "stable"
CONTROL: Final = "control"
CANARY: Final = "canary"


class Version(NamedTuple):
    """Orders documents: the controller's term (of its Lease), then its own counter."""

    term: int
    counter: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The application of one pod: where it listens, and the admin port that confirms the uid."""

    address: str
    port: int
    uid: str
    admin: int


@dataclass(frozen=True, slots=True)
class Arm:
    """A named set of endpoints that together get `share` of the requests."""

    name: str
    share: Weight
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """What a sidecar does with a request. Without arms everything is served locally.

    `close` makes every answer carry ``Connection: close``; `drain` also fails readiness.
    `pin` switches the request header ``coalmine-version`` on.
    """

    arms: tuple[Arm, ...] = ()
    local_paths: tuple[str, ...] = ("/metrics",)
    pin: bool = True
    close: bool = False
    drain: bool = False

    def __post_init__(self) -> None:
        if self.arms and sum(arm.share.hundredths for arm in self.arms) != 10_000:
            raise ValueError("the shares of the arms must sum to 100 %")
        if len({arm.name for arm in self.arms}) != len(self.arms):
            raise ValueError("two arms have one name")


LOCAL_ONLY: Final = Routing()


@dataclass(frozen=True, slots=True)
class Document:
    """One pushed configuration."""

    version: Version
    pod: str
    nonce: str
    routing: Routing


def encode(document: Document) -> bytes:
    """The bytes of a document, to be signed and sent."""
    routing = document.routing
    return json.dumps(
        {
            "schema": SCHEMA,
            "term": document.version.term,
            "counter": document.version.counter,
            "pod": document.pod,
            "nonce": document.nonce,
            "arms": [
                {
                    "name": arm.name,
                    "share": arm.share.percent,
                    "endpoints": [
                        {"address": e.address, "port": e.port, "uid": e.uid, "admin": e.admin} for e in arm.endpoints
                    ],
                }
                for arm in routing.arms
            ],
            "localPaths": list(routing.local_paths),
            "pin": routing.pin,
            "close": routing.close,
            "drain": routing.drain,
        },
        separators=(",", ":"),
    ).encode()


#: What reading JSON of the wrong shape raises, here or in Python.
_MALFORMED: Final = (RemoteError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def decode(body: bytes) -> Document:
    """Read a document whose signature has been verified. Raises RemoteError naming the field."""
    try:
        raw = json.loads(body)
        return Document(
            version=Version(_whole(raw, "term"), _whole(raw, "counter")),
            pod=_text(raw, "pod"),
            nonce=_text(raw, "nonce"),
            routing=Routing(
                arms=tuple(_arm(a) for a in _list(raw, "arms", [])),
                local_paths=tuple(_path(p) for p in _list(raw, "localPaths", ["/metrics"])),
                pin=_flag(raw, "pin", True),
                close=_flag(raw, "close", False),
                drain=_flag(raw, "drain", False),
            ),
        )
    except _MALFORMED as error:
        raise RemoteError(f"the configuration document is malformed: {error}") from error


def _arm(raw: Any) -> Arm:
    endpoints = tuple(
        Endpoint(_address(e, "address"), _port(e, "port"), _text(e, "uid"), _port(e, "admin"))
        for e in _list(raw, "endpoints", None)
    )
    return Arm(_text(raw, "name"), Weight.parse(raw["share"], "share"), endpoints)


def _list(raw: Mapping[str, Any], key: str, default: list[Any] | None) -> list[Any]:
    value = raw[key] if default is None else raw.get(key, default)
    if not isinstance(value, list):
        raise RemoteError(f"{key} must be a list")
    return value


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not value.isascii():
        raise RemoteError("localPaths must be paths that begin with /")
    return value


def _address(raw: Mapping[str, Any], key: str) -> str:
    """A name would be looked up, and may be anybody's."""
    value = _text(raw, key)
    ipaddress.ip_address(value)
    return value


def _flag(raw: Mapping[str, Any], key: str, default: bool) -> bool:
    value = raw.get(key, default)
    if not isinstance(value, bool):
        raise RemoteError(f"{key} must be true or false")
    return value


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw[key]
    if not isinstance(value, str) or len(value) > 256:
        raise RemoteError(f"{key} must be a short string")
    return value


def _whole(raw: Mapping[str, Any], key: str) -> int:
    value = raw[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise RemoteError(f"{key} must be a whole number")
    return value


def _port(raw: Mapping[str, Any], key: str) -> int:
    value = _whole(raw, key)
    if not 1 <= value <= 65_535:
        raise RemoteError(f"{key} must be a port")
    return value


# --- The sidecar's answer -------------------------------------------------------------------

#: Upper edges of the latency histogram in milliseconds: Istio's, so that its dashboards fit.
LATENCY_EDGES_MS: Final = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)

#: Why an attempt ended without the version's own answer.
#: ``connect``: refused or unreachable; ``reset``: closed before its answer was complete;
#: ``timeout``: no answer in time; ``invalid``: an answer that is not HTTP;
#: ``aborted``: the client went away; ``no_endpoint``: nowhere to send it.
CAUSES: Final = ("connect", "reset", "timeout", "invalid", "aborted", "no_endpoint")


@dataclass(frozen=True, slots=True)
class ArmCounters:
    """What one sidecar has seen of one arm since it started. All values only ever grow.

    `requests` counts final answers by status class (index 0 = 1xx .. 4 = 5xx, of the version
    itself), `failures` attempts by cause (`CAUSES`), `latency` answers per bucket (one
    more than there are edges), `latency_ms` their sum. Pinned requests are in `pinned` only.
    """

    requests: tuple[int, ...] = (0, 0, 0, 0, 0)
    failures: tuple[int, ...] = (0,) * len(CAUSES)
    latency: tuple[int, ...] = (0,) * (len(LATENCY_EDGES_MS) + 1)
    latency_ms: float = 0.0
    pinned: int = 0

    @property
    def total(self) -> int:
        """Answers of the version, whatever their status."""
        return sum(self.requests)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sidecar answers to a push, accepted (200) or not (409: other nonce or older version)."""

    pod: str
    nonce: str
    applied: Version | None
    ready: bool
    counters: Mapping[str, ArmCounters] = field(default_factory=dict)


def encode_answer(answer: Answer) -> bytes:
    """The body of an answer to ``PUT /config`` and ``GET /config``."""
    return json.dumps(
        {
            "pod": answer.pod,
            "nonce": answer.nonce,
            "applied": None
            if answer.applied is None
            else {"term": answer.applied.term, "counter": answer.applied.counter},
            "ready": answer.ready,
            "counters": {
                name: {
                    "requests": c.requests,
                    "failures": c.failures,
                    "latency": c.latency,
                    "latencyMs": round(c.latency_ms, 3),
                    "pinned": c.pinned,
                }
                for name, c in answer.counters.items()
            },
        },
        separators=(",", ":"),
    ).encode()


def decode_answer(body: bytes) -> Answer:
    """Read a sidecar's answer. Raises RemoteError."""
    try:
        raw = json.loads(body)
        applied = raw.get("applied")
        return Answer(
            pod=_text(raw, "pod"),
            nonce=_text(raw, "nonce"),
            applied=None if applied is None else Version(_whole(applied, "term"), _whole(applied, "counter")),
            ready=bool(raw.get("ready")),
            counters={
                str(name): ArmCounters(
                    requests=_counts(c["requests"]),
                    failures=_counts(c["failures"]),
                    latency=_counts(c["latency"]),
                    latency_ms=_milliseconds(c["latencyMs"]),
                    pinned=_whole(c, "pinned"),
                )
                for name, c in dict(raw.get("counters", {})).items()
            },
        )
    except _MALFORMED as error:
        raise RemoteError(f"the sidecar's answer is malformed: {error}") from error


#: There are 16 buckets and fewer causes; a sidecar of another version may have some more or less.
_MAX_COUNTS: Final = 64


def _counts(raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list) or len(raw) > _MAX_COUNTS:
        raise RemoteError("counters must be short lists")
    return tuple(_whole({"counter": n}, "counter") for n in raw)


def _milliseconds(raw: Any) -> float:
    value = float(raw)
    if not 0 <= value < float("inf"):
        raise RemoteError("latencyMs must be a number")
    return value


# --- What injection tells the sidecar and the controller --------------------------------------


@dataclass(frozen=True, slots=True)
class Injection:
    """What the Pod webhook decided for one pod; stands as JSON in its annotation ``injected``."""

    port_name: str
    app_port: int
    proxy_port: int
    admin_port: int
    canary: bool

    def to_json(self) -> str:
        return json.dumps(
            {
                "portName": self.port_name,
                "appPort": self.app_port,
                "proxyPort": self.proxy_port,
                "adminPort": self.admin_port,
                "canary": self.canary,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Injection:
        """Raises RemoteError: the annotation was forged or cut."""
        try:
            raw = json.loads(text)
            return cls(
                port_name=_text(raw, "portName"),
                app_port=_port(raw, "appPort"),
                proxy_port=_port(raw, "proxyPort"),
                admin_port=_port(raw, "adminPort"),
                canary=_flag(raw, "canary", False),
            )
        except _MALFORMED as error:
            raise RemoteError(f"the injection annotation is malformed: {error}") from error
