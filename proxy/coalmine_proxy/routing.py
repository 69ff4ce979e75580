"""Which arm a request goes to: local paths, pinned version, header routes, affinity, shares.

PURE. A `Table` is one configuration made ready for use; a new configuration is a new table that
replaces it in one assignment, so it takes hold between two requests. Endpoints are opaque here (the
pool's). Most configurations have neither routes nor affinity, and their requests pay for neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from coalmine.model import wire
from coalmine_proxy.affinity import Places, places
from coalmine_proxy.ejection import Outliers
from coalmine_proxy.matching import Conditions
from coalmine_proxy.pool import Peer
from coalmine_proxy.split import WHOLE, Random, Splitter
from coalmine_proxy.stats import LOCAL, ArmStats, Stats

if TYPE_CHECKING:
    from coalmine_proxy.request import Request

_PINS: Final = {b"canary": wire.CANARY, b"stable": wire.STABLE}


class Arm:
    """A named set of endpoints and its counters."""

    __slots__ = ("_least", "_outliers", "name", "peers", "stats")

    def __init__(
        self,
        name: str,
        peers: Sequence[Peer[Any]],
        stats: ArmStats,
        balance: str = wire.RANDOM,
        outliers: Outliers | None = None,
    ) -> None:
        self.name = name
        self.peers: tuple[Peer[Any], ...] = tuple(peers)
        self.stats = stats
        self._least = balance == wire.LEAST_REQUEST
        self._outliers = Outliers(None) if outliers is None else outliers

    def choose(self, random: Random, tried: Sequence[Peer[Any]], now: float) -> Peer[Any] | None:
        """An endpoint that was not `tried`; None when there is none left.

        Each has the same chance; or, of two that have, the one with fewer requests. Endpoints that are
        left out are asked when there is no other.
        """
        peers = self.peers
        if tried:
            peers = tuple([peer for peer in peers if peer not in tried])
        if now < self._outliers.until:
            fit = tuple([peer for peer in peers if peer.ejected_until <= now])
            if fit:
                peers = fit
        count = len(peers)
        if count < 2:
            return peers[0] if count else None
        first = int(random() * count)
        one = peers[first]
        if self._least:
            second = int(random() * (count - 1))
            other = peers[second + 1 if second >= first else second]
            if other.in_flight < one.in_flight:
                return other
        return one

    def failed(self, peer: Peer[Any], now: float) -> bool:
        """An attempt at `peer` had no answer. Is it left out from now on?"""
        return self._outliers.failed(peer, self.peers, now)

    def succeeded(self, peer: Peer[Any]) -> None:
        """`peer` has answered, whatever its status."""
        if peer.failures:
            peer.failures = 0


#: The arm; whether it was chosen outside the shares (pinned, or by a header route), so that the
#: request is counted apart; and the value of a Set-Cookie field for the answer, or nothing.
Choice = tuple[Arm, bool, bytes]


class Route:
    """A header route made ready."""

    __slots__ = ("choice", "conditions")

    def __init__(self, conditions: Conditions, choice: Choice) -> None:
        self.conditions = conditions
        self.choice = choice


class Mirror:
    """A mirror route made ready. Routes of one name share a splitter: their shares are one."""

    __slots__ = ("arm", "conditions", "splitter")

    def __init__(self, conditions: Conditions, arm: Arm, splitter: Splitter) -> None:
        self.conditions = conditions
        self.arm = arm
        self.splitter = splitter


class Table:
    """One configuration in use. `mirrors` says whether `mirror` need be asked at all."""

    __slots__ = (
        "_affinity",
        "_arms",
        "_choices",
        "_copies",
        "_local_choice",
        "_names",
        "_outliers",
        "_paths",
        "_pin",
        "_plain",
        "_prefixes",
        "_random",
        "_routes",
        "_splitter",
        "_splitters",
        "close",
        "drain",
        "local",
        "mirrors",
        "routing",
    )

    def __init__(
        self,
        routing: wire.Routing,
        local: Arm,
        peers: Mapping[str, Sequence[Peer[Any]]],
        stats: Stats,
        random: Random,
        before: Table | None = None,
    ) -> None:
        """`peers` are the endpoints of each arm, found by its name; `local` is the own application alone.

        A splitter goes on from the table `before` when the shares have not changed: new endpoints
        must not disturb its blocks.
        """
        self.routing = routing
        self.local = local
        self.close = routing.close
        self.drain = routing.drain
        self._pin = routing.pin
        self._random = random
        paths = [path.encode().rstrip(b"/") or b"/" for path in routing.local_paths]
        self._paths: frozenset[bytes] = frozenset(paths)
        self._prefixes: tuple[bytes, ...] = tuple([path if path == b"/" else path + b"/" for path in paths])
        self._outliers: Outliers = Outliers(None) if before is None else before._outliers
        self._outliers.use(routing.ejection)
        self._arms: list[Arm] = [
            Arm(
                arm.name,
                peers[arm.name],
                stats.arm(arm.name),
                routing.balance,
                self._outliers,
            )
            for arm in routing.arms
        ]
        self._names: dict[str, Arm] = {arm.name: arm for arm in self._arms}
        self._local_choice: Choice = (local, False, b"")
        self._choices: list[Choice] = [(arm, False, b"") for arm in self._arms]
        shares = [(arm.name, arm.share) for arm in routing.arms]
        self._splitter: Splitter | None
        if before is not None and shares == [(arm.name, arm.share) for arm in before.routing.arms]:
            self._splitter = before._splitter
        else:
            self._splitter = Splitter([share.hundredths for _, share in shares], random) if shares else None
        self._routes: list[Route] = [
            Route(Conditions(route.headers), (self._fit(route.arm), True, b"")) for route in routing.routes
        ]
        self._affinity: Places | None = places(routing.affinity, routing.arms)
        self._plain = not self._routes and self._affinity is None
        self._splitters: dict[tuple[str, int], Splitter] = {}
        self._copies: list[Mirror] = [self._copy(mirror, before) for mirror in routing.mirrors]
        self.mirrors = bool(self._copies) and self._splitter is not None

    def _copy(self, mirror: wire.MirrorRoute, before: Table | None) -> Mirror:
        key = (mirror.name, mirror.share.hundredths)
        splitter = self._splitters.get(key)
        if splitter is None and before is not None:
            splitter = before._splitters.get(key)
        if splitter is None:
            splitter = Splitter([mirror.share.hundredths, WHOLE - mirror.share.hundredths], self._random)
        self._splitters[key] = splitter
        arm = self._names.get(mirror.arm, self.local)
        return Mirror(Conditions(mirror.headers, mirror.method, mirror.path), arm, splitter)

    def _fit(self, name: str) -> Arm:
        """The arm of that name if it could answer, else stable, else the pod that was asked."""
        arm = self._names.get(name)
        if arm is None or not arm.peers:
            arm = self._names.get(wire.STABLE)
        return self.local if arm is None else arm

    def route(self, request: Request) -> Choice:
        """Where a request goes."""
        splitter = self._splitter
        path = request.path
        if splitter is None or path in self._paths or path.startswith(self._prefixes):
            return self._local_choice
        pin = request.pin
        if pin and self._pin:
            name = _PINS.get(pin)
            if name is not None:
                return self._fit(name), True, b""
        if not self._plain:
            for route in self._routes:
                if route.conditions.hold(request):
                    return route.choice
            if self._affinity is not None:
                return self._placed(request.cookie, self._affinity, splitter)
        return self._choices[splitter.next()]

    def _placed(self, cookies: bytes, affinity: Places, splitter: Splitter) -> Choice:
        """By the client's place; a new client is given one."""
        position = affinity.position(cookies) if cookies else -1
        if position >= 0:
            return self._names.get(affinity.arm(position), self.local), False, b""
        arm = self._arms[splitter.next()]
        return arm, False, affinity.cookie(arm.name, self._random)

    def connection(self) -> Arm:
        """Where a connection goes whose requests cannot be read: by the shares alone."""
        splitter = self._splitter
        return self.local if splitter is None else self._arms[splitter.next()]

    def mirror(self, request: Request) -> Arm | None:
        """The arm that gets a copy of a request, if any does. The first route that matches decides.

        Ask once for each request, and send no copy to the arm that the request itself goes to.
        """
        path = request.path
        if path in self._paths or path.startswith(self._prefixes):
            return None
        for copy in self._copies:
            if copy.conditions.hold(request):
                if copy.splitter.next() == 0 and copy.arm is not self.local and copy.arm.peers:
                    return copy.arm
                return None
        return None

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
