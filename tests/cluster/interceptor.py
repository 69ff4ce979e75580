"""Stands between a controller and the API server, and kills the controller at an exact line.

A rule names a write. *Before*: the API server never sees it. *After*: the API server has carried it out, but the
controller never hears of it. Either way the controller is killed with -9 in between. Everything
else passes through unchanged, watches included.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

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
            kept = {k: v for k, v in upstream.headers.items() if k.lower() not in _HOP}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            with contextlib.suppress(ConnectionError):  # the controller was killed
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
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
