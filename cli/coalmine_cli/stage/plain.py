"""The stage anywhere else: a file, a pipe, a terminal that cannot be redrawn.

Rules: lines only, no control codes, written when something happened and at once, as somebody may be reading
along. A tree where the rollout came to rest, read then, so that it is not older than the sentence above
it, and with the phase that the sentence is about: the Deployment may have been written since. What is told
meanwhile waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TextIO

from coalmine.model.errors import RemoteError, SpecError
from coalmine.model.rollout import Phase
from coalmine.model.view import PHASE_MARKS
from coalmine_cli.prune import pruned
from coalmine_cli.render import tree
from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.page import BLANK, Block, Entry
from coalmine_cli.stage.summary import summary
from coalmine_cli.stage.tally import Tally
from coalmine_cli.stage.teller import Teller

if TYPE_CHECKING:
    from coalmine.model.rollout import Status
    from coalmine.model.view import View
    from coalmine_sandbox.lab import Lab
    from coalmine_sandbox.story.ledger import Step
    from coalmine_sandbox.story.tale import Promise, Report, Scene, Tale
    from coalmine_sandbox.story.traffic import Sample

#: What is printed must fit a page of paper and a review comment.
WIDTH: Final = 96
_INDENT: Final = 9
#: Lines of a tree: old revisions are left out before the present ones.
_TREE: Final = 16
_TAKE_SECONDS: Final = 0.25


class Plain:
    """`clock` is the one that the answers' times are on; `wall` gives Unix times, for ages."""

    def __init__(
        self,
        out: TextIO,
        ink: Ink,
        width: int,
        clock: Callable[[], float],
        wall: Callable[[], float],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._out = out
        self._ink = ink
        self._width = width
        self._clock = clock
        self._wall = wall
        self._pause = pause
        self._tally = Tally(1)
        self._teller = Teller(self._tally, clock())
        self._samples: Sequence[Sample] = ()
        self._taken = 0
        self._queue: asyncio.Queue[Entry | Phase] = asyncio.Queue()  # a phase: a tree, of a rollout that is in it

    def opening(self, sentence: str) -> None:
        """Say at once what takes a few seconds."""
        self._write(self._teller.opening(sentence, self._clock()))

    def tell(self, what: Scene | Step | Promise) -> None:
        """Put it on the page."""
        self._put(self._teller.tell(what, self._clock()))

    def watch(self, status: Status) -> None:
        """The Rollout changed."""
        self._take()
        ended, sentence = self._teller.watch(status, self._clock())
        self._put(ended)
        if sentence is not None:
            self._put([sentence.entry])
            if sentence.rest:
                self._queue.put_nowait(status.phase)

    async def attend(self, lab: Lab, tale: Tale, namespace: str, name: str) -> None:
        """Write until cancelled, then what is left."""
        from coalmine_cli.cluster import Cluster
        from coalmine_cli.picture import Picture

        async def look() -> View:
            picture = Picture(Cluster(lab.client, namespace), name, self._pause)
            await picture.read(whole=True)
            return picture.view()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_all(look))
                while True:
                    self.follow(tale.samples)
                    await self._pause(_TAKE_SECONDS)
        finally:
            self.close()

    def follow(self, samples: Sequence[Sample]) -> None:
        """Count what is new in `samples`, now and whenever something happens."""
        self._samples = samples
        self._take()

    async def _write_all(self, look: Callable[[], Awaitable[View]]) -> None:
        while True:
            await self._next(look)

    async def settle(self, look: Callable[[], Awaitable[View]]) -> None:
        """Write what waits; `look` gives the tree."""
        while not self._queue.empty():
            await self._next(look)

    async def _next(self, look: Callable[[], Awaitable[View]]) -> None:
        entry = await self._queue.get()
        if isinstance(entry, Phase):
            with contextlib.suppress(SpecError, RemoteError):  # the story goes on without this tree
                root = replace((await look()).tree, status=entry.value, mark=PHASE_MARKS[entry])
                lines = tree(pruned(root, _TREE), self._wall(), self._width - _INDENT)
                self._write([BLANK, Block(tuple(lines)).indented(_INDENT), BLANK])
        else:
            self._write([entry])

    def close(self) -> None:
        """Write what is left; for trees it is too late. May be called twice."""
        while not self._queue.empty():
            entry = self._queue.get_nowait()
            if not isinstance(entry, Phase):
                self._write([entry])

    def end(self, report: Report, memory: dict[str, int]) -> None:
        """The summary."""
        self.close()
        self._write(summary(report, memory, self._width))

    def _take(self) -> None:
        self._tally.take(self._samples[self._taken :])
        self._taken = len(self._samples)

    def _put(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._queue.put_nowait(entry)

    def _write(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            for line in entry.lines(self._width, self._ink):
                self._out.write(self._ink.line(line) + "\n")
        self._out.flush()
