"""A real run of the demo as events, for tests: how it is recorded, stored and told again.

An event is ``[seconds, kind, value]``: what the stage was told (scene, step, promise), the statuses of the
Rollout, the view of its tree, and the answers of the user as runs of colours. To record one anew, as root:

    python -m coalmine_sandbox.isolate -- python tests/unit/cli/demo_events.py CONTROL_PLANE PACE > FILE
"""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import random
import sys
import time
import types
import typing
from collections.abc import Iterator
from enum import Enum
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from coalmine.model.rollout import Replicas, Status
from coalmine.model.view import Count, Image, Node, View
from coalmine.model.weights import Weight
from coalmine_sandbox.story.ledger import Step
from coalmine_sandbox.story.tale import Promise, Scene
from coalmine_sandbox.story.traffic import Sample

RECORDING = Path(__file__).parent / "golden" / "demo-events.json.gz"
_KINDS: dict[str, Any] = {"scene": Scene, "step": Step, "promise": Promise, "status": Status, "view": View}
_CLASSES = {cls.__name__: cls for cls in (Count, Image, Node, Replicas, Scene, Step, Promise, View, Weight)}


def store(value: Any) -> Any:
    """`value` as JSON; a dataclass is ``{"": name, field: ...}`` without the fields that have their defaults."""
    if isinstance(value, Status):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        fields = {
            f.name: getattr(value, f.name) for f in dataclasses.fields(value) if getattr(value, f.name) != f.default
        }
        return {"": type(value).__name__, **{name: store(v) for name, v in fields.items()}}
    if isinstance(value, Enum):
        return value.value
    return [store(v) for v in value] if isinstance(value, tuple) else value


def load(kind: Any, raw: Any) -> Any:
    """What `store` made of a value of the type `kind`."""
    if kind is Status:
        return Status.from_json(raw)
    if isinstance(raw, dict):
        cls = _CLASSES[raw[""]]
        hints = _hints(cls)
        return cls(**{name: load(hints[name], v) for name, v in raw.items() if name})
    if typing.get_origin(kind) is types.UnionType:
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType) if raw is not None else None
    if isinstance(raw, list):
        return tuple(load(typing.get_args(kind)[0], v) for v in raw)
    return kind(raw) if isinstance(kind, type) and issubclass(kind, Enum) else raw


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def samples_of(at: float, runs: list[list[Any]]) -> list[Sample]:
    """Answers that came within an eighth of a second up to `at`."""
    colours = [colour for colour, times in runs for _ in range(times)]
    ends = [at - 0.125 + 0.125 * (n + 1) / len(colours) for n in range(len(colours))]
    return [Sample(end - 0.002, end, c, "" if c else "refused") for end, c in zip(ends, colours, strict=True)]


@dataclasses.dataclass(frozen=True)
class Recording:
    """`began` is the Unix time at which the clock of the events stood at 0."""

    began: float
    events: list[tuple[float, str, Any]]

    def __iter__(self) -> Iterator[tuple[float, str, Any]]:
        return iter(self.events)


def _event(at: float, kind: str, raw: Any) -> tuple[float, str, Any]:
    if kind == "answers":
        return at, kind, samples_of(at, raw)
    return at, kind, load(_KINDS[kind], raw) if kind in _KINDS else raw


@cache
def recording(path: Path = RECORDING) -> Recording:
    raw = json.loads(gzip.decompress(path.read_bytes()))
    return Recording(raw["began"], [_event(*event) for event in raw["events"]])


class Recorder:
    """A stage that writes down."""

    def __init__(self) -> None:
        self.zero = time.monotonic()
        self.began = time.time()
        self.events: list[list[Any]] = []
        self._watched = asyncio.Event()

    def note(self, kind: str, raw: Any) -> None:
        self.events.append([round(time.monotonic() - self.zero, 3), kind, raw])

    def tell(self, what: Scene | Step | Promise) -> None:
        self.note(type(what).__name__.lower(), store(what))

    def watch(self, status: Status) -> None:
        self._watched.set()
        self.note("status", store(status))

    async def attend(self, lab: Any, tale: Any, namespace: str, name: str) -> None:
        from coalmine_cli.cluster import Cluster
        from coalmine_cli.picture import Picture

        await self._watched.wait()
        picture = Picture(Cluster(lab.client, namespace), name, asyncio.sleep)
        await picture.read(whole=True)
        taken, last = 0, None
        async with picture.followed():
            while True:
                if picture.rollout is not None and (view := picture.view()) != last:
                    last = view
                    self.note("view", store(view))
                new = tale.samples[taken:]
                taken += len(new)
                if new:
                    runs = groupby("" if s.failure else s.colour for s in new)
                    self.note("answers", [[colour, len(list(run))] for colour, run in runs])
                await asyncio.sleep(0.125)

    def end(self, report: Any, memory: dict[str, int]) -> None:
        outcomes = [store(p) for p in report.promises], [store(s) for s in report.steps]
        self.note("end", {"promises": outcomes[0], "steps": outcomes[1], "requests": report.requests, "memory": memory})


async def _record(pace: float) -> None:
    from coalmine_sandbox.demo import memory_of
    from coalmine_sandbox.lab import Lab
    from coalmine_sandbox.plane.small import SmallControlPlane
    from coalmine_sandbox.story.tale import NAMESPACE, Tale

    recorder = Recorder()
    async with Lab(SmallControlPlane) as lab:
        await lab.install()
        tale = Tale(lab, pace, time.monotonic, random.Random(), recorder.tell, recorder.watch)
        async with asyncio.TaskGroup() as group:
            attending = group.create_task(recorder.attend(lab, tale, NAMESPACE, "colorapi"))
            report = await tale.run()
            attending.cancel()
        recorder.end(report, memory_of(lab))
    text = json.dumps({"began": recorder.began, "events": recorder.events}, separators=(",", ":"))
    sys.stdout.buffer.write(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    asyncio.run(_record(float(sys.argv[1])))
