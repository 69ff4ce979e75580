"""The plain HTTP side: metrics, and what a kubelet asks. Nothing here is secret, and nothing is decided.

``/healthz``: the process runs. ``/readyz``: a review that is sent here is answered, over TLS that API servers trust.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import generate_latest

from coalmine_webhook.metrics import Metrics


def observing(metrics: Metrics, unready: Callable[[], str]) -> web.Application:
    """The routes; `unready` says why the process is not ready, "" when it is."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = unready()
        return web.Response(text=f"{reason}\n", status=503) if reason else web.Response(text="ok\n")

    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", expose)
    return app
