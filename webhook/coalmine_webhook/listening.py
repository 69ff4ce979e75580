"""A server at an address, until it is left; what is in flight then is finished.

Without a host it is every address of the machine, of both families: a pod of an IPv6 cluster has no other, and one
whose node has IPv6 switched off must start as well.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web

#: Host and port; no host: every address of the machine.
Endpoint = tuple[str | None, int]

#: Connections that wait to be accepted.
_BACKLOG: Final = 128
#: Seconds for answers to be written.
_LAST_ANSWERS: Final = 1.0


@contextlib.asynccontextmanager
async def served(
    app: web.Application,
    where: Endpoint,
    *,
    tls: ssl.SSLContext | None = None,
    finish: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[list[Endpoint]]:
    """Yields the addresses. `finish` is waited for once nobody can connect any more. Raises OSError."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_ANSWERS)
    await runner.setup()
    try:
        site = _site(runner, where, tls)
        await site.start()
        try:
            yield [(str(address[0]), int(address[1])) for address in runner.addresses]
        finally:
            await site.stop()
            if finish is not None:
                await finish()
    finally:
        await runner.cleanup()


def _site(runner: web.AppRunner, where: Endpoint, tls: ssl.SSLContext | None) -> web.BaseSite:
    host, port = where
    if host is not None:
        return web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG)
    return web.SockSite(runner, everywhere(port), ssl_context=tls, backlog=_BACKLOG)


def everywhere(port: int) -> socket.socket:
    """A socket that listens on every address, IPv4 ones alone where there is no IPv6. Raises OSError."""
    if socket.has_dualstack_ipv6():
        # what fails here for the port's sake fails below again, and says so
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    return socket.create_server(("", port), backlog=_BACKLOG)
