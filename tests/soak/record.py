"""What a client saw of one request. PURE."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
#: The method of a connection whose requests nobody reads.
OPAQUE: Final = "OPAQUE"


class Outcome(enum.Enum):
    """How it ended."""

    WHOLE = "whole answer"
    #: No connection to the sidecar.
    REFUSED = "no connection"
    #: The connection ended before the answer's head.
    CLOSED = "closed without an answer"
    #: It ended within the answer.
    CUT = "answer cut"
    #: The answer is whole and not the one to this request; `detail` says why.
    WRONG = "another's answer"
    HUNG = "no end in time"
    #: The client had enough: nothing is asked of the proxy but to bear it.
    LEFT = "left by the client"


@dataclass(slots=True)
class Record:
    """One request. Times in seconds of the soak's clock; `connected` is when its connection was opened."""

    identity: str
    sidecar: str
    kind: str
    method: str
    connected: float
    began: float
    ended: float = 0.0
    outcome: Outcome = Outcome.LEFT
    status: int = 0
    uid: str = ""
    version: str = ""
    detail: str = ""
    #: Asks for the canary: by the pin, by the header of the route.
    pinned: bool = False
    routed: bool = False
    #: May be copied, if a mirror is on.
    mirrored: bool = False
    #: The client's place in the shares, if it has one.
    cookie: str = ""
    #: The body was sent with its head.
    at_once: bool = True

    def __str__(self) -> str:
        flags = [name for name in ("pinned", "routed", "mirrored", "at_once") if getattr(self, name)]
        return (
            f"{self.identity} {self.kind} {self.method} by {self.sidecar} at {self.began:.3f}-{self.ended:.3f} "
            f"(connected {self.connected:.3f}) {' '.join(flags)} cookie={self.cookie!r}: {self.outcome.value} "
            f"{self.status or ''} from {self.uid or 'nobody'} {self.version} {self.detail}"
        )
