"""A worker: a process that serves requests and does what the one that made it says.

It has the port for requests and nothing else: no admin port, no keys, no state on disk. It is forked from
the running parent, whose event loop, connections and files are none of its business: it closes the files,
leaves the rest alone and goes its own way, never back. When the parent is gone it ends at once: whoever comes in
the parent's place takes the port, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import time
import traceback
from typing import NoReturn, cast

import uvloop

from coalmine.model import wire
from coalmine_proxy import messages
from coalmine_proxy.log import bug, log
from coalmine_proxy.port import ProxyPort, new_service, turn_wheel
from coalmine_proxy.service import Service
from coalmine_proxy.settings import Settings
from coalmine_proxy.turns import in_turns


def fork(settings: Settings, parent: Service, listening: socket.socket, channel: socket.socket) -> int:
    """Make a worker that goes on from where `parent` is now. Returns its process id. Raises OSError."""
    pid = os.fork()
    if pid == 0:
        _run(settings, parent.table.routing, parent.drained_since, listening, channel)
    return pid


def _run(
    settings: Settings,
    routing: wire.Routing,
    drained_since: float | None,
    listening: socket.socket,
    channel: socket.socket,
) -> NoReturn:
    status = 1
    try:
        # The parent's objects must not be collected here: they would close files by numbers that are ours by then.
        gc.freeze()
        signal.set_wakeup_fd(-1)
        # The parent says when to end; a terminal's Ctrl-C reaches everybody.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _close_all_but(listening.fileno(), channel.fileno())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, routing, drained_since, listening, channel))
        status = 0
    except BaseException as error:
        log("error", "bug in a worker", trace="".join(traceback.format_exception(error)))
    os._exit(status)


def _close_all_but(*kept: int) -> None:
    """Standard input, output and error stay as well."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in kept:
            with contextlib.suppress(OSError):  # that of the listing is closed already
                os.close(number)


async def _serve(
    settings: Settings,
    routing: wire.Routing,
    drained_since: float | None,
    listening: socket.socket,
    channel: socket.socket,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(bug)
    async with asyncio.TaskGroup() as tasks:
        service = new_service(settings, clock=time.monotonic, random=random.random, tasks=tasks)
        service.apply(routing)
        if drained_since is not None:
            service.drain()
            service.drained_since = drained_since
        port = ProxyPort(settings, service)
        orders = Orders(service)
        await loop.create_unix_connection(lambda: orders, sock=channel)
        await port.open(listening)
        running = [tasks.create_task(turn_wheel(service)), tasks.create_task(orders.carry_out())]
        orders.say(messages.encode(messages.READY))
        await orders.end.wait()
        cut = await port.end()
        await orders.ended(cut)
        for task in running:
            task.cancel()


class Orders(asyncio.Protocol):
    """The connection to the parent. Orders are carried out one after the other, as they come: an answer to a
    ``count`` says that what was ordered before is done.
    """

    transport: asyncio.Transport

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = messages.Reader()
        self._waiting: asyncio.Queue[tuple[messages.Message, bytes]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._ending = False
        self.end = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for order in self._reader.feed(data):
            self._waiting.put_nowait(order)

    async def carry_out(self) -> None:
        """Do what is said, for ever."""
        service = self._service
        while True:
            message, document = await self._waiting.get()
            kind = message["kind"]
            if kind == messages.CONFIGURE:
                read = await in_turns(wire.decoding(document, service.pool.known), service.clock)
                await in_turns(service.applying(read.routing), service.clock)
            elif kind == messages.COUNT:
                counted = messages.encode(messages.COUNTED, number=message["number"], snapshot=service.snapshot())
                self.say(counted)
            elif kind == messages.DRAIN:
                service.drain()
            elif kind == messages.END:
                self.end.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ending:
            os._exit(1)
        self._gone.set()

    def say(self, message: bytes) -> None:
        """Tell the parent."""
        self.transport.write(message)

    async def ended(self, cut: int) -> None:
        """The last that the parent hears."""
        self._ending = True
        self.say(messages.encode(messages.ENDED, cut=cut, snapshot=self._service.snapshot()))
        self.transport.close()
        await self._gone.wait()
