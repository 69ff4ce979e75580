"""Stands between a controller and the API server: kills the controller at an exact line, or brings chaos.

A rule names a write. *Before*: the API server never sees it. *After*: the API server has carried it out, but the
controller never hears of it. Either way the controller is killed with -9 in between. With `chaos`, what it
says happens to every request and watch. Everything else passes through unchanged, watches included.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from chaos import REFUSALS, Chaos, retold

Matches = Callable[[str, str, Any], bool]
_HOP = {
    "connection",
    "transfer-encoding",
    "content-length",
    "host",
    "keep-alive",
    "content-encoding",
    "accept-encoding",
}


@dataclass
class Rule:
    """Kill around the first write (method, path, body) that `matches`."""

    matches: Matches
    after: bool
    kill: Callable[[], None]
    fired: asyncio.Event = field(default_factory=asyncio.Event)


class Interceptor:
    """An HTTP server that passes everything on to `server`."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self.rule: Rule | None = None
        self.chaos: Chaos | None = None
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Interceptor]:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            self._session = session
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}"
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        body = await request.read()
        chaos = self.chaos
        watching = "watch" in request.query
        if chaos is not None:
            await chaos.hold_back()
            if (status := 410 if watching and chaos.expires() else chaos.refusal(request.method)) is not None:
                return refused(status)
        rule = self._rule_for(request, body)
        if rule is not None and not rule.after:
            self._fire(rule, request)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        async with self._session.request(
            request.method, f"{self._server}{request.raw_path}", data=body or None, headers=headers
        ) as upstream:
            if rule is not None:
                await upstream.read()
                self._fire(rule, request)
            if chaos is not None and not watching and (status := chaos.loss(request.method)) is not None:
                await upstream.read()
                return refused(status)
            kept = {k: v for k, v in upstream.headers.items() if k.lower() not in _HOP}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            chunks: AsyncIterable[bytes] = upstream.content.iter_any()
            if watching:
                chunks = retold(lines(upstream.content.iter_any()), lambda: self.chaos)
            with contextlib.suppress(ConnectionError):  # the controller was killed
                await response.prepare(request)
                async for chunk in chunks:
                    await response.write(chunk)
                if watching and request.transport is not None:
                    request.transport.abort()
                await response.write_eof()
            return response

    def _rule_for(self, request: web.Request, body: bytes) -> Rule | None:
        rule = self.rule
        if rule is None or request.method == "GET" or rule.fired.is_set():
            return None
        try:
            parsed = json.loads(body) if body else None
        except ValueError:
            parsed = None
        return rule if rule.matches(request.method, request.path, parsed) else None

    def _fire(self, rule: Rule, request: web.Request) -> None:
        rule.kill()
        rule.fired.set()
        if request.transport is not None:
            request.transport.abort()
        raise web.HTTPServiceUnavailable


def refused(status: int) -> web.Response:
    """An error as an API server answers it."""
    reason, message = REFUSALS.get(status, ("Expired", "too old resource version"))
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    headers = {"Retry-After": "1"} if status == 429 else None
    return web.json_response({**body, "code": status}, status=status, headers=headers)


async def lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The whole lines of a stream."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
