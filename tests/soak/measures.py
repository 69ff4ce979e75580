"""What the sidecars hold: memory, descriptors, and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.soak.controller import ask
from tests.soak.pods import Pod

_SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """Of one sidecar at one moment; memory in bytes."""

    memory: int
    descriptors: int


def held(pod: Pod) -> Held | None:
    """None while its sidecar is not running."""
    if pod.sidecar is None or pod.sidecar.returncode is not None:
        return None
    process = Path(f"/proc/{pod.sidecar.pid}")
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
        return Held(int(found[1]) * 1024 if found else 0, len(list((process / "fd").iterdir())))
    except OSError:
        return None


async def gauges(pod: Pod) -> dict[str, int]:
    """The sums of all families of its metrics, by name."""
    page = (await ask(pod, "GET", "/metrics")).body.decode()
    sums: dict[str, int] = {}
    for name, value in _SAMPLE.findall(page):
        sums[name] = sums.get(name, 0) + int(value)
    return sums


def bugs(folder: Path) -> list[str]:
    """What sidecars and applications logged that they never should."""
    found = []
    for log in sorted(folder.glob("*/*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if "bug in a callback" in line or "Traceback" in line or '"level": "error"' in line:
                found.append(f"{log.parent.name}/{log.name}: {line[:2000]}")
    return found


def growth(series: Sequence[tuple[float, Mapping[str, Held]]], uid: str) -> int:
    """By how many bytes a sidecar's memory has grown: the median of the last third of a series over that of the second.

    The first third is not looked at: caches and the allocator's arenas fill. 0 when it was not there throughout.
    """
    memory = [found[uid].memory for _, found in series if uid in found]
    third = len(series) // 3
    if not third or len(memory) < len(series):
        return 0
    return int(median(memory[2 * third :]) - median(memory[third : 2 * third]))
