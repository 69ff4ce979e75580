"""Bytes are passed on unread, both ways, half-closes included: after a 101, or from the start.

The two transports change their protocol to a pair of these, so that nothing on the way of
ordinary requests has to ask whether it is a tunnel.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coalmine_proxy.downstream import Downstream
    from coalmine_proxy.service import Service
    from coalmine_proxy.stats import ArmStats
    from coalmine_proxy.upstream import Upstream


class Tunnel(asyncio.Protocol):
    """One side. What it receives goes to the `other`, and is counted."""

    def __init__(self, service: Service, transport: asyncio.Transport, stats: ArmStats, from_client: bool) -> None:
        self._service = service
        self._stats = stats
        self._from_client = from_client
        self.transport = transport
        self.other: Tunnel
        self.deadline = service.wheel.now + service.limits.tunnel
        self._ended = False
        service.wheel.add(self)
        service.tunnels.add(self)
        service.stats.tunnels = len(service.tunnels) // 2

    def data_received(self, data: bytes) -> None:
        self.deadline = self.other.deadline = self._service.wheel.now + self._service.limits.tunnel
        if self._from_client:
            self._stats.sent += len(data)
        else:
            self._stats.received += len(data)
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.other._ended:
            self.close()
            return False
        if not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        service = self._service
        service.wheel.remove(self)
        service.tunnels.discard(self)
        service.stats.tunnels = len(service.tunnels) // 2
        service.quiet.set()
        if exc is None:
            self.other.transport.close()
        else:
            # a reset is passed on as one
            self.other.transport.abort()

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def expired(self) -> None:
        """Neither side said anything for a long time, or does not read what the other said."""
        self.transport.abort()
        self.other.transport.abort()

    def close(self) -> None:
        """End both sides."""
        self.transport.close()
        self.other.transport.close()


def open_tunnel(service: Service, client: Downstream, upstream: Upstream, first: bytes, stats: ArmStats) -> None:
    """Join the two connections; `first` is what the client gets before anything else."""
    early, client.buffer = client.buffer, b""
    client.leave()
    upstream.leave()
    near = Tunnel(service, client.transport, stats, from_client=True)
    far = Tunnel(service, upstream.transport, stats, from_client=False)
    near.other, far.other = far, near
    client.transport.set_protocol(near)
    upstream.transport.set_protocol(far)
    if first:
        client.transport.write(first)
    if early:
        stats.sent += len(early)
        upstream.transport.write(early)
    if client.ended:
        near.eof_received()
    client.go_on()
