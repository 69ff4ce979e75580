"""After a 101: bytes are passed on unread, both ways, half-closes included.

The two transports change their protocol to a pair of these, so that nothing on the way of
ordinary requests has to ask whether it is a tunnel.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coalmine_proxy.downstream import Downstream
    from coalmine_proxy.service import Service
    from coalmine_proxy.upstream import Upstream


class Tunnel(asyncio.Protocol):
    """One side. What it receives goes to the `other`."""

    def __init__(self, service: Service, transport: asyncio.Transport) -> None:
        self._service = service
        self.transport = transport
        self.other: Tunnel
        self.deadline = service.wheel.now + service.limits.tunnel
        self._ended = False
        service.wheel.add(self)
        service.tunnels.add(self)

    def data_received(self, data: bytes) -> None:
        self.deadline = self.other.deadline = self._service.wheel.now + self._service.limits.tunnel
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.other._ended:
            self.close()
            return False
        self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.wheel.remove(self)
        self._service.tunnels.discard(self)
        self._service.quiet.set()
        self.other.transport.close()

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


def open_tunnel(service: Service, client: Downstream, upstream: Upstream, first: bytes) -> None:
    """Join the two connections; `first` is what the client gets before anything else."""
    early, client.buffer = client.buffer, b""
    client.resume()
    client.leave()
    upstream.leave()
    near = Tunnel(service, client.transport)
    far = Tunnel(service, upstream.transport)
    near.other, far.other = far, near
    client.transport.set_protocol(near)
    upstream.transport.set_protocol(far)
    client.transport.write(first)
    if early:
        upstream.transport.write(early)
