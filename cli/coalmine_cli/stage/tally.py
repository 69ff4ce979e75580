"""Counts the answers that the user of the application gets, as they come.

Pure. Bounds: of single answers only the newest are kept, and the history is halved in its
resolution when it grows long, so that a story of hours takes no more memory than one of a minute.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coalmine.model.weights import Weight
    from coalmine_sandbox.story.traffic import Sample

#: Shares are told over this many requests: what the story's promise is about.
WINDOW: Final = 1000
#: Cells of the stream that are kept: more than the largest screen shows.
_STREAM: Final = 1200
#: Answers one after the other that are kept of each weight: a line.
EXCERPT: Final = 120
#: Seconds of a bucket of the history, at first; at twice `_BUCKETS` two become one.
_BUCKET_SECONDS: Final = 0.5
_BUCKETS: Final = 1024


@dataclass(frozen=True, slots=True)
class Stay:
    """What was answered at one weight, from its acknowledgement on."""

    release: str
    weight: Weight
    counts: Mapping[str, int]
    first: tuple[str, ...]

    @property
    def requests(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known at one moment. Answers are named by their colour, "" is a failed request."""

    stream: tuple[str, ...] = ()
    #: How many were ever put into the stream, and of how many one is.
    streamed: int = 0
    every: int = 1
    recent: Mapping[str, int] = field(default_factory=dict)
    stay: Stay | None = None
    total: int = 0
    failed: int = 0
    history: tuple[Mapping[str, int], ...] = ()


class Tally:
    """Of every `every` answers one is shown in the stream."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._stream: deque[str] = deque(maxlen=_STREAM)
        self._recent: deque[str] = deque(maxlen=WINDOW)
        self._recent_counts: Counter[str] = Counter()
        self._history: list[Counter[str]] = []
        self._bucket = _BUCKET_SECONDS
        self._began: float | None = None
        self._streamed = 0
        self._total = 0
        self._failed = 0
        self._here: tuple[str, Weight] | None = None
        self._since = 0.0
        self._until = float("inf")
        self._counts: Counter[str] = Counter()
        self._first: list[str] = []

    def take(self, samples: Iterable[Sample]) -> None:
        """Count new samples, in the order in which they were answered."""
        for sample in samples:
            colour = "" if sample.failure else sample.colour
            if self._total % self._every == 0 or sample.failure:
                self._stream.append(colour)
                self._streamed += 1
            self._total += 1
            self._failed += bool(sample.failure)
            if len(self._recent) == WINDOW:
                self._recent_counts[self._recent[0]] -= 1
            self._recent.append(colour)
            self._recent_counts[colour] += 1
            self._remember(sample.ended, colour)
            if self._here is not None and sample.sent >= self._since and sample.ended <= self._until:
                self._counts[colour] += 1
                if len(self._first) < EXCERPT:
                    self._first.append(colour)

    def stay(self, release: str, weight: Weight, since: float) -> None:
        """From `since` on the weight is acknowledged; nothing happens when it was already."""
        if self._here == (release, weight) and self._until == float("inf"):
            return
        self._here = (release, weight)
        self._since, self._until = since, float("inf")
        self._counts.clear()
        self._first.clear()

    def leave(self, until: float) -> Stay | None:
        """From `until` on no weight stands; what was answered at the last one, if that had not been left."""
        if self._here is None or self._until != float("inf"):
            return None
        self._until = until
        return self._stayed()

    def answers(self) -> Answers:
        """What is known now."""
        return Answers(
            stream=tuple(self._stream),
            streamed=self._streamed,
            every=self._every,
            recent=+self._recent_counts,
            stay=self._stayed(),
            total=self._total,
            failed=self._failed,
            history=tuple(self._history),
        )

    def _stayed(self) -> Stay | None:
        if self._here is None:
            return None
        return Stay(*self._here, counts=dict(self._counts), first=tuple(self._first))

    def _remember(self, at: float, colour: str) -> None:
        if self._began is None:
            self._began = at
        number = max(int((at - self._began) / self._bucket), 0)
        while number >= len(self._history):
            self._history.append(Counter())
        self._history[number][colour] += 1
        if len(self._history) >= 2 * _BUCKETS:
            pairs = zip_longest(self._history[::2], self._history[1::2], fillvalue=Counter[str]())
            self._history = [a + b for a, b in pairs]
            self._bucket *= 2
