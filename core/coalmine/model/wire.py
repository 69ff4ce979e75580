"""The configuration document that the controller pushes to a sidecar, and the sidecar's answer.

Rules:
- A document is JSON of at most `MAX_DOCUMENT` bytes, checked before its signature is, and
  its signature before it is parsed. What is signed are the very bytes of the body.
- It names the pod (uid) and the boot (nonce) it is for, so that it can be replayed neither to
  another pod nor after a restart, and its version (term, counter), so that an older
  one never replaces a newer one, whichever controller sent it.
- Fields that are unknown are ignored, fields that are absent have the default given here:
  an older and a newer sidecar work under one controller.

- `SCHEMA` is what this code understands. A sidecar's answer says what it understands itself, so that the
  controller can tell a person that a route is not followed, rather than pretend.

This module only describes; signing and HTTP are with those who do them. What stands in a document beside
arms and flags is in `routes`, and named here as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from coalmine.model import fields, json_pieces, routes
from coalmine.model.errors import RemoteError
from coalmine.model.fields import MALFORMED
from coalmine.model.pieces import Pieces, at_once
from coalmine.model.routes import EJECTION as EJECTION
from coalmine.model.routes import EXACT as EXACT
from coalmine.model.routes import LEAST_REQUEST as LEAST_REQUEST
from coalmine.model.routes import MAX_ROUTES as MAX_ROUTES
from coalmine.model.routes import PREFIX as PREFIX
from coalmine.model.routes import RANDOM as RANDOM
from coalmine.model.routes import REGEX as REGEX
from coalmine.model.routes import Affinity as Affinity
from coalmine.model.routes import Ejection as Ejection
from coalmine.model.routes import HeaderRoute as HeaderRoute
from coalmine.model.routes import Match as Match
from coalmine.model.routes import MirrorRoute as MirrorRoute
from coalmine.model.weights import Weight

#: 5,000 endpoints of about 120 bytes each, with room to spare; a larger Deployment is refused.
MAX_DOCUMENT: Final = 1 << 20
#: What this code understands. 2 has routes, mirrors, affinity, balance, ejection and arms' versions.
SCHEMA: Final = 2
#: A version is part of a cookie; the pod-template-hash is ten characters.
_VERSION: Final = re.compile(r"[0-9A-Za-z_-]{0,64}")


def version_of(label: str) -> str:
    """An arm's version from a label's value, which may have more characters; empty when it cannot be one."""
    return label if _VERSION.fullmatch(label) else ""


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
    """A named set of endpoints that together get `share` of the requests.

    `version` names what runs there (the pod-template-hash), for metrics and for affinity.
    """

    name: str
    share: Weight
    endpoints: tuple[Endpoint, ...]
    version: str = ""

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise ValueError("a version is a short word, as it stands in a cookie")


@dataclass(frozen=True, slots=True)
class Routing:
    """What a sidecar does with a request. Without arms everything is served locally.

    `close` makes every answer carry ``Connection: close``; `drain` also fails readiness.
    `pin` switches the request header ``coalmine-version`` on. `ejection` None: nobody is left out.
    """

    arms: tuple[Arm, ...] = ()
    local_paths: tuple[str, ...] = ("/metrics",)
    pin: bool = True
    close: bool = False
    drain: bool = False
    routes: tuple[HeaderRoute, ...] = ()
    mirrors: tuple[MirrorRoute, ...] = ()
    affinity: Affinity | None = None
    balance: str = RANDOM
    ejection: Ejection | None = EJECTION

    def __post_init__(self) -> None:
        if self.arms and sum(arm.share.hundredths for arm in self.arms) != 10_000:
            raise ValueError("the shares of the arms must sum to 100 %")
        if len({arm.name for arm in self.arms}) != len(self.arms):
            raise ValueError("two arms have one name")
        if self.balance not in routes.BALANCES:
            raise ValueError(f"balance is one of {', '.join(routes.BALANCES)}")

    @property
    def beyond(self) -> str:
        """What of this a sidecar of schema 1 does not do and requests would show, in words; empty: nothing."""
        words = (("header routes", self.routes), ("mirror routes", self.mirrors), ("affinity", self.affinity))
        return " and ".join(word for word, there in words if there)


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
                    "version": arm.version,
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
            "routes": [routes.route_json(route) for route in routing.routes],
            "mirrors": [routes.mirror_json(mirror) for mirror in routing.mirrors],
            "affinity": routes.affinity_json(routing.affinity),
            "balance": routing.balance,
            "ejection": routes.ejection_json(routing.ejection),
        },
        separators=(",", ":"),
    ).encode()


def decode(body: bytes) -> Document:
    """Read a document whose signature has been verified. Raises RemoteError naming the field."""
    return at_once(decoding(body))


def decoding(body: bytes, known: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint) -> Pieces[Document]:
    """`decode` in pieces. Of an endpoint that is `known` that object is used, so that there are not two of each."""
    try:
        raw = yield from json_pieces.loads(body)
        version = Version(fields.whole(raw, "term"), fields.whole(raw, "counter"))
        pod, nonce = fields.text(raw, "pod"), fields.text(raw, "nonce")
        arms = []
        for arm in fields.sequence(raw, "arms", []):
            arms.append((yield from _arm(arm, known)))
        return Document(
            version=version,
            pod=pod,
            nonce=nonce,
            routing=Routing(
                arms=tuple(arms),
                local_paths=tuple(_path(p) for p in fields.sequence(raw, "localPaths", ["/metrics"])),
                pin=fields.flag(raw, "pin", True),
                close=fields.flag(raw, "close", False),
                drain=fields.flag(raw, "drain", False),
                routes=(yield from routes.read_routes(raw)),
                mirrors=(yield from routes.read_mirrors(raw)),
                affinity=routes.read_affinity(raw),
                balance=routes.read_balance(raw),
                ejection=routes.read_ejection(raw),
            ),
        )
    except MALFORMED as error:
        raise RemoteError(f"the configuration document is malformed: {error}") from error


#: Endpoints from one yield to the next; each takes three microseconds.
_ENDPOINTS: Final = 16


def _arm(raw: Any, known: Callable[[Endpoint], Endpoint]) -> Pieces[Arm]:
    endpoints = []
    listed = fields.sequence(raw, "endpoints")
    for i, e in enumerate(listed):
        uid = fields.text(e, "uid")
        endpoint = Endpoint(fields.address(e, "address"), fields.port(e, "port"), uid, fields.port(e, "admin"))
        endpoints.append(known(endpoint))
        listed[i] = None  # freed one by one: all at once take a millisecond
        if i % _ENDPOINTS == 0:
            yield
    version = fields.text(raw, "version") if "version" in raw else ""
    return Arm(fields.text(raw, "name"), Weight.parse(raw["share"], "share"), tuple(endpoints), version)


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not value.isascii():
        raise RemoteError("localPaths must be paths that begin with /")
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
    """What a sidecar answers to a push, accepted (200) or not (409: other nonce or older version).

    `schema` is the highest that it understands; those that do not say it understand 1.
    """

    pod: str
    nonce: str
    applied: Version | None
    ready: bool
    counters: Mapping[str, ArmCounters] = field(default_factory=dict)
    schema: int = SCHEMA


def encode_answer(answer: Answer) -> bytes:
    """The body of an answer to ``PUT /config`` and ``GET /config``."""
    return json.dumps(
        {
            "schema": answer.schema,
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
            pod=fields.text(raw, "pod"),
            nonce=fields.text(raw, "nonce"),
            applied=None
            if applied is None
            else Version(fields.whole(applied, "term"), fields.whole(applied, "counter")),
            ready=bool(raw.get("ready")),
            counters={
                str(name): ArmCounters(
                    requests=_counts(c["requests"]),
                    failures=_counts(c["failures"]),
                    latency=_counts(c["latency"]),
                    latency_ms=_milliseconds(c["latencyMs"]),
                    pinned=fields.whole(c, "pinned"),
                )
                for name, c in dict(raw.get("counters", {})).items()
            },
            schema=fields.whole(raw, "schema") if "schema" in raw else 1,
        )
    except MALFORMED as error:
        raise RemoteError(f"the sidecar's answer is malformed: {error}") from error


#: There are 16 buckets and fewer causes; a sidecar of another version may have some more or less.
_MAX_COUNTS: Final = 64


def _counts(raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list) or len(raw) > _MAX_COUNTS:
        raise RemoteError("counters must be short lists")
    return tuple(fields.whole({"counter": n}, "counter") for n in raw)


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
                port_name=fields.text(raw, "portName"),
                app_port=fields.port(raw, "appPort"),
                proxy_port=fields.port(raw, "proxyPort"),
                admin_port=fields.port(raw, "adminPort"),
                canary=fields.flag(raw, "canary", False),
            )
        except MALFORMED as error:
            raise RemoteError(f"the injection annotation is malformed: {error}") from error
