"""Pod addresses on the loopback device, handed out in order as host-local IPAM does.

All of 127.0.0.0/8 is there on Linux without anybody's doing: such addresses are neither added nor
removed, for which an ordinary user has no right anyway.

An address that was given back is handed out again only after all others were: soon enough for
tests with a small range, late enough not to hide who still talks to it.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Callable


class NoAddressError(Exception):
    """The range is used up."""


def add(address: str) -> None:
    """Put an address on the loopback device. Raises CalledProcessError."""
    if ipaddress.ip_address(address).is_loopback:
        return
    subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)


def remove(address: str) -> None:
    """Take it off; one that is not there is no error."""
    if ipaddress.ip_address(address).is_loopback:
        return
    subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)


class Addresses:
    """The addresses of one node's pods, out of `network`."""

    def __init__(self, network: str, add: Callable[[str], None] = add, remove: Callable[[str], None] = remove) -> None:
        self._network = ipaddress.ip_network(network)
        self._used: set[str] = set()
        self._next = 0
        self._add = add
        self._remove = remove

    def take(self, preferred: str = "") -> str:
        """`preferred` if it is ours and free, else the next free one. Raises NoAddressError."""
        address = preferred if self._free(preferred) else self._search()
        self._used.add(address)
        self._add(address)
        return address

    def give_back(self, address: str) -> None:
        if address in self._used:
            self._remove(address)
            self._used.discard(address)

    def _free(self, address: str) -> bool:
        return bool(address) and address not in self._used and ipaddress.ip_address(address) in self._network

    def _search(self) -> str:
        size = self._network.num_addresses - 2  # the network's own and the broadcast address
        for _ in range(size):
            candidate = str(self._network[1 + self._next])
            self._next = (self._next + 1) % size
            if candidate not in self._used:
                return candidate
        raise NoAddressError(f"all {size} addresses of {self._network} are in use")
