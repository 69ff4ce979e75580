"""The node's own server: the logs of its containers, for the API server to pass on (kubectl logs).

As a kubelet's: HTTPS with a certificate that nobody has signed but ourselves, and a client
certificate asked for, signed by the cluster's authority. Logs may hold anything, and everybody
on this machine can connect: so of those that it has signed, only the API server's own is let in.

Of a kubelet's paths, ``/containerLogs`` is all that is here: exec, attach and port-forward are not.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from coalmine_sandbox.certificates import Authority
from coalmine_sandbox.node.logs import BadQueryError, NoLogError, Query, RunLog, read

#: The common name in the certificate that the API server shows to nodes.
CLIENT: Final = "kube-apiserver-kubelet-client"
#: A kubelet's; another one is taken when something on this machine has it at every address.
PORT: Final = 10250


class Logs(Protocol):
    """Where logs are found."""

    def find(self, namespace: str, pod: str, container: str, previous: bool) -> tuple[RunLog, Callable[[], bool]]:
        """The log, and whether its run is over. Raises NoLogError, LookupError (with a sentence) for what
        is not on this node."""


@contextlib.asynccontextmanager
async def serving(
    name: str, address: str, state: Path, authority: bytes, logs: Logs, now: Callable[[], float]
) -> AsyncIterator[int]:
    """Serve the logs on this address while entered; the port. `authority` is the cluster's, PEM."""
    application = web.Application(middlewares=[_only_the_api_server])
    server = _Server(logs, now)
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", server.container_logs)
    # logs that are being followed end with us
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        bound = _bound(address)
        await web.SockSite(runner, bound, ssl_context=_context(name, address, state, authority)).start()
        yield int(bound.getsockname()[1])
    finally:
        await runner.cleanup()


def _bound(address: str) -> socket.socket:
    for port in (PORT, 0):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
        except OSError as error:
            made.close()
            if not port or error.errno != errno.EADDRINUSE:
                raise
        else:
            return made
    raise AssertionError("the last attempt returns or raises")


def _context(name: str, address: str, state: Path, authority: bytes) -> ssl.SSLContext:
    own = Authority(f"{name} (node)", datetime.datetime.now(datetime.UTC)).issue(name, hosts=[name, address])
    file = state / "serving.pem"
    state.mkdir(parents=True, exist_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(own.certificate + own.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.decode())
    return context


@web.middleware
async def _only_the_api_server(request: web.Request, handler: Handler) -> web.StreamResponse:
    peer = request.transport.get_extra_info("peercert") if request.transport else None
    names = [value for part in (peer or {}).get("subject", ()) for key, value in part if key == "commonName"]
    if names != [CLIENT]:
        return web.Response(status=403, text=f"Only the API server ({CLIENT}) may ask this node.\n")
    return await handler(request)


class _Server:
    def __init__(self, logs: Logs, now: Callable[[], float]) -> None:
        self._logs = logs
        self._now = now

    async def container_logs(self, request: web.Request) -> web.StreamResponse:
        """GET /containerLogs/NAMESPACE/POD/CONTAINER."""
        where = request.match_info
        try:
            query = Query.parse(request.query, self._now())
            log, over = self._logs.find(where["namespace"], where["pod"], where["container"], query.previous)
        except LookupError as error:
            return web.Response(status=404, text=str(error.args[0]))
        except (NoLogError, BadQueryError) as error:
            return web.Response(status=400, text=str(error))
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):  # they have seen enough
            async for piece in read(log, query, over=over, now=self._now):
                await answer.write(piece)
            await answer.write_eof()
        return answer
