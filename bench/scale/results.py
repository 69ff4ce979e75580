"""The results as a file, and the table in docs/scale.md that is made of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).with_name("results.json")
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "scale.md"
_BEGIN, _END = "<!-- table: made by `make bench-scale` -->", "<!-- end of the table -->"


@dataclass(slots=True)
class Result:
    """One size. Times in seconds, memory in MB, CPU in cores."""

    deployments: int
    pods: int
    rollouts: int
    start_seconds: float
    idle_cpu: float
    idle_memory: float
    idle_calls_per_minute: float
    busy_cpu: float
    busy_memory: float
    weights_per_second: float
    pushes_per_second: float
    looks_per_weight: float
    calls_per_weight: float
    calls: dict[str, float] = field(default_factory=dict)
    decision_median: float = 0.0
    decision_worst: float = 0.0
    acknowledged_median: float = 0.0
    acknowledged_worst: float = 0.0
    acknowledged_count: int = 0


def load(file: Path = RESULTS) -> list[Result]:
    """What was measured, the smallest first; nothing when there is no file."""
    if not file.exists():
        return []
    return sorted((Result(**r) for r in json.loads(file.read_text())["sizes"]), key=lambda r: r.deployments)


def store(results: list[Result], machine: str, file: Path = RESULTS) -> None:
    """Write the file; of sizes that were not measured this time what stands stays."""
    kept = {r.deployments: r for r in load(file)} | {r.deployments: r for r in results}
    sizes = [asdict(kept[n]) for n in sorted(kept)]
    file.write_text(json.dumps({"machine": machine, "sizes": sizes}, indent=1) + "\n")


_ROWS: Final = (
    ("annotated Deployments", lambda r: f"{r.deployments:,}"),
    ("pods", lambda r: f"{r.pods:,}"),
    ("rollouts at once", lambda r: f"{r.rollouts:,}"),
    ("from its start until all have been looked at", lambda r: f"{r.start_seconds:.1f} s"),
    ("**idle:** CPU", lambda r: f"{100 * r.idle_cpu:.1f} % of a core"),
    ("idle: memory", lambda r: f"{r.idle_memory:.0f} MB"),
    ("idle: API calls a minute, watches and Lease aside", lambda r: f"{r.idle_calls_per_minute:.0f}"),
    ("**rolling:** CPU", lambda r: f"{100 * r.busy_cpu:.0f} % of a core"),
    ("rolling: memory", lambda r: f"{r.busy_memory:.0f} MB"),
    ("weights set", lambda r: f"{r.weights_per_second:.1f}/s"),
    ("pushes to sidecars", lambda r: f"{r.pushes_per_second:.0f}/s"),
    ("looks for one weight", lambda r: f"{r.looks_per_weight:.1f}"),
    ("API calls for one weight", lambda r: f"{r.calls_per_weight:.1f}"),
    ("from an abort asked for to the first sidecar told, median", lambda r: f"{1000 * r.decision_median:.0f} ms"),
    ("the same, worst", lambda r: f"{1000 * r.decision_worst:.0f} ms"),
    ("until 100 sidecars have acknowledged a weight, median", lambda r: f"{1000 * r.acknowledged_median:.0f} ms"),
    ("the same, worst", lambda r: f"{1000 * r.acknowledged_worst:.0f} ms"),
)


def table(results: list[Result]) -> str:
    """The table in Markdown."""
    head = "| | " + " | ".join(f"{r.deployments:,}" for r in results) + " |"
    rows = [f"| {name} | " + " | ".join(shown(r) for r in results) + " |" for name, shown in _ROWS[1:]]
    return "\n".join([head, "|---|" + "---|" * len(results), *rows])


def write_table(results: list[Result], document: Path = DOCUMENT) -> None:
    """Put the table where the last one stands."""
    before, _, rest = document.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    document.write_text(f"{before}{_BEGIN}\n{table(results)}\n{_END}{after}")
