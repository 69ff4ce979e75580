"""Leaving out, for a while, an endpoint whose attempts fail one after the other.

PURE: the time is passed in. The state is on the `Peer`, so that it outlives configurations and
is one for all arms that the endpoint stands in.

Rules:
- Only attempts without an answer count (connect, reset, timeout, invalid). A 500 is what the
  version has to say: hiding it would hide what the rollout is there to see.
- The bound is on an arm as a whole: at most `percent` of its endpoints, rounded down, are out at once.
  An arm that fails everywhere is seen to fail, and an arm of one endpoint never loses it.
- Each time is longer than the one before: the base time, times how often it was out lately, at
  most `MOST_TIMES`. For each base time that it was in, one of those is forgotten (Envoy's rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from coalmine.model import wire
from coalmine_proxy.pool import Peer

#: Five minutes with the default of 30 s, as Envoy's max_ejection_time: a pod that was
#: repaired should not wait longer for its share.
MOST_TIMES: Final = 10


class Outliers:
    """Who is out. One object is handed from each configuration to the next.

    `until` is when the last one that is out comes back: as long as it has passed, nobody has to
    look at the endpoints one by one.
    """

    __slots__ = ("rule", "until")

    def __init__(self, rule: wire.Ejection | None) -> None:
        self.rule = rule
        self.until = 0.0

    def use(self, rule: wire.Ejection | None) -> None:
        """Another configuration. Without a rule everybody is back at once."""
        self.rule = rule
        if rule is None:
            self.until = 0.0

    def failed(self, peer: Peer[Any], among: Sequence[Peer[Any]], now: float) -> bool:
        """An attempt at `peer`, one of the endpoints `among`, has failed. Is it out from now on?"""
        peer.failures += 1
        rule = self.rule
        if rule is None or peer.failures < rule.consecutive or peer.ejected_until > now:
            # Requests that were on their way when it was left out do not make it longer.
            return False
        out = 0
        for other in among:
            if other.ejected_until > now:
                out += 1
        if out + 1 > len(among) * rule.percent // 100:
            return False
        if peer.ejected_until > 0.0:
            peer.ejections = max(0, peer.ejections - int((now - peer.ejected_until) / rule.seconds))
        peer.ejections = min(peer.ejections + 1, MOST_TIMES)
        peer.ejected_until = now + rule.seconds * peer.ejections
        peer.failures = 0
        self.until = max(self.until, peer.ejected_until)
        return True
