"""What a scrape shows: a snapshot in the text format of Prometheus, version 0.0.4.

PURE. Ours always; beside them, when asked for, the standard metrics of Istio, so that dashboards
and AnalysisTemplates made for it work unchanged. They are off by default: next to Istio itself
every request would be counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coalmine.model import wire
from coalmine_proxy.stats import LOCAL, Snapshot

#: Always shown, so that the rates of success and failure begin at zero and not at their first request.
_SHOWN: Final = ("200", "500")

#: Envoy's response flags for our causes (``%RESPONSE_FLAGS%`` of its access log).
_FLAGS: Final = {
    "connect": "UF",
    "reset": "UC",
    "timeout": "UT",
    "invalid": "UPE",
    "aborted": "DC",
    "no_endpoint": "UH",
}
#: What the client got for them; 0 when it was gone.
_CODES: Final = {"connect": 502, "reset": 502, "timeout": 504, "invalid": 502, "aborted": 0, "no_endpoint": 503}


@dataclass(frozen=True, slots=True)
class Workload:
    """Whose sidecar this is, for Istio's labels. `versions` names what runs in an arm."""

    name: str
    namespace: str
    version: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """What is shown of the sidecar beside its counters."""

    applied: wire.Version | None
    ready: bool
    workers: int = 1


def text(snapshot: Snapshot, state: State, istio: Workload | None = None) -> str:
    """The whole page."""
    page = _Page()
    arms = [(_escaped(name), arm) for name, arm in snapshot["arms"].items()]
    page.family(
        "coalmine_requests_total",
        "counter",
        "Complete answers of an arm's version to requests dealt out by the shares, by status.",
        ((f'arm="{name}",code="{code}"', count) for name, arm in arms for code, count in _codes(arm["shared"])),
    )
    page.family(
        "coalmine_attempt_failures_total",
        "counter",
        "Attempts that ended without an answer of the version, by cause; one that was retried counts where it failed.",
        (
            (f'arm="{name}",cause="{cause}"', count)
            for name, arm in arms
            for cause, count in zip(wire.CAUSES, arm["shared"]["failures"], strict=True)
        ),
    )
    page.family(
        "coalmine_pinned_requests_total",
        "counter",
        "Complete answers to requests sent to a version by name (pinned, or by a header route); in no family above.",
        (
            (f'arm="{name}",code="{code}"', count)
            for name, arm in arms
            for code, count in sorted(arm["outside"]["codes"].items())
        ),
    )
    page.family(
        "coalmine_pinned_attempt_failures_total",
        "counter",
        "Their attempts that ended without an answer, by cause.",
        (
            (f'arm="{name}",cause="{cause}"', count)
            for name, arm in arms
            for cause, count in zip(wire.CAUSES, arm["outside"]["failures"], strict=True)
        ),
    )
    page.histogram(
        "coalmine_request_duration_seconds",
        "From a request's head to the end of its answer, for answers by the shares.",
        [(f'arm="{name}"', arm["shared"]) for name, arm in arms],
        0.001,
    )
    for key, name, help_text in (
        (
            "sent",
            "coalmine_request_bytes_total",
            "Bytes to applications: bodies, and what is passed on unread.",
        ),
        (
            "received",
            "coalmine_response_bytes_total",
            "Bytes from applications: bodies, and what is passed on unread.",
        ),
    ):
        page.family(name, "counter", help_text, ((f'arm="{label}"', arm[key]) for label, arm in arms))
    page.family(
        "coalmine_requests_in_flight",
        "gauge",
        "Requests that are being answered.",
        ((f'arm="{name}"', arm["inFlight"]) for name, arm in arms),
    )
    page.family(
        "coalmine_connections_total",
        "counter",
        "Connections passed on unread, each split as one, by what they speak.",
        (
            (f'arm="{name}",protocol="{protocol}"', count)
            for name, arm in arms
            for protocol, count in arm["connections"].items()
        ),
    )
    page.family(
        "coalmine_mirrored_requests_total",
        "counter",
        "Copies of requests by what became of them; skipped: too large, or too many at once.",
        (
            (f'arm="{name}",outcome="{outcome}"', count)
            for name, arm in arms
            for outcome, count in arm["mirrored"].items()
        ),
    )
    page.family(
        "coalmine_refused_total",
        "counter",
        "Requests that were not understood, by the status they got.",
        ((f'code="{code}"', count) for code, count in sorted(snapshot["refused"].items())),
    )
    for name, kind, help_text, value in (
        ("coalmine_retries_total", "counter", "Attempts after the first of a request.", snapshot["retries"]),
        ("coalmine_ejections_total", "counter", "Times an endpoint was left out.", snapshot["ejections"]),
        (
            "coalmine_exhausted_total",
            "counter",
            "Connections to applications that this pod had no descriptor or port for.",
            snapshot["exhausted"],
        ),
        ("coalmine_upgraded_total", "counter", "Connections that became byte tunnels.", snapshot["upgraded"]),
        (
            "coalmine_confirmations_failed_total",
            "counter",
            "Peers that were not the pod they should be, or did not say.",
            snapshot["confirmationsFailed"],
        ),
        (
            "coalmine_clients_refused_total",
            "counter",
            "Connections closed at once: there were too many.",
            snapshot["clientsRefused"],
        ),
        ("coalmine_client_connections", "gauge", "Open connections of clients.", snapshot["clients"]),
        ("coalmine_upstream_connections", "gauge", "Open connections to applications.", snapshot["upstreams"]),
        ("coalmine_tunnels", "gauge", "Connections that are passed on unread.", snapshot["tunnels"]),
        ("coalmine_workers", "gauge", "Processes that share the port.", state.workers),
        ("coalmine_ready", "gauge", "1 when the sidecar says that it is ready.", int(state.ready)),
        (
            "coalmine_config_term",
            "gauge",
            "Term of the configuration that is applied.",
            state.applied.term if state.applied else 0,
        ),
        (
            "coalmine_config_counter",
            "gauge",
            "Counter of the configuration that is applied.",
            state.applied.counter if state.applied else 0,
        ),
    ):
        page.family(name, kind, help_text, (("", value),))
    if istio is not None:
        _istio(page, snapshot, istio)
    return page.text()


