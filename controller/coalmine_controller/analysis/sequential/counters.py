"""What an arm has counted, and what happened between two looks.

Rules:
- Counters only ever grow. One that falls was restarted: its group begins anew, and this look tells nothing of it.
- Where an arm of a group is missing, the group begins anew too. Otherwise one arm's requests of several looks would
  stand against one look of the other's, and whatever changed in between would look like a difference.
- A group in which only one arm had requests tells nothing.

A group holds requests that are comparable with each other. One group is the plain case; a group for each node keeps a
slow node from being taken for a slow version.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from coalmine.model.wire import LATENCY_EDGES_MS

EDGES: Final = len(LATENCY_EDGES_MS)
#: Groups whose last counters are kept: with six the state stays below 4 KiB. Where there are more, they are one
#: group, which begins anew whenever they are not the same ones; a slow node is then at most a seventh of the canary.
MAX_GROUPS: Final = 6
#: Characters of a name in the state. Names of nodes have up to 253: six of those alone would be 1.5 KiB.
_LONGEST_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class Counters:
    """One arm of one group since some start: requests, errors among them, answers in each latency bucket.

    `latency` has one more bucket than `LATENCY_EDGES_MS` has edges, or is empty where it is not known.
    Raises ValueError where the numbers cannot be counters.
    """

    requests: int
    errors: int
    latency: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if min(self.requests, self.errors, *self.latency) < 0:
            raise ValueError("counters are 0 or more")
        if self.errors > self.requests:
            raise ValueError(f"errors ({self.errors}) are more than requests ({self.requests})")
        if len(self.latency) not in (0, EDGES + 1):
            raise ValueError(f"latency has {len(self.latency)} buckets: write {EDGES + 1}, or none")

    def plus(self, other: Counters) -> Counters:
        """Both together; of two that do not both know latency it is not known."""
        known = self.latency and other.latency
        latency = tuple(a + b for a, b in zip(self.latency, other.latency, strict=True)) if known else ()
        return Counters(self.requests + other.requests, self.errors + other.errors, latency)

    def since(self, last: Counters) -> Counters | None:
        """What was counted since `last`; None when a counter fell, or they are not of one kind."""
        if len(self.latency) != len(last.latency):
            return None
        requests, errors = self.requests - last.requests, self.errors - last.errors
        latency = tuple(a - b for a, b in zip(self.latency, last.latency, strict=True))
        if errors > requests or min(requests, errors, *latency) < 0:
            return None
        return Counters(requests, errors, latency)

    def slower(self) -> tuple[int, ...]:
        """Answers above each edge; empty where latency is not known."""
        found, above = [], 0
        for count in self.latency[:0:-1]:
            above += count
            found.append(above)
        return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Arms:
    """Both arms of one group; None for one that is not there."""

    canary: Counters | None
    control: Counters | None


@dataclass(frozen=True, slots=True)
class Observation:
    """All counters at one time.

    `at` is in seconds, of any clock. `generation` names the set of canary pods: when it changes, a warm-up begins.
    Raises ValueError where `at` is no time.
    """

    at: float
    groups: Mapping[str, Arms]
    generation: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.at):
            raise ValueError(f"at is {self.at}: write seconds")


@dataclass(frozen=True, slots=True)
class Pair:
    """Both arms of one group between two looks."""

    canary: Counters
    control: Counters


@dataclass(frozen=True, slots=True)
class Tick:
    """What two looks can compare: the groups where both arms had requests, and the seconds between the looks."""

    seconds: float
    pairs: tuple[Pair, ...] = field(default=())


Last = Mapping[str, tuple[Counters, Counters]]


def pooled(groups: Mapping[str, Arms]) -> Mapping[str, Arms]:
    """The groups, or all as one where there are more than `MAX_GROUPS`."""
    if len(groups) <= MAX_GROUPS:
        return groups
    canary = control = None
    there = hashlib.sha256()
    for name, arms in sorted(groups.items()):
        canary, control = _sum(canary, arms.canary), _sum(control, arms.control)
        there.update(f"{name}\0{arms.canary is not None:d}{arms.control is not None:d}\0".encode())
    # one that comes brings all that it ever counted into the sum: another set is another group
    return {f"all-{there.hexdigest()[:12]}": Arms(canary, control)}


def short(name: str) -> str:
    """A name as it is remembered: of a long one the beginning, and what tells it from others."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}-{digest}"


def compared(last: Last, groups: Mapping[str, Arms]) -> tuple[Last, tuple[Pair, ...]]:
    """The counters to compare the next look with, and what was counted since `last`."""
    kept: dict[str, tuple[Counters, Counters]] = {}
    pairs = []
    for name, arms in sorted(
        ((short(name), arms) for name, arms in pooled(groups).items()), key=lambda named: named[0]
    ):
        if arms.canary is None or arms.control is None:
            continue
        kept[name] = (arms.canary, arms.control)
        if name not in last:
            continue
        canary, control = arms.canary.since(last[name][0]), arms.control.since(last[name][1])
        if canary is not None and control is not None and canary.requests and control.requests:
            pairs.append(Pair(canary, control))
    return kept, tuple(pairs)


def _sum(one: Counters | None, other: Counters | None) -> Counters | None:
    if one is None or other is None:
        return one or other
    return one.plus(other)
