"""All figures of one run, and their form in ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bench.accounting import Memory
from bench.figures import Round, median
from bench.memory import Held
from bench.prober import Probed

#: What must be the same for figures to stand side by side.
_SAME: Final = ("cores", "processor", "kernel", "python", "uvloop", "nginx", "haproxy", "wrk")


@dataclass(slots=True)
class Results:
    """By workload or disturbance, then by peer or kind of window. `machine` is for the reader."""

    machine: dict[str, str] = field(default_factory=dict)
    workloads: dict[str, dict[str, list[Round]]] = field(default_factory=dict)
    memory: dict[str, Held] = field(default_factory=dict)
    disturbances: dict[str, dict[str, list[Probed]]] = field(default_factory=dict)

    def rounds(self, workload: str, peer: str) -> list[Round]:
        """The rounds of a peer under a workload; empty when it was not measured."""
        return self.workloads.get(workload, {}).get(peer, [])


def merged(old: Results, new: Results) -> Results:
    """`old` with what `new` has measured again; the machine is that of `new`, and says how both were run.

    Raises ValueError when they are not of the same machine and programs.
    """
    differ = [k for k in _SAME if old.machine.get(k) != new.machine.get(k)]
    if differ:
        raise ValueError(f"the results that stand are of another {', '.join(differ)}: measure everything anew")
    rounds = {old.machine["rounds"], new.machine["rounds"]}
    return Results(
        machine={**new.machine, "rounds": " and ".join(sorted(rounds))},
        workloads={**old.workloads, **new.workloads},
        memory={**old.memory, **new.memory},
        disturbances={**old.disturbances, **new.disturbances},
    )


def encode(results: Results, verdicts: list[str]) -> str:
    """JSON, with medians beside the rounds that they are of."""
    written = {
        "machine": results.machine,
        "verdicts": verdicts,
        "workloads": {
            name: {
                peer: {"median": medians(rounds), "rounds": [rounded(asdict(r)) for r in rounds]}
                for peer, rounds in found.items()
            }
            for name, found in results.workloads.items()
        },
        "memory": {peer: asdict(held) for peer, held in results.memory.items()},
        "disturbances": {
            name: {kind: [rounded(asdict(w)) for w in windows] for kind, windows in found.items()}
            for name, found in results.disturbances.items()
        },
    }
    return json.dumps(written, indent=1) + "\n"


def decode(text: str) -> Results:
    """Read what `encode` wrote, to draw it again. Raises ValueError, KeyError or TypeError on anything else."""
    raw = json.loads(text)
    return Results(
        machine=raw["machine"],
        workloads={
            name: {peer: [Round(**r) for r in its["rounds"]] for peer, its in found.items()}
            for name, found in raw["workloads"].items()
        },
        memory={peer: Held(Memory(**held["start"]), Memory(**held["idle"])) for peer, held in raw["memory"].items()},
        disturbances={
            name: {kind: [Probed(**w) for w in windows] for kind, windows in found.items()}
            for name, found in raw["disturbances"].items()
        },
    )


def medians(rounds: list[Round]) -> dict[str, float]:
    """The median of every figure."""
    found = {name: median(rounds, lambda r, name=name: getattr(r, name)) for name in asdict(rounds[0])}  # type: ignore[misc]
    found["cpu_us"] = median(rounds, lambda r: r.cpu_us)
    found["per_core"] = median(rounds, lambda r: r.per_core)
    return rounded(found)


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Three decimals: more is noise."""
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