def _codes(tally: Snapshot) -> list[tuple[str, int]]:
    return sorted((dict.fromkeys(_SHOWN, 0) | tally["codes"]).items())


def _istio(page: _Page, snapshot: Snapshot, workload: Workload) -> None:
    """Istio's standard metrics, as its sidecars report them at the destination."""
    arms = [(_destination(workload, name), arm) for name, arm in snapshot["arms"].items()]
    tallies = [(labels, arm[which]) for labels, arm in arms for which in ("shared", "outside")]
    requests: dict[str, int] = {}
    for labels, tally in tallies:
        for code, count in tally["codes"].items():
            key = f'{labels},response_code="{code}",response_flags="-"'
            requests[key] = requests.get(key, 0) + count
        for cause, count in zip(wire.CAUSES, tally["failures"], strict=True):
            if count:
                key = f'{labels},response_code="{_CODES[cause]}",response_flags="{_FLAGS[cause]}"'
                requests[key] = requests.get(key, 0) + count
    page.family("istio_requests_total", "counter", "As Istio's, at the destination.", requests.items())
    # control and stable are one version: their histograms are one
    durations: dict[str, Snapshot] = {}
    for labels, tally in tallies:
        before = durations.get(labels)
        durations[labels] = {
            "latency": [a + b for a, b in zip(before["latency"], tally["latency"], strict=True)]
            if before
            else tally["latency"],
            "latencyMs": (before["latencyMs"] if before else 0.0) + tally["latencyMs"],
        }
    page.histogram("istio_request_duration_milliseconds", "As Istio's.", list(durations.items()), 1.0)
    for key, name in (("requestBytes", "istio_request_bytes"), ("responseBytes", "istio_response_bytes")):
        sizes: dict[str, Snapshot] = {}
        for name_of_arm, histogram in snapshot.get(key, {}).items():
            labels = _destination(workload, name_of_arm)
            before = sizes.get(labels)
            sizes[labels] = {
                "counts": [a + b for a, b in zip(before["counts"], histogram["counts"], strict=True)]
                if before
                else histogram["counts"],
                "sum": (before["sum"] if before else 0) + histogram["sum"],
            }
        page.sizes(name, "Bytes of bodies, as Istio's.", list(sizes.items()))


def _destination(workload: Workload, arm: str) -> str:
    version = workload.version if arm == LOCAL else workload.versions.get(arm, "")
    return (
        'reporter="destination",request_protocol="http"'
        f',destination_workload="{_escaped(workload.name)}"'
        f',destination_workload_namespace="{_escaped(workload.namespace)}"'
        f',destination_version="{_escaped(version or "unknown")}"'
    )


#: Upper edges of Istio's histograms of sizes, in bytes.
SIZE_EDGES: Final = (1, 5, 10, 50, 100, 500, 1000, 5000, 10000, 50000, 100000, 500000, 1000000, 5000000, 10000000)


class _Page:
    """Lines, family by family."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join([*self._lines, ""])

    def _head(self, name: str, kind: str, help_text: str) -> None:
        self._lines.append(f"# HELP {name} {help_text}")
        self._lines.append(f"# TYPE {name} {kind}")

    def family(self, name: str, kind: str, help_text: str, samples: Iterable[tuple[str, int]]) -> None:
        self._head(name, kind, help_text)
        self._lines.extend(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in samples)

    def histogram(self, name: str, help_text: str, tallies: Sequence[tuple[str, Snapshot]], unit: float) -> None:
        """Durations; `unit` is how much of the family's unit a millisecond is."""
        self._head(name, "histogram", help_text)
        edges = [f"{edge * unit:g}" for edge in wire.LATENCY_EDGES_MS]
        for labels, tally in tallies:
            self._buckets(name, labels, edges, tally["latency"], f"{tally['latencyMs'] * unit:.6f}")

    def sizes(self, name: str, help_text: str, histograms: Sequence[tuple[str, Snapshot]]) -> None:
        """Bytes."""
        self._head(name, "histogram", help_text)
        edges = [str(edge) for edge in SIZE_EDGES]
        for labels, histogram in histograms:
            self._buckets(name, labels, edges, histogram["counts"], str(histogram["sum"]))

    def _buckets(self, name: str, labels: str, edges: Sequence[str], counts: Sequence[int], total: str) -> None:
        seen = 0
        for edge, count in zip([*edges, "+Inf"], counts, strict=True):
            seen += count
            self._lines.append(f'{name}_bucket{{{labels},le="{edge}"}} {seen}')
        self._lines.append(f"{name}_sum{{{labels}}} {total}")
        self._lines.append(f"{name}_count{{{labels}}} {seen}")


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
