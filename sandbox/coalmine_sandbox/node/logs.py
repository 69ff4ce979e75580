"""What a container has printed: which part of it is asked for, and reading that while more may come.

A log is the file that the process itself writes to, so nothing is lost when the agent is killed;
times are known by looking at its size once a second (`RunLog.mark`), and are right to that.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from coalmine.model.durations import parse_time

_CHUNK: Final = 64 * 1024
_LOOK_SECONDS: Final = 0.1
_MARK_SECONDS: Final = 1.0
#: Nearly three hours of a container that prints all the time; what is older has the oldest time.
_MOST_MARKS: Final = 10_000


class NoLogError(Exception):
    """There is nothing to show; the text says why, as a kubelet does."""


class BadQueryError(Exception):
    """A parameter is not one; the text names it."""


class RunLog:
    """The log of one run of a container."""

    def __init__(self, file: Path, started: float) -> None:
        self.file = file
        #: (time, size): by that time the file had that many bytes.
        self._marks: deque[tuple[float, int]] = deque([(started, 0)], maxlen=_MOST_MARKS)

    async def mark(self, now: Callable[[], float]) -> None:
        """Note times until cancelled."""
        while True:
            self.note(now())
            await asyncio.sleep(_MARK_SECONDS)

    def note(self, time: float) -> None:
        """The file is now as long as it is."""
        size = self.size()
        if size != self._marks[-1][1]:
            self._marks.append((time, size))

    def size(self) -> int:
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def time_of(self, offset: int) -> float | None:
        """When the byte at this offset had been written; None when no mark tells yet."""
        place = bisect.bisect_right(self._marks, offset, key=lambda mark: mark[1])
        return self._marks[place][0] if place < len(self._marks) else None

    def since(self, time: float) -> int:
        """The offset of what was written at this time or later."""
        place = bisect.bisect_left(self._marks, time, key=lambda mark: mark[0])
        return self._marks[place - 1][1] if place else 0


@dataclass(frozen=True, slots=True)
class Query:
    """A PodLogOptions, as the API server passes it on."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: float | None = None
    tail: int | None = None
    limit: int | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, str], now: float) -> Query:
        """Raises BadQueryError."""
        seconds = _number(raw, "sinceSeconds", least=1)
        since = None if seconds is None else now - seconds
        if "sinceTime" in raw:
            try:
                since = parse_time(raw["sinceTime"])
            except ValueError as error:
                raise BadQueryError(f"sinceTime: {raw['sinceTime']!r} is not a time") from error
        return cls(
            follow=_flag(raw, "follow"),
            previous=_flag(raw, "previous"),
            timestamps=_flag(raw, "timestamps"),
            since=since,
            tail=_number(raw, "tailLines", least=0),
            limit=_number(raw, "limitBytes", least=1),
        )


def _flag(raw: Mapping[str, str], name: str) -> bool:
    return raw.get(name, "").lower() in ("true", "1")


def _number(raw: Mapping[str, str], name: str, *, least: int) -> int | None:
    if name not in raw:
        return None
    if not raw[name].isascii() or not raw[name].isdigit() or int(raw[name]) < least:
        raise BadQueryError(f"{name}: {raw[name]!r} is not a number from {least} on")
    return int(raw[name])


async def read(
    log: RunLog, query: Query, *, over: Callable[[], bool], now: Callable[[], float]
) -> AsyncIterator[bytes]:
    """What is asked for, in pieces; with `follow` until the run is `over` and everything was read."""
    left = query.limit
    if not log.file.exists():
        return
    with log.file.open("rb") as file:
        offset = _start(log, file, query)
        begins_line = True
        while True:
            last = over() or not query.follow  # asked first: what it printed before it ended is read below
            file.seek(offset)
            while data := file.read(_CHUNK):
                piece = _stamped(log, data, offset, begins_line, now()) if query.timestamps else data
                begins_line = data.endswith(b"\n")
                offset += len(data)
                if left is not None:
                    piece = piece[:left]
                    left -= len(piece)
                yield piece
                if left == 0:
                    return
            if last:
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _start(log: RunLog, file: BinaryIO, query: Query) -> int:
    """The offset of the first line that is asked for."""
    start = 0
    if query.since is not None:
        start = _next_line(file, log.since(query.since))
    if query.tail is not None:
        start = max(start, _tail(file, query.tail))
    return start


def _next_line(file: BinaryIO, offset: int) -> int:
    if offset == 0:
        return 0
    file.seek(offset - 1)
    return offset - 1 + len(file.readline())


def _tail(file: BinaryIO, lines: int) -> int:
    """The offset at which the last `lines` lines begin; one without its end counts."""
    end = offset = file.seek(0, 2)
    if not lines:
        return end
    wanted = lines
    while offset:
        size = min(_CHUNK, offset)
        offset -= size
        file.seek(offset)
        data = file.read(size)
        place = len(data)
        if offset + size == end and data.endswith(b"\n"):
            place -= 1  # ends the last line rather than beginning another
        while (place := data.rfind(b"\n", 0, place)) >= 0:
            wanted -= 1
            if not wanted:
                return offset + place + 1
    return 0


def _stamped(log: RunLog, data: bytes, offset: int, begins_line: bool, now: float) -> bytes:
    stamped = []
    for line in _lines(data):
        if begins_line:
            time = log.time_of(offset)
            stamped.append(_time(now if time is None else time))
        stamped.append(line)
        offset += len(line)
        begins_line = True
    return b"".join(stamped)


def _lines(data: bytes) -> list[bytes]:
    """By line feeds only: a carriage return alone ends no line."""
    pieces = [piece + b"\n" for piece in data.split(b"\n")]
    pieces[-1] = pieces[-1][:-1]
    return [piece for piece in pieces if piece]


def _time(moment: float) -> bytes:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode()
