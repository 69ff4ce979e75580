"""What the sidecar counts.

Counters are plain integers in lists made once; a request adds to them and allocates nothing. An
attempt is either an answer of the version (by its status) or a failure (by cause), never both. What was
sent to one version by name (pinned, or by a header route) is counted apart, in `outside`: it is no
part of the shares, nor of the comparison.

A `snapshot` is all of it as plain data: text and messages are made from that, and those of several
workers are added up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

from coalmine.model import wire

_EDGES: Final[tuple[float, ...]] = tuple([float(edge) for edge in wire.LATENCY_EDGES_MS])

# Indices into `wire.CAUSES`.
CONNECT: Final = wire.CAUSES.index("connect")
RESET: Final = wire.CAUSES.index("reset")
TIMEOUT: Final = wire.CAUSES.index("timeout")
INVALID: Final = wire.CAUSES.index("invalid")
ABORTED: Final = wire.CAUSES.index("aborted")
NO_ENDPOINT: Final = wire.CAUSES.index("no_endpoint")

#: Requests that no arm was asked for: without a rollout, and local paths.
LOCAL: Final = "local"

#: A status has three digits; whoever sends 600 and more is not well, but is counted.
_CODES: Final = 1000

#: What a connection speaks that is passed on unread.
TLS: Final = "tls"
HTTP2: Final = "http2"
TCP: Final = "tcp"

#: What became of the copies of requests.
SENT: Final = "sent"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"

Snapshot = dict[str, Any]


class Tally:
    """Answers by status and duration, failed attempts by cause."""

    __slots__ = ("codes", "failures", "latency", "latency_ms")

    def __init__(self) -> None:
        self.codes: list[int] = [0] * _CODES
        self.failures: list[int] = [0] * len(wire.CAUSES)
        self.latency: list[int] = [0] * (len(_EDGES) + 1)
        self.latency_ms = 0.0

    def answered(self, status: int, milliseconds: float) -> None:
        """A complete final answer, so long after its request's head was read."""
        self.codes[status] += 1
        self.latency[bisect_left(_EDGES, milliseconds)] += 1
        self.latency_ms += milliseconds

    def snapshot(self) -> Snapshot:
        return {
            "codes": {str(code): count for code, count in enumerate(self.codes) if count},
            "failures": list(self.failures),
            "latency": list(self.latency),
            "latencyMs": self.latency_ms,
        }


class ArmStats:
    """The counters of one arm. But for `in_flight` they only ever grow."""

    __slots__ = ("connections", "in_flight", "mirrored", "outside", "received", "sent", "shared")

    def __init__(self) -> None:
        #: Requests that were dealt out by the shares, and those sent to the arm by name.
        self.shared = Tally()
        self.outside = Tally()
        self.in_flight = 0
        #: Bytes of bodies to and from applications, and of what was passed on unread.
        self.sent = 0
        self.received = 0
        #: Connections passed on unread, by what they speak.
        self.connections: dict[str, int] = {TLS: 0, HTTP2: 0, TCP: 0}
        #: Copies of requests, by what became of them.
        self.mirrored: dict[str, int] = {SENT: 0, FAILED: 0, SKIPPED: 0}

    def snapshot(self) -> Snapshot:
        return {
            "shared": self.shared.snapshot(),
            "outside": self.outside.snapshot(),
            "inFlight": self.in_flight,
            "sent": self.sent,
            "received": self.received,
            "connections": dict(self.connections),
            "mirrored": dict(self.mirrored),
        }


class Stats:
    """All arms by name, and what concerns the sidecar as a whole."""

    __slots__ = (
        "arms",
        "clients",
        "clients_refused",
        "confirmations_failed",
        "ejections",
        "exhausted",
        "refused",
        "retries",
        "tunnels",
        "upgraded",
        "upstreams",
    )

    def __init__(self) -> None:
        self.arms: dict[str, ArmStats] = {LOCAL: ArmStats()}
        #: Requests that were not understood, by the status they got.
        self.refused: dict[int, int] = {}
        self.clients = 0
        self.clients_refused = 0
        self.upstreams = 0
        self.tunnels = 0
        self.retries = 0
        self.upgraded = 0
        self.confirmations_failed = 0
        self.ejections = 0
        #: Connections that this pod had no descriptor or port for.
        self.exhausted = 0

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return sum(arm.in_flight for arm in self.arms.values())

    def arm(self, name: str) -> ArmStats:
        """The counters of an arm; they outlive every configuration."""
        found = self.arms.get(name)
        if found is None:
            found = self.arms[name] = ArmStats()
        return found

    def snapshot(self) -> Snapshot:
        return {
            "arms": {name: arm.snapshot() for name, arm in self.arms.items()},
            "refused": {str(code): count for code, count in self.refused.items()},
            "clients": self.clients,
            "clientsRefused": self.clients_refused,
            "upstreams": self.upstreams,
            "tunnels": self.tunnels,
            "retries": self.retries,
            "upgraded": self.upgraded,
            "confirmationsFailed": self.confirmations_failed,
            "ejections": self.ejections,
            "exhausted": self.exhausted,
        }

    def counters(self) -> dict[str, wire.ArmCounters]:
        """All arms, for the wire."""
        return counters(self.snapshot())


def added(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Several workers' snapshots as one."""
    total: Snapshot = {}
    for snapshot in snapshots:
        total = _sum(total, snapshot)
    return total


def _sum(one: Any, other: Any) -> Any:
    """Numbers are added, lists and mappings member by member; what one of them lacks is nothing."""
    if isinstance(other, dict):
        return {**one, **{key: _sum(one[key], value) if key in one else value for key, value in other.items()}}
    if isinstance(other, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one + other


def lasting(snapshot: Snapshot) -> Snapshot:
    """What stays true of a process that is no more: its counters, without what it had open."""
    arms = {name: {**arm, "inFlight": 0} for name, arm in snapshot["arms"].items()}
    return {**snapshot, "arms": arms, "clients": 0, "upstreams": 0, "tunnels": 0}


def counters(snapshot: Snapshot) -> dict[str, wire.ArmCounters]:
    """All arms of a snapshot, for the wire."""
    return {name: _counters(arm) for name, arm in snapshot["arms"].items()}


def _counters(arm: Snapshot) -> wire.ArmCounters:
    shared, outside = arm["shared"], arm["outside"]
    classes = [0] * 5
    for code, count in shared["codes"].items():
        classes[min(int(code) // 100, 5) - 1] += count
    return wire.ArmCounters(
        requests=(classes[0], classes[1], classes[2], classes[3], classes[4]),
        failures=tuple(shared["failures"]),
        latency=tuple(shared["latency"]),
        latency_ms=shared["latencyMs"],
        pinned=sum(outside["codes"].values()) + sum(outside["failures"]),
    )
