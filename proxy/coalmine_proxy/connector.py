"""Opening connections to endpoints: the only place where a request may cost a task.

Kept connections make this rare. The task belongs to the sidecar's task group; what the network does
ends in a call to the asker, an error of ours ends the process.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, cast

from coalmine_proxy.identity import Identities
from coalmine_proxy.upstream import Asker, Upstream

if TYPE_CHECKING:
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.service import Service


#: What this pod itself has run out of: files, buffers, ports.
_OWN_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)


class Connector:
    """Opens connections for whoever asks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._identities = Identities(service)

    def open(self, asker: Asker, peer: Peer[Upstream]) -> None:
        """Begin; `asker.connected` or `asker.unconnected` is called once it is known."""
        self._service.tasks.create_task(self._open(asker, peer))

    async def _open(self, asker: Asker, peer: Peer[Upstream]) -> None:
        service = self._service
        endpoint = peer.endpoint
        loop = asyncio.get_running_loop()
        epoch = peer.epoch
        try:
            async with asyncio.timeout(service.limits.connect):
                confirmed = peer.trusted or await self._identities.confirm(peer)
                if confirmed:
                    epoch = peer.epoch
                    upstream = Upstream(service, peer, epoch)
                    # It has the methods of a protocol, and compiled it can have no base that is not.
                    protocol = cast("asyncio.Protocol", upstream)
                    await loop.create_connection(lambda: protocol, endpoint.address, endpoint.port)
        except OSError as error:  # TimeoutError is one
            if error.errno in _OWN_SHORTAGE:
                asker.exhausted()
            else:
                asker.unconnected(peer)
            return
        # It may have been closed before anybody here could look at it.
        if not confirmed or upstream.transport.is_closing():
            asker.unconnected(peer)
            return
        unacknowledged = int(service.limits.unacknowledged * 1000)
        sock = upstream.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        asker.connected(upstream)
