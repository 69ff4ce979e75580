"""A connection whose requests cannot be read: TLS, HTTP/2, or whatever a TCP port speaks.

It is split as one: the shares deal out connections, the first byte decides what is counted, and then
bytes go both ways unread. While the connection to an endpoint is being opened nothing more is read from
the client, so a client that speaks first and a server that speaks first are served alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from coalmine_proxy.seeker import Seeker
from coalmine_proxy.stats import ABORTED, CONNECT, HTTP2, TLS
from coalmine_proxy.tunnel import open_tunnel
from coalmine_proxy.upstream import Upstream

if TYPE_CHECKING:
    from coalmine_proxy.downstream import Downstream
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.service import Service

#: RFC 9113 3.4: what a client that knows it speaks HTTP/2 begins with. Not less than all of it: an application
#: that answered half a preface and read on would serve what comes next past the split.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: RFC 8446 5.1 and 4: a record of type handshake, of a version 3.x, with a ClientHello in it.
_HELLO: Final = re.compile(rb"\x16\x03[\x00-\x04]..\x01", re.DOTALL)
_HELLO_BEGINS: Final = re.compile(rb"\x16(\x03([\x00-\x04].?.?)?)?", re.DOTALL)


def spoken(data: bytes) -> str:
    """What a connection speaks that begins with `data`, which is not HTTP/1; empty when nobody knows."""
    if _HELLO.match(data):
        return TLS
    if data.startswith(_PREFACE):
        return HTTP2
    return ""


def undecided(data: bytes) -> bool:
    """May more of it show what it speaks?"""
    return _PREFACE.startswith(data) or _HELLO_BEGINS.fullmatch(data) is not None


class Passthrough(Seeker):
    """A connection on its way to becoming a tunnel."""

    __slots__ = ("_client", "_over", "_protocol")

    def __init__(self, service: Service, client: Downstream, protocol: str) -> None:
        super().__init__(service, b"", service.table.connection(), outside=False)
        self._client = client
        self._protocol = protocol
        self._over = False

    def start(self) -> None:
        """Find an endpoint and open a connection to it."""
        peer = self._seek()
        if peer is None:
            self._give_up()
        else:
            self._service.connector.open(self, peer)

    def connected(self, upstream: Upstream) -> None:
        """A new connection is open."""
        upstream.detach()
        if self._over:
            upstream.transport.abort()
            return
        self._over = True
        stats = self._arm.stats
        stats.connections[self._protocol] += 1
        self._arm.succeeded(upstream.peer)
        self._client.passing = None
        open_tunnel(self._service, self._client, upstream, b"", stats)

    def unconnected(self, peer: Peer[Upstream]) -> None:
        """No connection to `peer`, or it was not the pod that it should be."""
        if self._over:
            return
        self._charge(CONNECT)
        self._turn_down(peer)
        self.start()

    def exhausted(self) -> None:
        """This pod has no file descriptor or port left for a connection: no version's fault."""
        if not self._over:
            self._service.stats.exhausted += 1
            self._give_up()

    def client_lost(self) -> None:
        """The client went away."""
        if not self._over:
            self._over = True
            self._charge(ABORTED)

    def _give_up(self) -> None:
        """There is no way to say why in a protocol that we do not speak."""
        self._over = True
        self._client.passing = None
        self._client.abort()
