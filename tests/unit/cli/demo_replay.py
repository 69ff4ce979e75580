"""Tells a recorded story to the live stage, on a clock of its own, and keeps what it writes."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

from demo_events import Recording, load

from coalmine.model.view import View
from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.live import Live
from coalmine_cli.stage.plain import Plain
from coalmine_sandbox.story.ledger import Step
from coalmine_sandbox.story.tale import Promise, Report
from coalmine_sandbox.story.traffic import Sample

#: Seconds from one drawing to the next: fewer than the live stage's eight a second, as the emulator is slow.
_DRAWING = 0.5


def report_of(raw: dict[str, Any]) -> tuple[Report, dict[str, int]]:
    report = Report(
        steps=[load(Step, s) for s in raw["steps"]],
        promises=[load(Promise, p) for p in raw["promises"]],
        requests=raw["requests"],
    )
    return report, raw["memory"]


class Replay:
    """`size` may be changed while it runs."""

    def __init__(self, recording: Recording, size: tuple[int, int], ink: Ink) -> None:
        self.size = size
        self.now = 0.0
        self.samples: list[Sample] = []
        self.out = io.StringIO()
        self._recording = recording
        self._view: View | None = None
        self.live = Live(
            self.out,
            ink,
            lambda: os.terminal_size(self.size),
            lambda: self.now,
            lambda: recording.began + self.now,
            asyncio.sleep,
        )
        self.live.look = lambda: self._view

    def chunks(self) -> Iterator[tuple[float, str]]:
        """Seconds and what was written then, each drawing by itself; at last the summary."""
        drawn = 0.0
        for at, kind, value in self._recording:
            while drawn + _DRAWING < at:
                drawn = self.now = drawn + _DRAWING
                self.live.draw(self.samples)
                yield self.now, self._written()
            self.now = at
            if kind == "end":
                self.live.draw(self.samples)
                self.live.close()
                yield self.now, self._written()
                self.live.end(*report_of(value))
                yield self.now, self._written()
            else:
                self._tell(kind, value)

    def _tell(self, kind: str, value: Any) -> None:
        if kind == "view":
            self._view = value
        elif kind == "answers":
            self.samples += value
        elif kind == "status":
            self.live.watch(value)
        else:
            self.live.tell(value)

    def _written(self) -> str:
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text


async def plain(recording: Recording, ink: Ink, width: int) -> str:
    """The whole story in its plain form; a tree is what was known when it was asked for."""
    out, now, view = io.StringIO(), 0.0, None
    clock: Callable[[], float] = lambda: now  # noqa: E731
    stage = Plain(out, ink, width, clock, lambda: recording.began + now, asyncio.sleep)
    samples: list[Sample] = []

    async def look() -> View:
        assert view is not None
        return view

    stage.follow(samples)
    for at, kind, value in recording:
        now = at
        if kind == "view":
            view = value
            await stage.settle(look)
        elif kind == "answers":
            samples += value
        elif kind == "status":
            stage.watch(value)
        elif kind == "end":
            await stage.settle(look)
            stage.end(*report_of(value))
        else:
            stage.tell(value)
    return out.getvalue()
