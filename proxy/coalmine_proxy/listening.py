"""Sockets that share one port: the kernel spreads connections over them (SO_REUSEPORT)."""

from __future__ import annotations

import socket


def listen(host: str | None, port: int, backlog: int, count: int) -> list[socket.socket]:
    """So many sockets on one port; a `host` of None means all addresses, a `port` of 0 any. Raises OSError."""
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            found.append(_listen(host, port, backlog))
            port = found[0].getsockname()[1]
    except OSError:
        for sock in found:
            sock.close()
        raise
    return found


def _listen(host: str | None, port: int, backlog: int) -> socket.socket:
    if host is None and socket.has_dualstack_ipv6():
        sock = socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=backlog, reuse_port=True, dualstack_ipv6=True
        )
    else:
        family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
        sock = socket.create_server((host or "", port), family=family, backlog=backlog, reuse_port=True)
    sock.setblocking(False)
    return sock
