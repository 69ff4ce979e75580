"""How long a kubelet waits before it starts a crashed container again, or pulls an image again.

The first restart is immediate; then 10 s, doubling up to 5 minutes, counted from the moment the
container ended; ten minutes without a crash start it over (client-go's flowcontrol.Backoff).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INITIAL: Final = 10.0
MOST: Final = 300.0
FORGIVEN_AFTER: Final = 2 * MOST


@dataclass(slots=True)
class BackOff:
    """Times are seconds of any one clock."""

    delay: float = 0.0
    _updated: float = 0.0

    def next(self, ended: float) -> float:
        """Seconds after `ended` at which to try again."""
        if self.delay and ended - self._updated > FORGIVEN_AFTER:
            self.delay = 0.0
        wait = self.delay
        self.delay = min(MOST, self.delay * 2) if self.delay else INITIAL
        self._updated = ended + wait
        return wait
