"""When the signing keys turn: a pure decision.

A turn has three states, and each is safe to stay in or to die in:

    current            the next key is written beside it      -> INTRODUCE
    current, next      both are published; a sidecar that has refused the next one is sent the current one;
                       once each has taken a document signed by the next, it alone is kept      -> FINISH
    current            (the next one)

So a push is always signed by a key that its sidecar knows, however long a kubelet takes to bring the ConfigMap to the
pod. A sidecar "has" the key once it has **applied** a document signed by it: then the copy that it starts again
from is by that key, too, and outlives the old one.
"""

from __future__ import annotations

from enum import Enum

from coalmine_controller.keys import Keys

#: Seconds after which a turn ends though a sidecar has not taken the new key: it cannot be reached, or its
#: kubelet does not refresh. A kubelet takes one and a half minutes; a node may be away for a night.
PATIENCE = 86_400.0
#: Seconds that one key signs, unless it is settable: a quarter of a year.
MAX_AGE = 90 * 86_400.0


class Turn(Enum):
    """What is to be written to the Secret."""

    NOTHING = "nothing"
    INTRODUCE = "introduce"
    FINISH = "finish"
    #: A wish that came while keys turn anyway.
    DROP_WISH = "drop wish"


def plan(keys: Keys, now: float, outstanding: int, max_age: float = MAX_AGE) -> Turn:
    """Decide. `now` is a Unix time; `outstanding` are the sidecars to reach that do not have the next key; `max_age`
    in seconds, 0: only when a person asks."""
    if keys.next is not None:
        if outstanding == 0 or now >= keys.next_since + PATIENCE:
            return Turn.FINISH
        return Turn.DROP_WISH if keys.asked else Turn.NOTHING
    if keys.asked or (max_age > 0 and now >= keys.since + max_age):
        return Turn.INTRODUCE
    return Turn.NOTHING
