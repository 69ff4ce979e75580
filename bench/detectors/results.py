"""What the detectors did, as figures with their intervals, and their form in ``detectors.json``. No numpy here."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent.parent / "detectors.json"
#: Two-sided, 95 %.
_Z: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Found:
    """One detector in one scene. Seconds and requests are medians; None where half of the runs had no alarm.

    `early` counts alarms before a late onset. `bad` are the bad requests of the canary that were served until
    the alarm, or the end; `requests` all of its requests until then. `seconds_low` and `seconds_high` are the 95 %
    interval of the median, None where it is open.
    """

    runs: int
    alarms: int
    early: int
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    bad: float
    requests: float

    @classmethod
    def of(cls, seconds: Sequence[float], bad: Sequence[float], requests: Sequence[float]) -> Found:
        """Of the runs' times (infinite for no alarm, negative before the onset) and counts."""
        ordered, number = sorted(t for t in seconds if t > 0), len(seconds)
        early = number - len(ordered)
        later = [i for i, t in enumerate(seconds) if t > 0]
        reach = _Z * math.sqrt(len(ordered)) / 2
        places = [len(ordered) / 2 + shift for shift in (0.0, -reach, reach)]
        middle = [_finite(ordered[min(len(ordered) - 1, max(0, int(p)))]) if ordered else None for p in places]
        return cls(
            runs=number,
            alarms=sum(1 for t in ordered if math.isfinite(t)),
            early=early,
            seconds=middle[0],
            seconds_low=middle[1],
            seconds_high=middle[2],
            bad=_median([bad[i] for i in later]),
            requests=_median([requests[i] for i in later]),
        )

    @property
    def rate(self) -> float:
        """The part of the runs with an alarm."""
        return (self.alarms + self.early) / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """Of `rate`: Wilson's, 95 %."""
        n, p = self.runs, self.rate
        middle = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
        reach = _Z / (1 + _Z * _Z / n) * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True, slots=True)
class Results:
    """By scene, then detector. `kinds` names each scene's kind; `proofs` are in a table of their own."""

    seed: int
    kinds: dict[str, str]
    scenes: dict[str, dict[str, Found]]
    proofs: dict[str, dict[str, Found]]


def merged(old: Results, new: Results, order: Sequence[str]) -> Results:
    """`old` with what `new` has measured again; of scenes those in `order`. Raises ValueError unless of one seed."""
    if old.seed != new.seed:
        raise ValueError(f"the results that stand are of seed {old.seed}: use it, or measure everything anew")
    kinds, scenes = old.kinds | new.kinds, old.scenes | new.scenes
    names = [name for name in order if name in scenes]
    proofs = old.proofs | new.proofs
    return Results(old.seed, {n: kinds[n] for n in names}, {n: scenes[n] for n in names}, proofs)


def encode(results: Results) -> str:
    """JSON."""

    def plain(found: dict[str, dict[str, Found]]) -> dict[str, Any]:
        return {scene: {name: asdict(one) for name, one in by.items()} for scene, by in found.items()}

    written = {
        "seed": results.seed,
        "kinds": results.kinds,
        "scenes": plain(results.scenes),
        "proofs": plain(results.proofs),
    }
    return json.dumps(written, indent=1) + "\n"


def decode(text: str) -> Results:
    """What `encode` wrote. Raises ValueError, KeyError or TypeError on anything else."""
    raw = json.loads(text)

    def read(part: dict[str, Any]) -> dict[str, dict[str, Found]]:
        return {scene: {name: Found(**one) for name, one in by.items()} for scene, by in part.items()}

    return Results(raw["seed"], raw["kinds"], read(raw["scenes"]), read(raw["proofs"]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return round(ordered[len(ordered) // 2], 1) if ordered else 0.0
