"""Where a request came from, in the words that proxies use for it: X-Forwarded-* and Via.

PURE. What a client says about those before it is believed when its address is trusted: then our
word is added to theirs (as nginx's ``$proxy_add_x_forwarded_for`` and HAProxy's ``option forwardfor`` do).
From others it is replaced. By default everybody is trusted, as the application trusted them before
the sidecar came: an ingress in the cluster is a client like any other.
Via is RFC 9110 7.6.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

from coalmine_proxy import head
from coalmine_proxy.head import kind_of

VIA: Final = b"Via: 1.1 coalmine"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Trust:
    """Whose word about earlier hops is believed: everybody's (`networks` None), or theirs."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[Network] | None = None) -> None:
        self._networks = None if networks is None else tuple(networks)

    def __call__(self, address: str) -> bool:
        """Is a client at `address` believed?"""
        if self._networks is None:
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


class Origin:
    """What requests of one client connection carry on: made once for a connection.

    `usual` goes between a head to which nothing has to be said and its host, with X-Forwarded-Host's name
    at its end. `asked` gives our own address, which stands in for a Host that was not sent.
    """

    __slots__ = ("address", "asked", "trusted", "usual")

    def __init__(self, address: bytes, trusted: bool, asked: Callable[[], bytes]) -> None:
        self.address = address
        self.trusted = trusted
        self.asked = asked
        self.usual = (
            b"\r\nX-Forwarded-For: " + address + b"\r\nX-Forwarded-Proto: http\r\n" + VIA + b"\r\nX-Forwarded-Host: "
        )

    def extend(self, lines: list[bytes], host: bytes, before: bytes, others: list[bytes] | None) -> None:
        """Add our lines. `before` is the X-Forwarded-For that came, with a comma at its end; `others` came too."""
        proto = True
        asked = True
        if self.trusted:
            lines.append(b"X-Forwarded-For: " + before + self.address)
            if others is not None:
                for line in others:
                    kind = kind_of(line)
                    proto = proto and kind != head.FORWARDED_PROTO
                    asked = asked and kind != head.FORWARDED_HOST
                lines.extend(others)
        else:
            lines.append(b"X-Forwarded-For: " + self.address)
        if proto:
            lines.append(b"X-Forwarded-Proto: http")
        lines.append(VIA)
        if asked:
            lines.append(b"X-Forwarded-Host: " + host)
