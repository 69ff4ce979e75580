"""What all clients of a soak share: where they ask, how often, whether they may; and a connection of one."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.pods import Pod
from tests.soak.record import Record


@dataclass
class Slot:
    """A place for a pod; who stands there changes."""

    #: Who stands in the documents.
    pod: Pod
    #: Nobody asks here while its pod is being replaced.
    open: bool = True
    #: Who is still asked, although the documents have another pod here already.
    leaving: Pod | None = None

    @property
    def asked(self) -> Pod:
        return self.leaving or self.pod


@dataclass
class Load:
    """What all clients share."""

    record: Callable[[Record], None]
    random: random.Random
    #: Mean seconds between two requests of one client.
    think: float
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    stop: bool = False
    #: Only clients that see every answer ask: the shares are being counted.
    exact: bool = False
    busy: int = 0
    asked: int = 0

    def identity(self) -> str:
        self.asked += 1
        return f"r{self.asked}"


class Connection:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pod: Pod, since: float) -> None:
        self.reader = reader
        self.writer = writer
        self.pod = pod
        self.since = since

    def reset(self) -> None:
        """Go away without a word."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and not self.writer.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
