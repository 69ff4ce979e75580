"""Evidence by betting: money put on "the canary has more than its share", which nobody multiplies while it has not.

Between two looks both arms together had X failed (or slow) requests. Were the canary as good as control, each of them
would have been its own with probability w, its share of the requests: it expects wX. A bet on the ratio r turns 1 into

    f = (1 + (r - 1) x1) / (1 + (r - 1) wX)        x1: those that were the canary's

whose mean is 1 for every X, because f is linear in x1. So the product over all looks is a martingale that starts at
1, and reaches 1/alpha with probability alpha at most, however often one looks (Ville 1939; betting: Waudby-Smith and
Ramdas, JRSS B 2024, arXiv 2010.09686).

- **Clusters.** Linear means that only the mean counts: the requests of one look, as one bet, may fail together in any
  way (one client, one pod, five at once), and pods and arms may have unequal shares. For X = 1 the bet is the ratio
  test's own, (theta/w)^x1 ((1-theta)/(1-w))^x0 with theta = wr/(wr+1-w), which assumes that requests fail
  independently; for larger X it wins less.
- **Blocks.** A cluster that falls into two looks would be two that agree. So looks with errors in them, one after the
  other, are one bet, of at most `block` looks; one without ends it, and so do `enough` errors, or a canary that fails
  all the time would be found in twice the time. That depends on X alone, so bets stay fair. Blocks lessen what a
  burst across looks does, they do not undo it: one of four errors and more ends its block in its own middle. What is
  sure is a burst within one look, so looks should be ten times as far apart as bursts last.
- **Weights and rates** may be different at every look; with several groups wX is the sum over them.
- **Late onset.** A part of the money waits, and goes in bit by bit: M <- f (M + d), the recursion of Shiryaev and
  Roberts, with money d that was there from the beginning in place of their 1. So it bounds the chance of a
  false alarm for ever, where theirs bounds the mean time between two.
- **Many bets.** The money is shared out over edges and ratios; what all of it has become is the evidence. An edge
  gets its share when, for the first time, some of both arms' requests are slower than it and some are not. Which edges
  those are depends on both arms together and not on whose requests they were, so it is settled before the bet.

Everything is kept in logarithms, rounded down to a millionth, so that the state stays small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

#: Of logarithms in the state; at 10,000 looks less than a hundredth is lost, never won.
_STEP: Final = 1e6


@dataclass(frozen=True, slots=True)
class Plan:
    """How money is laid out: `ratios` with their shares; parts at the beginning, kept for new edges, and late.

    The three parts add up to 1. `onset` is the mean time, in seconds, at which late money goes in. `block` is the
    largest number of looks that are one bet, `enough` what ends one sooner.
    """

    ratios: tuple[float, ...]
    shares: tuple[float, ...]
    start: float
    reserve: float
    late: float
    block: int
    enough: int = 4
    onset: float = 600.0


@dataclass(frozen=True, slots=True)
class Count:
    """Of one edge, in so many looks: the canary's, what it would have if it were as good, both arms' together."""

    canary: float
    expected: float
    together: int = 0
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Pot:
    """The money: what is kept, what goes in late, the logarithms of what is laid out by edge and ratio.

    `open` are the blocks that have not ended, by edge.
    """

    reserve: float
    late: float
    laid: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    open: Mapping[int, Count] = field(default_factory=dict)


_NONE: Final = Count(0, 0.0, 0, 0)


def opened(plan: Plan) -> Pot:
    """The pot before the first bet."""
    return Pot(plan.reserve, plan.late)


def bet(plan: Plan, pot: Pot, counts: Mapping[int, Count], seconds: float) -> Pot:
    """The pot after one look. `counts` has the edges that can tell something, `seconds` is the time since the last."""
    ended, still = _blocks(plan, pot, counts)
    pot = replace(pot, open=still)
    new = [edge for edge in ended if edge not in pot.laid]
    if not new and not pot.laid:
        return pot
    reserve, added = _laid_out(plan, pot, new)
    moved = pot.late * -math.expm1(-seconds / plan.onset)
    for edge in added:
        added[edge] += moved / len(added)
    shares = [math.log(share) for share in plan.shares]
    laid = {}
    for edge, money in added.items():
        held = pot.laid.get(edge, ())
        logs = _with(held, money, shares)
        laid[edge] = tuple(_down(log + win) for log, win in zip(logs, _wins(plan, ended.get(edge)), strict=True))
    return replace(pot, reserve=reserve, late=pot.late - moved, laid=laid)


def log_evidence(plan: Plan, pot: Pot) -> float:
    """The logarithm of what the pot, 1 at the beginning, is now."""
    kept = pot.reserve + pot.late + (0.0 if pot.laid else plan.start)
    return log_sum([*(log for logs in pot.laid.values() for log in logs), *([math.log(kept)] if kept > 0 else [])])


def loudest(pot: Pot) -> int | None:
    """The edge with the most money on it; None before the first bet."""
    return max(pot.laid, key=lambda edge: log_sum(pot.laid[edge]), default=None)


def log_sum(logs: Iterable[float]) -> float:
    """The logarithm of a sum, of its terms' logarithms."""
    terms = tuple(logs)
    most = max(terms)
    return most + math.log(math.fsum(math.exp(log - most) for log in terms))


def _blocks(plan: Plan, pot: Pot, counts: Mapping[int, Count]) -> tuple[dict[int, Count], dict[int, Count]]:
    """The blocks that end with this look, and those that go on."""
    ended: dict[int, Count] = {}
    still: dict[int, Count] = {}
    for edge in sorted({*pot.open, *counts}):
        whole = _sum(pot.open.get(edge), counts.get(edge))
        end = edge not in counts or whole.looks >= plan.block or whole.together >= plan.enough
        (ended if end else still)[edge] = whole
    return ended, still


def _sum(one: Count | None, other: Count | None) -> Count:
    first, second = one or _NONE, other or _NONE
    return Count(
        first.canary + second.canary,
        first.expected + second.expected,
        first.together + second.together,
        first.looks + second.looks,
    )


def _laid_out(plan: Plan, pot: Pot, new: list[int]) -> tuple[float, dict[int, float]]:
    """What stays in reserve, and the money for each edge: new ones share the start's, or half of the reserve."""
    money = plan.start if not pot.laid else pot.reserve / 2 if new else 0.0
    reserve = pot.reserve - (money if pot.laid else 0.0)
    return reserve, {edge: money / len(new) if edge in new else 0.0 for edge in sorted({*pot.laid, *new})}


def _with(held: tuple[float, ...], money: float, shares: list[float]) -> list[float]:
    if money <= 0:
        return list(held)
    log = math.log(money)
    if not held:
        return [log + share for share in shares]
    return [log_sum((old, log + share)) for old, share in zip(held, shares, strict=True)]


def _wins(plan: Plan, count: Count | None) -> list[float]:
    if count is None:
        return [0.0] * len(plan.ratios)
    return [math.log1p((r - 1) * count.canary) - math.log1p((r - 1) * count.expected) for r in plan.ratios]


def _down(log: float) -> float:
    return math.floor(log * _STEP) / _STEP
