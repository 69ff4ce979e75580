"""Connections to endpoints that wait for their next request.

Every decision here is synchronous: it changes the pool's state at once and returns the
connections that are now to be closed; the caller does the closing. So there is no moment in which a
connection is both in the pool and on its way out. No I/O and no clock: times are passed in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from coalmine.model.wire import Endpoint

LONG_AGO: Final = float("-inf")


class Pooled(Protocol):
    """What the pool needs to know of a connection."""

    #: When it last carried an answer, in seconds of the caller's clock.
    used: float
    #: The peer's epoch when it was opened.
    epoch: int


C = TypeVar("C", bound=Pooled)


class Peer(Generic[C]):
    """One endpoint as this sidecar sees it.

    `trusted` endpoints (the own pod, or from a file) need no confirmation of their uid; `confirmed`
    is when the last good one was asked for. A new `epoch` makes busy connections of the old one
    unfit to be kept. `wanted` is the number of the last configuration that had it, `retired`: none has it
    any more. `in_flight` counts requests that it is answering; the other three are those of `ejection`.
    """

    __slots__ = (
        "confirmed",
        "ejected_until",
        "ejections",
        "endpoint",
        "epoch",
        "failures",
        "idle",
        "in_flight",
        "local",
        "retired",
        "trusted",
        "wanted",
    )

    def __init__(self, endpoint: Endpoint, *, local: bool, trusted: bool) -> None:
        self.endpoint = endpoint
        self.local = local
        self.trusted = trusted
        self.confirmed = LONG_AGO
        self.epoch = 0
        self.retired = False
        self.wanted = 0
        self.in_flight = 0
        #: Failed attempts since the last answer.
        self.failures = 0
        #: How often it was left out lately, and until when; 0 when it never was.
        self.ejections = 0
        self.ejected_until = 0.0
        #: In order of last use, so that the newest is taken and the oldest expire.
        self.idle: list[C] = []


class Pool(Generic[C]):
    """All endpoints and their idle connections."""

    __slots__ = ("_limit", "_number", "_peers")

    def __init__(self, idle_per_endpoint: int) -> None:
        self._limit = idle_per_endpoint
        self._peers: dict[Endpoint, Peer[C]] = {}
        #: Of the configuration whose endpoints are asked for.
        self._number = 0

    def begin(self) -> None:
        """Another configuration: `peer` is now asked for each of its endpoints, then comes `retire`."""
        self._number += 1

    def peer(self, endpoint: Endpoint, *, local: bool = False, trusted: bool = False) -> Peer[C]:
        """The state of an endpoint, kept from one configuration to the next."""
        found = self._peers.get(endpoint)
        if found is None:
            found = self._peers[endpoint] = Peer(endpoint, local=local, trusted=trusted)
        found.wanted = self._number
        return found

    def known(self, endpoint: Endpoint) -> Endpoint:
        """The same endpoint, as the very object that is here already, if there is one."""
        found = self._peers.get(endpoint)
        return endpoint if found is None else found.endpoint

    def retire(self) -> Iterator[list[C]]:
        """Forget the endpoints that the configuration does not have, one after the other.

        Of each endpoint that there was come the idle connections that are now to be closed, mostly none; busy
        ones finish. It may take its time: who is not forgotten yet gets no request.
        """
        peers = list(self._peers.values())
        while peers:
            # Taken off the list, so that those that are gone are freed one by one.
            peer = peers.pop()
            closing: list[C] = []
            if peer.wanted != self._number:
                del self._peers[peer.endpoint]
                peer.retired = True
                closing = self._empty(peer)
            yield closing

    def take(self, peer: Peer[C], used_since: float = LONG_AGO) -> C | None:
        """The connection used last, if that was not before `used_since`."""
        idle = peer.idle
        if idle and idle[-1].used >= used_since:
            return idle.pop()
        return None

    def give(self, peer: Peer[C], connection: C, now: float) -> list[C]:
        """Keep a connection whose answer is complete. Returns what is to be closed instead."""
        if peer.retired or connection.epoch != peer.epoch:
            return [connection]
        connection.used = now
        peer.idle.append(connection)
        return [peer.idle.pop(0)] if len(peer.idle) > self._limit else []

    def discard(self, peer: Peer[C], connection: C) -> None:
        """An idle connection was closed by its peer or has expired."""
        # The list is searched once: it may have hundreds, and they may all be closed at the same time.
        with contextlib.suppress(ValueError):
            peer.idle.remove(connection)

    def doubt(self, peer: Peer[C]) -> list[C]:
        """The endpoint is not the pod it was: nothing opened so far may carry another request."""
        peer.confirmed = LONG_AGO
        peer.epoch += 1
        return self._empty(peer)

    def close(self) -> list[C]:
        """The end: every idle connection."""
        return [connection for peer in self._peers.values() for connection in self._empty(peer)]

    def idle(self) -> int:
        """Idle connections in all."""
        return sum(len(peer.idle) for peer in self._peers.values())

    @staticmethod
    def _empty(peer: Peer[C]) -> list[C]:
        closing, peer.idle = peer.idle, []
        return closing
