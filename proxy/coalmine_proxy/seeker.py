"""Looking for an endpoint that will do: one after the other of an arm, then of stable, then the pod that was asked.

What is found wanting is charged to the arm that it belongs to, though another answer in the end. An
endpoint whose connection has just died is asked last: a process that dies may accept for a moment what
it will never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine_proxy.stats import ABORTED, NO_ENDPOINT
from coalmine_proxy.upstream import Asker, Upstream

if TYPE_CHECKING:
    from coalmine_proxy.pool import Peer
    from coalmine_proxy.routing import Arm
    from coalmine_proxy.service import Service
    from coalmine_proxy.stats import Tally


class Seeker(Asker):
    """Something that needs an endpoint. `_peer` is the one that was found last."""

    __slots__ = ("_arm", "_outside", "_peer", "_service", "_shunned", "_tried", "_tries")

    def __init__(self, service: Service, method: bytes, arm: Arm, outside: bool) -> None:
        """`outside`: it was sent to that arm by name."""
        super().__init__(method)
        self._service = service
        self._arm = arm
        self._outside = outside
        self._peer: Peer[Upstream] | None = None
        self._tried: tuple[Peer[Upstream], ...] = ()
        self._tries = 0
        self._shunned: tuple[Peer[Upstream], ...] = ()

    def _seek(self) -> Peer[Upstream] | None:
        """The next endpoint, of `_arm` from then on; None when there is none left."""
        service = self._service
        now = service.wheel.now
        while True:
            arm = self._arm
            if self._tries < service.limits.tries:
                peer = arm.choose(service.random, self._tried + self._shunned, now)
                if peer is None and self._shunned:
                    peer = arm.choose(service.random, self._tried, now)
                if peer is not None:
                    if self._peer is not None:
                        service.stats.retries += 1
                    self._peer = peer
                    return peer
            if not arm.peers:
                self._tally().failures[NO_ENDPOINT] += 1
            other = service.table.instead(arm)
            # What was sent to one version asks about that one: another's answer would hide that it fails.
            if other is None or (self._outside and arm.peers):
                return None
            self._tries = 0
            self._arm = other

    def _turn_down(self, peer: Peer[Upstream]) -> None:
        """`peer` will not be asked again; go on under the configuration that holds now."""
        self._tried += (peer,)
        self._tries += 1
        self._arm = self._service.table.again(self._arm)

    def _charge(self, cause: int) -> None:
        """An attempt failed, or its client left: count it where it happened."""
        self._tally().failures[cause] += 1
        peer = self._peer
        if peer is not None and cause != ABORTED and self._arm.failed(peer, self._service.wheel.now):
            self._service.stats.ejections += 1

    def _tally(self) -> Tally:
        """Where it is counted."""
        stats = self._arm.stats
        return stats.outside if self._outside else stats.shared
