"""The stage in a terminal: the page in the scrollback, and below it the picture of the moment.

Rules: whatever ends the story, the cursor comes back and the last tree stays on the page. The picture is
drawn on the same event loop as the application's user asks from: a drawing takes a millisecond or two, and
there are at most `_DRAWINGS` a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.rollout import Status
from coalmine_cli.prune import pruned
from coalmine_cli.render import tree
from coalmine_cli.stage.frame import Scenery, frame, height
from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.page import BLANK, Block, Entry
from coalmine_cli.stage.paint import Painter
from coalmine_cli.stage.summary import summary
from coalmine_cli.stage.tally import Tally
from coalmine_cli.stage.teller import Teller
from coalmine_cli.terminal import Line
from coalmine_sandbox.story.application import RATE
from coalmine_sandbox.story.tale import Scene

if TYPE_CHECKING:
    from coalmine.model.view import View
    from coalmine_cli.picture import Picture
    from coalmine_sandbox.lab import Lab
    from coalmine_sandbox.story.ledger import Step
    from coalmine_sandbox.story.tale import Promise, Report, Tale
    from coalmine_sandbox.story.traffic import Sample

_DRAWINGS: Final = 8
#: Lines of the tree that stays on the page.
_LAST_TREE: Final = 16
#: Answers a second that the eye can follow.
_VISIBLE: Final = 24


def shown_of(rate: float) -> int:
    """Of how many answers one is shown. Odd, so that it has no factor in common with the number of the
    application's users: each of them is seen."""
    return int(rate / _VISIBLE) | 1


class Live:
    """`clock` is the one that the answers' times are on; `wall` gives Unix times, for ages."""

    def __init__(
        self,
        out: TextIO,
        ink: Ink,
        size: Callable[[], os.terminal_size],
        clock: Callable[[], float],
        wall: Callable[[], float],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._painter = Painter(out, ink, size)
        self._ink = ink
        self._clock = clock
        self._wall = wall
        self._pause = pause
        self._tally = Tally(shown_of(RATE))
        self._teller = Teller(self._tally, clock())
        self._samples: Sequence[Sample] = ()
        self._taken = 0
        self._entries: list[Entry] = []
        self._current: Entry | None = None  # the sentence in the picture; it goes to the page with the next one
        self._sentence = ""
        self._status = Status()
        self._known = asyncio.Event()
        #: Where the tree comes from; None while it is not known.
        self.look: Callable[[], View | None] = lambda: None
        self._view: View | None = None

    def opening(self, sentence: str) -> None:
        """Say at once what takes a few seconds, before there is anything to draw."""
        self._painter.add(self._teller.opening(sentence, self._clock()))

    def tell(self, what: Scene | Step | Promise) -> None:
        """Put it on the page, at the next drawing."""
        self._settle()
        if isinstance(what, Scene):
            self._sentence = what.sentence
        self._entries += self._teller.tell(what, self._clock())

    def watch(self, status: Status) -> None:
        """The Rollout changed."""
        self._take()  # what was answered before this status must be counted before it
        self._status = status
        self._known.set()
        ended, sentence = self._teller.watch(status, self._clock())
        if ended:
            self._settle()
        self._entries += ended
        if sentence is not None:
            self._settle()
            self._current, self._sentence = sentence.entry, sentence.text

    async def attend(self, lab: Lab, tale: Tale, namespace: str, name: str) -> None:
        """Draw until cancelled."""
        from coalmine_cli.cluster import Cluster
        from coalmine_cli.picture import Picture

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(Picture(Cluster(lab.client, namespace), name, self._pause)))
                while True:
                    self.draw(tale.samples)
                    await self._pause(1 / _DRAWINGS)
        finally:
            self.close()

    async def _follow(self, picture: Picture) -> None:
        await self._known.wait()
        await picture.read(whole=True)
        async with picture.followed():
            self.look = lambda: picture.view() if picture.rollout is not None else None
            await asyncio.Event().wait()

    def draw(self, samples: Sequence[Sample]) -> None:
        """Draw what is known now."""
        self._samples = samples
        self._take()
        with contextlib.suppress(SpecError, RemoteError):  # the Deployment is not there: the last picture stands
            self._view = self.look() or self._view
        entries, self._entries = self._entries, []
        self._painter.paint(entries, self._lines)

    def _lines(self, width: int, rows: int) -> list[Line]:
        scenery = Scenery(
            acts=self._teller.acts(),
            sentence=self._sentence,
            elapsed=self._teller.elapsed(self._clock()),
            status=self._status,
            view=self._view,
            now=self._wall(),
            answers=self._tally.answers(),
        )
        return frame(scenery, width, height(rows), self._ink)

    def close(self) -> None:
        """Leave the page, and the last tree on it. May be called twice."""
        self._settle()
        entries, self._entries = self._entries, []
        if self._view is not None:
            lines = tree(pruned(self._view.tree, _LAST_TREE), self._wall(), self._painter.width - 2)
            entries += [BLANK, Block(tuple(lines)).indented(2)]
            self._view = None
            self.look = lambda: None
        self._painter.close(entries)

    def end(self, report: Report, memory: dict[str, int]) -> None:
        """The summary."""
        self._painter.add([*self._entries, *summary(report, memory, self._painter.width)])
        self._entries = []

    def _take(self) -> None:
        self._tally.take(self._samples[self._taken :])
        self._taken = len(self._samples)

    def _settle(self) -> None:
        """Move the sentence of the picture to the page."""
        if self._current is not None:
            self._entries.append(self._current)
            self._current = None
