"""What a comparison remembers between two looks, as JSON in the status of its run: below 4 KiB.

`State()` is the one before the first look. One that is written and read back is the same, and goes on the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coalmine_controller.analysis.sequential import difference, plans
from coalmine_controller.analysis.sequential.bets import Count, Plan, Pot, opened
from coalmine_controller.analysis.sequential.counters import EDGES, MAX_GROUPS, Counters, Last

_NOTHING = Counters(0, 0, (0,) * (EDGES + 1))


@dataclass(frozen=True, slots=True)
class State:
    """`warm` is the seconds of warm-up that are left, None before a first request.

    `canary` and `control` are sums of what was compared, for people. `worse` and `proof`, once set, stay.
    """

    at: float | None = None
    generation: str = ""
    warm: float | None = None
    last: Last = field(default_factory=dict)
    canary: Counters = _NOTHING
    control: Counters = _NOTHING
    errors: Pot = field(default_factory=lambda: opened(plans.ERRORS))
    latency: Pot = field(default_factory=lambda: opened(plans.LATENCY))
    ratio: Pot = field(default_factory=lambda: opened(plans.RATIO))
    difference: tuple[float, ...] = field(default_factory=difference.opened)
    worse: str = ""
    proof: str = ""


def renewed(state: State) -> State:
    """For the next step of a rollout: it needs proofs of its own; evidence that the canary is worse stands."""
    return replace(state, ratio=opened(plans.RATIO), difference=difference.opened(), proof="")


def to_json(state: State) -> dict[str, Any]:
    """The state as JSON values."""
    return {
        "at": state.at,
        "generation": state.generation,
        "warm": state.warm,
        "last": {name: [_counts(canary), _counts(control)] for name, (canary, control) in state.last.items()},
        "canary": _counts(state.canary),
        "control": _counts(state.control),
        "errors": _pot(state.errors),
        "latency": _pot(state.latency),
        "ratio": _pot(state.ratio),
        "difference": list(state.difference),
        "worse": state.worse,
        "proof": state.proof,
    }


def from_json(raw: Mapping[str, Any]) -> State:
    """The state that `to_json` wrote. Raises ValueError naming what is malformed."""
    try:
        last = {str(name): (_counters(arms[0]), _counters(arms[1])) for name, arms in raw["last"].items()}
        if len(last) > MAX_GROUPS:
            raise ValueError(f"last has more than {MAX_GROUPS} groups")
        logs = tuple(_number(log) for log in raw["difference"])
        if len(logs) != len(difference.STEPS):
            raise ValueError(f"difference has {len(logs)} numbers, not {len(difference.STEPS)}")
        return State(
            at=None if raw["at"] is None else _number(raw["at"]),
            generation=str(raw["generation"]),
            warm=None if raw["warm"] is None else _number(raw["warm"]),
            last=last,
            canary=_counters(raw["canary"]),
            control=_counters(raw["control"]),
            errors=_read_pot(raw["errors"], plans.ERRORS),
            latency=_read_pot(raw["latency"], plans.LATENCY),
            ratio=_read_pot(raw["ratio"], plans.RATIO),
            difference=logs,
            worse=str(raw["worse"]),
            proof=str(raw["proof"]),
        )
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"the state of the comparison is malformed: {error!r}") from error


def _counts(counters: Counters) -> list[int]:
    return [counters.requests, counters.errors, *counters.latency]


def _counters(raw: Sequence[Any]) -> Counters:
    if not all(isinstance(count, int) for count in raw):
        raise TypeError("counters are whole numbers")
    return Counters(raw[0], raw[1], tuple(raw[2:]))


def _pot(pot: Pot) -> dict[str, Any]:
    laid = {str(edge): list(logs) for edge, logs in pot.laid.items()}
    still = {str(edge): [count.canary, count.expected, count.together, count.looks] for edge, count in pot.open.items()}
    return {"reserve": pot.reserve, "late": pot.late, "laid": laid, "open": still}


def _read_pot(raw: Mapping[str, Any], plan: Plan) -> Pot:
    laid = {int(edge): tuple(_number(log) for log in logs) for edge, logs in raw["laid"].items()}
    if any(not 0 <= edge < EDGES or len(logs) != len(plan.ratios) for edge, logs in laid.items()):
        raise ValueError("laid has an edge or a ratio that is not known")
    still = {int(edge): Count(_number(c[0]), _number(c[1]), int(c[2]), int(c[3])) for edge, c in raw["open"].items()}
    return Pot(_number(raw["reserve"]), _number(raw["late"]), laid, still)


def _number(raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise TypeError(f"{raw!r} is not a number")
    return float(raw)
