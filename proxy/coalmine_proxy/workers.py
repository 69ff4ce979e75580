"""The workers, as their parent sees them: they are started, told, asked, and replaced when they die.

Each has a listening socket of its own on the one port (SO_REUSEPORT; the kernel spreads connections). The
sockets are made here and kept here as well, so a worker that dies takes with it only what it had accepted:
what waits to be accepted waits for the one that comes in its place.

Counters never go back: those of a worker that died are remembered as they were last told, a
second or so ago. A set of counters is asked of all at once, and they have a second to answer; for a worker that
does not, the last ones known stand in, and one that is silent for some seconds more is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from coalmine_proxy import messages, stats
from coalmine_proxy.log import log
from coalmine_proxy.stats import Snapshot

#: Between two questions for counters: what is lost at most of those of a worker that is killed. In seconds.
INTERVAL: Final = 1.0
#: How long answers are waited for, in seconds, counted in parts: after a pause of the whole machine the
#: workers get their part of the time, too.
ANSWER_TIME: Final = 1.0
_PARTS: Final = 4
#: Questions without an answer after which a worker is killed. Throttled processes stand still for parts of a
#: second; requests in flight are worth more than a haste.
MOST_SILENT: Final = 3
#: So many deaths in so many seconds are no accident: the whole sidecar ends, and the kubelet starts it again,
#: later each time.
MOST_DEATHS: Final = 3
DEATHS_WITHIN: Final = 10.0
#: What a worker may take beyond its own grace to end, in seconds.
_LATE: Final = 5.0

#: Makes a process that serves: of its listening socket, and of its end of the channel. Returns its id.
Fork = Callable[[socket.socket, socket.socket], int]


class WorkersFailed(Exception):
    """Workers die again and again."""


class Worker(asyncio.Protocol):
    """What is known of one worker, and the connection to it."""

    transport: asyncio.Transport

    def __init__(self, workers: Workers, index: int) -> None:
        self._workers = workers
        self._reader = messages.Reader()
        self.index = index
        self.pid = 0
        self.ready = False
        self.lost = False
        self.snapshot: Snapshot | None = None
        #: Questions in a row that it has not answered in time.
        self.silent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for message, _ in self._reader.feed(data):
            self._workers.told(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._workers.lost(self)

    def say(self, message: bytes) -> None:
        """Tell the worker."""
        if not self.lost:
            self.transport.write(message)

    def kill(self) -> None:
        """End it now; `connection_lost` follows."""
        if self.pid and not self.lost:
            os.kill(self.pid, signal.SIGKILL)


class _Question:
    """A question for counters, and who has not answered yet."""

    def __init__(self, asked: set[Worker]) -> None:
        self.waiting = asked
        self.answered = asyncio.Event()
        self.settle()

    def settle(self, worker: Worker | None = None) -> None:
        if worker is not None:
            self.waiting.discard(worker)
        if not self.waiting:
            self.answered.set()


class Workers:
    """All workers of one sidecar."""

    def __init__(
        self,
        listening: Sequence[socket.socket],
        fork: Fork,
        *,
        clock: Callable[[], float],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """One worker for each socket of `listening`. A failure raises `WorkersFailed` in `tasks`."""
        self._listening = list(listening)
        self._fork = fork
        self._clock = clock
        self._tasks = tasks
        self._alive: dict[int, Worker] = {}
        self._questions: dict[int, _Question] = {}
        self._asked = 0
        #: What those that are no more had counted.
        self._past: list[Snapshot] = []
        self._deaths: list[float] = []
        self._ending = False
        self._cut = 0
        #: Set when a worker is ready, and when the last one is gone.
        self._news = asyncio.Event()
        self._watch_task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many serve."""
        return sum(worker.ready for worker in self._alive.values())

    async def start(self) -> None:
        """Start all, and wait until they serve."""
        for index in range(len(self._listening)):
            await self._start(index)
        self._watch_task = self._tasks.create_task(self._watch())
        while len(self) < len(self._listening):
            self._news.clear()
            await self._news.wait()

    async def _start(self, index: int) -> None:
        """Start one. The connection comes first: from the moment of the fork on, what is said reaches it."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        worker = Worker(self, index)
        await loop.create_unix_connection(lambda: worker, sock=ours)
        with theirs:
            if self._ending:
                return
            try:
                worker.pid = self._fork(self._listening[index], theirs)
            except OSError as error:
                raise WorkersFailed(f"no process can be made: {error.strerror}") from error
        self._alive[index] = worker

    # --- what all are told ---

    def configure(self, document: bytes) -> None:
        """Use a document that is verified and accepted."""
        self._tell(messages.encode(messages.CONFIGURE, document))

    def drain(self) -> None:
        """From now on answers end their connections."""
        self._tell(messages.encode(messages.DRAIN))

    def _tell(self, message: bytes) -> None:
        for worker in self._alive.values():
            worker.say(message)

    # --- what all are asked ---

    async def snapshot(self) -> tuple[Snapshot, bool]:
        """What all have counted, and whether all of them answered: then all have done what they were told before."""
        waiting = await self._ask()
        known = [worker.snapshot for worker in self._alive.values() if worker.snapshot is not None]
        return stats.added([*self._past, *known]), not waiting

    async def _ask(self) -> set[Worker]:
        """Ask all for their counters. Returns those that did not answer in time."""
        self._asked += 1
        number = self._asked
        question = self._questions[number] = _Question(set(self._alive.values()))
        self._tell(messages.encode(messages.COUNT, number=number))
        for _ in range(_PARTS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_TIME / _PARTS):
                    await question.answered.wait()
                    break
        del self._questions[number]
        return question.waiting

    async def _watch(self) -> None:
        """Ask now and then, so that a death costs little, and silence is noticed."""
        while True:
            await asyncio.sleep(INTERVAL)
            for worker in await self._ask():
                worker.silent += 1
                if worker.silent >= MOST_SILENT:
                    log("error", "a worker does not answer and is killed", worker=worker.index, worker_pid=worker.pid)
                    worker.kill()

    # --- what they say ---

    def told(self, worker: Worker, message: messages.Message) -> None:
        """A worker says something."""
        kind = message["kind"]
        if kind == messages.READY:
            log("info", "worker started", worker=worker.index, worker_pid=worker.pid)
            worker.ready = True
            self._news.set()
            return
        worker.snapshot = message["snapshot"]
        if kind == messages.ENDED:
            self._cut += message["cut"]
            return
        worker.silent = 0
        question = self._questions.get(message["number"])
        if question is not None:
            question.settle(worker)

    def lost(self, worker: Worker) -> None:
        """A worker is no more, or is about to be."""
        if worker.lost or not worker.pid:  # it never was one
            return
        worker.kill()
        worker.lost = True
        _, status = os.waitpid(worker.pid, 0)
        del self._alive[worker.index]
        for question in self._questions.values():
            question.settle(worker)
        if worker.snapshot is not None:
            self._past = [stats.added([*self._past, stats.lasting(worker.snapshot)])]
        if self._ending:
            if not self._alive:
                self._news.set()
        else:
            log(
                "error",
                "a worker ended unasked",
                worker=worker.index,
                worker_pid=worker.pid,
                status=os.waitstatus_to_exitcode(status),
            )
            self._tasks.create_task(self._replace(worker.index))

    async def _replace(self, index: int) -> None:
        """Raises WorkersFailed."""
        now = self._clock()
        self._deaths = [*(died for died in self._deaths if died > now - DEATHS_WITHIN), now]
        if len(self._deaths) >= MOST_DEATHS:
            raise WorkersFailed(f"{len(self._deaths)} workers died within {DEATHS_WITHIN:g} seconds")
        await self._start(index)

    # --- the end ---

    async def end(self, grace: float) -> int:
        """Let all end, within `grace` and a little. Returns how many requests were cut."""
        self._ending = True
        self._stop()
        self._tell(messages.encode(messages.END))
        try:
            async with asyncio.timeout(grace + _LATE):
                await self._none_left()
        except TimeoutError:
            self.kill()
            await self._none_left()
        return self._cut

    async def _none_left(self) -> None:
        while self._alive:
            self._news.clear()
            await self._news.wait()

    def kill(self) -> None:
        """End all now."""
        self._ending = True
        self._stop()
        for worker in list(self._alive.values()):
            worker.kill()

    def _stop(self) -> None:
        """No worker is started any more. Ours of the sockets are closed: what comes when a worker has closed
        its own goes to another one.
        """
        if self._watch_task is not None:
            self._watch_task.cancel()
        for sock in self._listening:
            sock.close()
