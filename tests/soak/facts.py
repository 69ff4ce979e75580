"""What has happened in a soak, as those know it who made it happen; the judge asks nobody else.

PURE: times are passed in, in seconds of one clock. A document is in force from some moment between its being
sent and its being acknowledged; a process is down from before it is killed until after it answers again.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

from coalmine.model import wire

FOREVER: Final = float("inf")
#: Documents that are remembered for each sidecar: at ten a second, three times as long as any request takes.
_REMEMBERED: Final = 900


@dataclass
class Down:
    """A process could not be relied upon in this time.

    It ended, with what it was doing, at some moment from `since` to `dead`: on a busy machine a signal takes its time.
    `killed`: it was not asked to end by itself.
    """

    since: float
    until: float = FOREVER
    killed: bool = True
    dead: float = FOREVER


@dataclass
class Push:
    """A document on its way to a sidecar; `acked` is FOREVER until its answer is there."""

    sent: float
    routing: wire.Routing
    acked: float = FOREVER


class Facts:
    """Processes by the uid of their pod, and documents by the uid of the sidecar's."""

    def __init__(self) -> None:
        self.applications: defaultdict[str, list[Down]] = defaultdict(list)
        self.sidecars: defaultdict[str, list[Down]] = defaultdict(list)
        self.pushes: defaultdict[str, deque[Push]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        #: Pods that stand in no document, at addresses of pods that did.
        self.strangers: set[str] = set()
        #: Pods that were told to end, after they had left the documents or not.
        self.left: dict[str, float] = {}

    def possible(self, sidecar: str, since: float, until: float) -> list[wire.Routing]:
        """The documents of which any may have been in force at some moment of this time."""
        found: list[wire.Routing] = []
        for push in reversed(self.pushes[sidecar]):
            if push.sent <= until:
                found.append(push.routing)
                # what was there before this one is over, once this one was acknowledged
                if push.acked <= since:
                    break
        return found

    @staticmethod
    def _overlaps(downs: list[Down], since: float, until: float) -> bool:
        return any(down.since <= until and down.until >= since for down in downs)

    def sidecar_down(self, uid: str, since: float, until: float) -> bool:
        return self._overlaps(self.sidecars[uid], since, until)

    def application_down(self, uid: str, since: float, until: float) -> bool:
        return self._overlaps(self.applications[uid], since, until)

    def unreachable(self, uid: str, since: float, until: float) -> bool:
        """May a new connection to this pod have failed, because the application or who confirms it was not there?"""
        return self.application_down(uid, since, until) or self.sidecar_down(uid, since, until)

    def ended_within(self, uid: str, since: float, until: float) -> bool:
        """Did this application end, with what it was answering or about to read, in this time?"""
        return any(down.since <= until and min(down.dead, down.until) >= since for down in self.applications[uid])
