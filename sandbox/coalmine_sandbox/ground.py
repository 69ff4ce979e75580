"""Where a sandbox stands: the addresses of its API server, node, Services and pods.

In namespaces of its own (`REAL`) it can have the same addresses every time. On a machine that it
shares, as an ordinary user, it gets one of the 254 networks 127.A.0.0/16 of the loopback device,
all of whose addresses are there on Linux without anybody's doing.

A network is taken by holding one socket of it bound (`claim`): that is exclusive among all users,
needs no file that could be left over, and the kernel ends it with the process that holds it.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

Endpoint = tuple[str, int]

#: 127.A.255.254 and this port are bound by who has the network. Nobody connects to it.
_CLAIM_HOST: Final = "255.254"
_CLAIM_PORT: Final = 16961
#: 127.0 is the machine's own (localhost, resolvers); those after it are nobody's.
_NETWORKS: Final = range(1, 255)
#: Ports tried after the usual one when something on this machine listens on it at every address.
_MORE_PORTS: Final = 20
_LISTEN: Final = "0A"


class GroundError(Exception):
    """No network of the loopback device is free; the text says so."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`services` and `pods` are ranges (CIDR); `api` and `webhook` are addresses with their ports."""

    api: Endpoint
    webhook: Endpoint
    node: str
    services: str
    pods: str

    @property
    def kubernetes(self) -> str:
        """The address of the Service ``kubernetes``: the first of the range, as Kubernetes has it."""
        return str(ipaddress.ip_network(self.services)[1])

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.api[0]}:{self.api[1]}"


#: Inside namespaces, where a real API server refuses 127.0.0.0/8 as the endpoint of a Service.
REAL: Final = Ground(
    api=("10.97.0.1", 6443),
    webhook=("127.0.0.1", 9443),
    node="10.97.0.10",
    services="10.96.0.0/16",
    pods="10.244.0.0/16",
)


def on(network: int, *, api_port: int = 6443, webhook_port: int = 9443) -> Ground:
    """The ground on 127.`network`.0.0/16."""
    return Ground(
        api=(f"127.{network}.0.1", api_port),
        webhook=(f"127.{network}.0.2", webhook_port),
        node=f"127.{network}.0.10",
        services=f"127.{network}.16.0/20",
        pods=f"127.{network}.128.0/17",
    )


class Claim:
    """A ground that is ours until `close`, or until every process that holds `fileno` has ended."""

    def __init__(self, ground: Ground, held: socket.socket) -> None:
        self.ground = ground
        self._held = held

    def fileno(self) -> int:
        """The descriptor that holds it; one that is handed on keeps the claim beyond our end."""
        return self._held.fileno()

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def free(networks: Iterable[int] = _NETWORKS) -> Claim:
    """Claim the first network that nobody uses. Raises GroundError."""
    used = _in_use()
    for network in networks:
        if network in used:
            continue
        with contextlib.suppress(OSError):  # somebody else's
            held = _bound(f"127.{network}.{_CLAIM_HOST}", _CLAIM_PORT)
            ground = on(
                network,
                api_port=_free_port(f"127.{network}.0.1", 6443),
                webhook_port=_free_port(f"127.{network}.0.2", 9443),
            )
            return Claim(ground, held)
    raise GroundError("every network 127.1.0.0/16 to 127.254.0.0/16 is in use: end a sandbox that you do not need")


def _bound(host: str, port: int, *, reuse: bool = False) -> socket.socket:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if reuse:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held


def _free_port(host: str, usual: int) -> int:
    """`usual`, or the next one that is free: something may listen on it at every address (0.0.0.0)."""
    for port in range(usual, usual + _MORE_PORTS):
        try:
            _bound(host, port, reuse=True).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port
    raise GroundError(f"ports {usual} to {usual + _MORE_PORTS - 1} are in use at every address of this machine")


def _in_use() -> set[int]:
    """The second numbers A of the addresses 127.A.x.y that somebody listens on."""
    found = set()
    for table, states in (("tcp", {_LISTEN}), ("udp", None)):
        for address, state in _sockets(table):
            if address[0] == 127 and (states is None or state in states):
                found.add(address[1])
    return found


def _sockets(table: str) -> Iterator[tuple[bytes, str]]:
    try:
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    except OSError:
        return  # not told: the claim alone decides
    for line in lines:
        _, local, _, state, *_ = line.split()
        # the address as the machine's own 32-bit number, in hexadecimal
        number = int(local.partition(":")[0], 16)
        yield socket.htonl(number).to_bytes(4, "big"), state
