"""What the sidecar counts, and how a scrape shows it.

Counters are plain integers in lists made once; a request adds to them and allocates nothing.
Text is made only when somebody asks. Semantics are those of `wire.ArmCounters`: an attempt is
either an answer of the version (by class of its status) or a failure (by cause), never
both; a pinned request is in `pinned` alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from coalmine.model import wire

_EDGES: Final = wire.LATENCY_EDGES_MS

# Indices into `wire.CAUSES`.
CONNECT: Final = wire.CAUSES.index("connect")
RESET: Final = wire.CAUSES.index("reset")
TIMEOUT: Final = wire.CAUSES.index("timeout")
INVALID: Final = wire.CAUSES.index("invalid")
ABORTED: Final = wire.CAUSES.index("aborted")
NO_ENDPOINT: Final = wire.CAUSES.index("no_endpoint")

#: Requests that no arm was asked for: without a rollout, and local paths.
LOCAL: Final = "local"


class ArmStats:
    """The counters of one arm. They only ever grow."""

    __slots__ = ("failures", "latency", "latency_ms", "pinned", "requests")

    def __init__(self) -> None:
        self.requests = [0] * 5
        self.failures = [0] * len(wire.CAUSES)
        self.latency = [0] * (len(_EDGES) + 1)
        self.latency_ms = 0.0
        self.pinned = 0

    def answered(self, status: int, seconds: float) -> None:
        """A complete final answer, `seconds` after its request's head was read."""
        # A status of three digits may be 600 and more; whoever sends it is not well.
        self.requests[min(status // 100, 5) - 1] += 1
        milliseconds = seconds * 1000
        self.latency[bisect_left(_EDGES, milliseconds)] += 1
        self.latency_ms += milliseconds

    def upgraded(self) -> None:
        """A 101: how long the connection then lives is no latency."""
        self.requests[0] += 1

    def counters(self) -> wire.ArmCounters:
        """A copy for the wire."""
        return wire.ArmCounters(
            requests=(self.requests[0], self.requests[1], self.requests[2], self.requests[3], self.requests[4]),
            failures=tuple(self.failures),
            latency=tuple(self.latency),
            latency_ms=self.latency_ms,
            pinned=self.pinned,
        )


class Stats:
    """All arms by name, and what concerns the sidecar as a whole."""

    __slots__ = ("arms", "clients", "confirmations_failed", "in_flight", "refused", "retries", "upgraded", "upstreams")

    def __init__(self) -> None:
        self.arms: dict[str, ArmStats] = {LOCAL: ArmStats()}
        #: Requests that were not understood, by the status they got.
        self.refused: dict[int, int] = {}
        self.clients = 0
        self.upstreams = 0
        self.in_flight = 0
        self.retries = 0
        self.upgraded = 0
        self.confirmations_failed = 0

    def arm(self, name: str) -> ArmStats:
        """The counters of an arm; they outlive every configuration."""
        found = self.arms.get(name)
        if found is None:
            found = self.arms[name] = ArmStats()
        return found

    def counters(self) -> dict[str, wire.ArmCounters]:
        """All arms, for the wire."""
        return {name: arm.counters() for name, arm in self.arms.items()}

    def text(self, applied: wire.Version | None, ready: bool) -> str:
        """The exposition format of Prometheus, version 0.0.4."""
        arms = [(_label(name), arm) for name, arm in self.arms.items()]
        lines: list[str] = []
        _family(
            lines,
            "coalmine_requests_total",
            "counter",
            "Complete answers of an arm's version, by class of their status.",
            (
                (f'{{arm="{name}",code_class="{i + 1}xx"}}', count)
                for name, arm in arms
                for i, count in enumerate(arm.requests)
            ),
        )
        _family(
            lines,
            "coalmine_attempt_failures_total",
            "counter",
            "Attempts that ended without an answer of the version, by cause.",
            (
                (f'{{arm="{name}",cause="{cause}"}}', count)
                for name, arm in arms
                for cause, count in zip(wire.CAUSES, arm.failures, strict=True)
            ),
        )
        _family(
            lines,
            "coalmine_pinned_requests_total",
            "counter",
            "Requests pinned to a version by their header; they are in no other family.",
            ((f'{{arm="{name}"}}', arm.pinned) for name, arm in arms),
        )
        _histogram(lines, arms)
        for name, kind, help_text, value in (
            ("coalmine_retries_total", "counter", "Attempts after the first of a request.", self.retries),
            ("coalmine_upgraded_total", "counter", "Connections that became byte tunnels.", self.upgraded),
            (
                "coalmine_confirmations_failed_total",
                "counter",
                "Peers that were not the pod they should be, or did not say.",
                self.confirmations_failed,
            ),
            ("coalmine_client_connections", "gauge", "Open connections of clients.", self.clients),
            ("coalmine_upstream_connections", "gauge", "Open connections to applications.", self.upstreams),
            ("coalmine_requests_in_flight", "gauge", "Requests that are being answered.", self.in_flight),
            ("coalmine_ready", "gauge", "1 when the sidecar says that it is ready.", int(ready)),
            (
                "coalmine_config_term",
                "gauge",
                "Term of the configuration that is applied.",
                applied.term if applied else 0,
            ),
            (
                "coalmine_config_counter",
                "gauge",
                "Counter of the configuration that is applied.",
                applied.counter if applied else 0,
            ),
        ):
            _family(lines, name, kind, help_text, (("", value),))
        _family(
            lines,
            "coalmine_refused_total",
            "counter",
            "Requests that were not understood, by the status they got.",
            ((f'{{code="{code}"}}', count) for code, count in sorted(self.refused.items())),
        )
        lines.append("")
        return "\n".join(lines)


def _family(lines: list[str], name: str, kind: str, help_text: str, samples: Iterable[tuple[str, int]]) -> None:
    lines.append(f"# HELP {name} {help_text}")
    lines.append(f"# TYPE {name} {kind}")
    lines.extend(f"{name}{labels} {value}" for labels, value in samples)


def _histogram(lines: list[str], arms: Iterable[tuple[str, ArmStats]]) -> None:
    name = "coalmine_request_duration_seconds"
    lines.append(f"# HELP {name} From a request's head to the end of its answer, for answers counted above.")
    lines.append(f"# TYPE {name} histogram")
    for arm, stats in arms:
        seen = 0
        for edge, count in zip(_EDGES, stats.latency, strict=False):
            seen += count
            lines.append(f'{name}_bucket{{arm="{arm}",le="{edge / 1000:g}"}} {seen}')
        seen += stats.latency[-1]
        lines.append(f'{name}_bucket{{arm="{arm}",le="+Inf"}} {seen}')
        lines.append(f'{name}_sum{{arm="{arm}"}} {stats.latency_ms / 1000:.6f}')
        lines.append(f'{name}_count{{arm="{arm}"}} {seen}')


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
