"""What each proxy holds at start, and with a thousand clients that say nothing."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench import accounting, peers
from bench.accounting import Memory
from bench.origin import Origins
from bench.processes import HOST, BenchError, Processes

IDLE: Final = 1000
#: Seconds until what a start has allocated for a moment is given back.
_SETTLED: Final = 1.0


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes, at start and with `IDLE` kept connections that have each carried one request."""

    start: Memory
    idle: Memory


def run(names: Sequence[str], processes: Processes, origins: Origins) -> dict[str, Held]:
    """Measure each by itself, as a sidecar without a rollout. Raises BenchError and OSError."""
    found = {}
    for name in names:
        if name == peers.DIRECT:
            continue
        peer = peers.start(name, processes, origins.get[:1])
        try:
            time.sleep(_SETTLED)
            start = accounting.memory(peer.pids)
            with contextlib.ExitStack() as stack:
                for _ in range(IDLE):
                    client = stack.enter_context(socket.create_connection((HOST, peer.port), timeout=5))
                    client.sendall(b"GET /api/items/1 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n")
                    if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                        raise BenchError(f"{name} did not answer one of {IDLE} clients")
                time.sleep(_SETTLED)
                found[name] = Held(start, accounting.memory(peer.pids))
        finally:
            processes.stop(peer.processes)
    return found
