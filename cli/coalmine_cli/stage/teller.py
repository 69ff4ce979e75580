"""Turns what the story tells into entries of the page, and knows which act is on.

Pure: times are passed in. Both forms of the stage use it, so that they tell the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coalmine.model.weights import Weight
from coalmine_cli.stage.narrate import release_of, said
from coalmine_cli.stage.page import BLANK, Entry, Excerpt, Paragraph, minutes
from coalmine_cli.stage.tally import Tally
from coalmine_cli.terminal import Span
from coalmine_sandbox.story.tale import ACTS, Promise, Scene

if TYPE_CHECKING:
    from coalmine.model.rollout import Status
    from coalmine_sandbox.story.ledger import Step


@dataclass(frozen=True, slots=True)
class Act:
    """An act of the story: done, broken (a promise was), on, or still to come."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """What just happened and why; at rest, a tree belongs to it."""

    entry: Entry
    text: str
    rest: bool


class Teller:
    """`began` is when the story began, on the clock of the times that are passed in."""

    def __init__(self, tally: Tally, began: float) -> None:
        self._tally = tally
        self._began = began
        self._keys: set[tuple[object, ...]] = set()
        self._act = 0
        self._broken: set[int] = set()
        self._here: tuple[str, Weight] | None = None

    def opening(self, sentence: str, now: float) -> list[Entry]:
        """What happens before the first act."""
        return [self._timed(now, sentence)]

    def tell(self, what: Scene | Step | Promise, now: float) -> list[Entry]:
        """Entries for something that was told."""
        if isinstance(what, Scene):
            self._act += 1
            title = Paragraph(Span(f"{self._act} ", "title"), what.title, "title")
            return [*self._leave(now), BLANK, title, self._timed(now, what.sentence)]
        if isinstance(what, Promise):
            if not what.kept:
                self._broken.add(self._act)
            lead = Span("  ✔ ", "good") if what.kept else Span("  ✖ ", "bad")
            return [Paragraph(lead, what.sentence, "" if what.kept else "bad")]
        return []  # the promise about a step says all of it

    def watch(self, status: Status, now: float) -> tuple[list[Entry], Sentence | None]:
        """What has ended with this status (the answers at a weight), and what it means."""
        ended = self._count(status, now)
        sentence = said(status)
        if sentence is None or sentence.key in self._keys:
            return ended, None
        self._keys.add(sentence.key)
        return ended, Sentence(self._timed(now, sentence.text), sentence.text, sentence.rest)

    def acts(self, *, over: bool = False) -> tuple[Act, ...]:
        """All acts; `over` when the last one has ended too."""

        def state(number: int) -> str:
            if number in self._broken:
                return "broken"
            if number > self._act:
                return "coming"
            return "on" if number == self._act and not over else "done"

        return tuple(Act(name, state(number)) for number, name in enumerate(ACTS, 1))

    def elapsed(self, now: float) -> float:
        """Seconds since the story began."""
        return now - self._began

    def _timed(self, now: float, text: str) -> Entry:
        return Paragraph(Span(f"  {minutes(self.elapsed(now)):>5}  ", "idle"), text)

    def _count(self, status: Status, now: float) -> list[Entry]:
        """Count answers by the weight that all sidecars have acknowledged."""
        steady = status.canary is not None and status.weight == status.actual_weight
        if not steady or (status.weight == Weight.ZERO and status.aborted_at is None):
            return self._leave(now)
        here = (release_of(status.canary), status.weight)
        ended = [] if here == self._here else self._leave(now)
        if status.weight > Weight.ZERO or (status.attempt, *here) not in self._keys:
            self._keys.add((status.attempt, *here))  # the 0 % of an abort is told once: it lasts into the next act
            self._here = here
            self._tally.stay(*here, now)
        return ended

    def _leave(self, now: float) -> list[Entry]:
        self._here = None
        stay = self._tally.leave(now)
        return [Excerpt(stay)] if stay is not None and Excerpt(stay).worth_showing else []
