"""Figures of the controller's process: from /proc and from its own metrics."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CALLS: Final = "controller_clientset_k8s_request_total"
_LOOKS: Final = "rollout_reconcile_count"
_WAITED: Final = "workqueue_queue_duration_seconds"


@dataclass(frozen=True, slots=True)
class Figures:
    """At one moment: CPU seconds and resident MB of the process, its calls by verb and resource, its looks, and
    the seconds that objects have waited in its queue."""

    cpu: float
    resident: float
    calls: dict[str, float]
    looks: float
    waited: float


async def figures(pid: int, metrics: str) -> Figures:
    """Read them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    async with aiohttp.ClientSession() as session, session.get(metrics) as response:
        text = await response.text()
    calls: dict[str, float] = {}
    looks = waited = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _CALLS:
                key = f"{sample.labels.get('verb', '')} {sample.labels.get('kind', sample.labels.get('resource', ''))}"
                calls[key] = calls.get(key, 0.0) + sample.value
            elif sample.name == _LOOKS:
                looks += sample.value
            elif sample.name == f"{_WAITED}_sum":
                waited += sample.value
    return Figures(cpu, resident(pid), calls, looks, waited)


def resident(pid: int) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def quantile(values: list[float], q: float) -> float:
    """The value below which a part `q` lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0
