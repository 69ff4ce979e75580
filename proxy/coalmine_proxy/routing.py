"""Which arm a request goes to: local paths, then the pinned version, then the shares.

PURE. A `Table` is one configuration made ready for use; a new configuration is a new table that
replaces it in one assignment, so it takes hold between two requests. Header routes and
affinity will stand between pin and shares. Endpoints are opaque here (the pool's).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from coalmine.model import wire
from coalmine_proxy.pool import Peer
from coalmine_proxy.split import Random, Splitter
from coalmine_proxy.stats import LOCAL, ArmStats, Stats

_PINS: Final = {b"canary": wire.CANARY, b"stable": wire.STABLE}


class Arm:
    """A named set of endpoints and its counters."""

    __slots__ = ("name", "peers", "stats")

    def __init__(self, name: str, peers: Sequence[Peer[Any]], stats: ArmStats) -> None:
        self.name = name
        self.peers = tuple(peers)
        self.stats = stats

    def choose(self, random: Random, tried: Sequence[Peer[Any]]) -> Peer[Any] | None:
        """Any endpoint that was not `tried`, each with the same chance; None when there is none left."""
        peers: Sequence[Peer[Any]] = self.peers
        if tried:
            peers = [peer for peer in peers if peer not in tried]
        if len(peers) > 1:
            return peers[int(random() * len(peers))]
        return peers[0] if peers else None


class Table:
    """One configuration in use."""

    __slots__ = ("_arms", "_names", "_paths", "_pin", "_prefixes", "_splitter", "close", "drain", "local", "routing")

    def __init__(
        self,
        routing: wire.Routing,
        local: Arm,
        peer: Callable[[wire.Endpoint], Peer[Any]],
        stats: Stats,
        random: Random,
        before: Table | None = None,
    ) -> None:
        """`peer` finds the state of an endpoint; `local` is the own application alone.

        A splitter goes on from the table `before` when the shares have not changed: new endpoints
        must not disturb its blocks.
        """
        self.routing = routing
        self.local = local
        self.close = routing.close
        self.drain = routing.drain
        self._pin = routing.pin
        paths = [path.encode().rstrip(b"/") or b"/" for path in routing.local_paths]
        self._paths = frozenset(paths)
        self._prefixes = tuple(path if path == b"/" else path + b"/" for path in paths)
        self._arms = tuple(
            Arm(arm.name, [peer(endpoint) for endpoint in arm.endpoints], stats.arm(arm.name)) for arm in routing.arms
        )
        self._names = {arm.name: arm for arm in self._arms}
        shares = [(arm.name, arm.share) for arm in routing.arms]
        self._splitter: Splitter | None
        if before is not None and shares == [(arm.name, arm.share) for arm in before.routing.arms]:
            self._splitter = before._splitter
        else:
            self._splitter = Splitter([share.hundredths for _, share in shares], random) if shares else None

    def route(self, path: bytes, pin: bytes) -> tuple[Arm, bool]:
        """The arm for a request, and whether the request is pinned."""
        splitter = self._splitter
        if splitter is None or path in self._paths or path.startswith(self._prefixes):
            return self.local, False
        if pin and self._pin:
            name = _PINS.get(pin)
            if name is not None:
                arm = self._names.get(name)
                if arm is None or not arm.peers:
                    arm = self._names.get(wire.STABLE)
                return (arm or self.local), True
        return self._arms[splitter.next()], False

    def again(self, arm: Arm) -> Arm:
        """The same arm in this table: for a request that began under an older one."""
        return self._names.get(arm.name, self.local) if arm.name != LOCAL else self.local

    def instead(self, arm: Arm) -> Arm | None:
        """Where the requests of `arm` go when none of its endpoints will do; None: nowhere.

        Stable takes what another arm cannot. When stable itself has no endpoint at all, the pod
        that was asked serves.
        """
        stable = self._names.get(wire.STABLE)
        if stable is not None and stable.peers:
            return None if arm is stable or arm is self.local else stable
        return None if arm is self.local else self.local

    @property
    def peers(self) -> list[Peer[Any]]:
        """Every endpoint of this configuration."""
        return [*self.local.peers, *(peer for arm in self._arms for peer in arm.peers)]
