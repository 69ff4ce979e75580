"""A client keeps its place in the shares, by a cookie; nothing is remembered here.

PURE. The cookie's value is ``<version of the canary>.<position>``, the position in hundredths of a
percent, 0 to 9999. Positions belong to versions: the canary has those from the bottom up to
its share, control those at the top, stable what is between. As the canary's share grows its
interval grows upwards, so no client ever goes back, unless the share falls (an abort); that a client
goes from control to stable or back concerns nobody, they are one version.

A client without a good cookie (none, another version's, nonsense) is dealt out by the splitter, so the
shares of new clients are exact, and then gets a random position within its arm's interval.
A client that writes a cookie itself chooses its version, as with ``coalmine-version``.
"""

from __future__ import annotations

from typing import Final

from coalmine.model import wire
from coalmine_proxy.split import WHOLE, Random

#: 9999 is the last position.
_DIGITS: Final = 4
#: What stands before a cookie's name, unless it is the first.
_BEFORE: Final = b"; \t"


class Places:
    """Which positions belong to which arm."""

    __slots__ = ("_attributes", "_canary", "_control", "_stable", "_wanted")

    def __init__(self, affinity: wire.Affinity, version: str, canary: int, control: int) -> None:
        """`canary` and `control` are shares in hundredths of a percent, `version` is the canary's."""
        #: What a good cookie begins with: its name, and the version that it is for.
        self._wanted = b"%b=%b." % (affinity.cookie.encode(), version.encode())
        # Lax: a link from elsewhere must arrive at the version that the client knows.
        self._attributes = b"; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % affinity.max_age
        self._canary = canary
        self._control = control
        self._stable = WHOLE - canary - control

    def position(self, cookies: bytes) -> int:
        """The position in a Cookie field's value; -1 when there is no good one."""
        wanted = self._wanted
        at = cookies.find(wanted)
        while at >= 0:
            start = at + len(wanted)
            end = cookies.find(b";", start)
            digits = cookies[start : start + _DIGITS + 1] if end < 0 else cookies[start:end]
            # bytes.isdigit knows ASCII's digits only.
            if (at == 0 or cookies[at - 1] in _BEFORE) and len(digits) <= _DIGITS and digits.isdigit():
                return int(digits)
            at = cookies.find(wanted, start)
        return -1

    def arm(self, position: int) -> str:
        """The arm that a position belongs to."""
        if position < self._canary:
            return wire.CANARY
        return wire.CONTROL if position >= WHOLE - self._control else wire.STABLE

    def cookie(self, arm: str, random: Random) -> bytes:
        """The value of a Set-Cookie field for a new client that was dealt to `arm`."""
        if arm == wire.CANARY:
            start, size = 0, self._canary
        elif arm == wire.CONTROL:
            start, size = WHOLE - self._control, self._control
        else:
            start, size = self._canary, self._stable
        return b"%b%d%b" % (self._wanted, start + int(random() * size), self._attributes)


def places(affinity: wire.Affinity | None, arms: tuple[wire.Arm, ...]) -> Places | None:
    """None when clients have nothing to keep: no affinity, or no canary that gets requests.

    Arms that the controller does not know (a newer one's) have no interval: no affinity either.
    """
    if affinity is None:
        return None
    shares = {arm.name: arm.share.hundredths for arm in arms}
    version = next((arm.version for arm in arms if arm.name == wire.CANARY), "")
    if not version or not shares[wire.CANARY] or not shares.keys() <= {wire.CANARY, wire.CONTROL, wire.STABLE}:
        return None
    return Places(affinity, version, shares[wire.CANARY], shares.get(wire.CONTROL, 0))
