"""`coalmine controller`: reads the command line, competes for the Lease, works while it leads."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, disable_created_metrics

from coalmine.kube.client import Client
from coalmine.kube.lease import Elector, Timing
from coalmine.model.errors import RemoteError
from coalmine.model.names import LEASE, SYSTEM_NAMESPACE
from coalmine_controller.analysis.providers import open_session
from coalmine_controller.analysis.settings.prometheus import is_address
from coalmine_controller.connect_to import ConnectTo, Resolver
from coalmine_controller.health import Health
from coalmine_controller.loop import Controller, Surroundings
from coalmine_controller.metrics import Metrics
from coalmine_controller.rotation_plan import MAX_AGE


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until SIGTERM (exit status 0) or until the Lease is lost (1)."""
    parser = argparse.ArgumentParser(prog="coalmine controller", description=__doc__)
    parser.add_argument("--kubeconfig", help="default: the pod's service account, or kubectl's rules")
    parser.add_argument("--context", help="context of the kubeconfig")
    parser.add_argument("--identity", default=environ.get("POD_NAME") or socket.gethostname(), help="name in the Lease")
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve /metrics, /healthz and /readyz here")
    parser.add_argument(
        "--connect-to",
        type=Path,
        metavar="FILE",
        help="where analyses reach hosts, before DNS (curl's connect-to lines)",
    )
    parser.add_argument(
        "--prometheus-address",
        default=environ.get("COALMINE_PROMETHEUS_ADDRESS", ""),
        metavar="URL",
        help="where metrics with the provider prometheus are asked that name no address",
    )
    parser.add_argument("--lease-duration", type=float, default=15.0, metavar="SECONDS")
    parser.add_argument("--renew-deadline", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--retry-period", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument(
        "--key-age",
        type=float,
        default=MAX_AGE / 86_400,
        metavar="DAYS",
        help="how long a key signs configurations before the next one follows it; 0: until a person asks",
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning"))
    args = parser.parse_args(argv)
    if args.prometheus_address and not is_address(args.prometheus_address):
        parser.error(f"--prometheus-address {args.prometheus_address!r}: write for example http://prometheus:9090")
    if not args.retry_period < args.renew_deadline < args.lease_duration:
        parser.error("--retry-period < --renew-deadline < --lease-duration must hold")
    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        return uvloop.run(_run(args))
    except RemoteError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  a sentence, not a traceback
        return 1


async def _run(args: argparse.Namespace) -> int:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody asks for
    metrics = Metrics()
    timing = Timing(args.lease_duration, args.renew_deadline, args.retry_period)
    # a name of its own for every start: one that was killed cannot be taken for its successor
    identity = f"{args.identity}-{secrets.token_hex(4)}"
    key_age = args.key_age * 86_400.0
    given = Surroundings(
        identity, time.time, lambda: secrets.token_hex(8), lambda: secrets.token_bytes(32), key_age=key_age
    )
    given = replace(given, prometheus=args.prometheus_address)
    if args.connect_to is not None:
        connect_to = ConnectTo(args.connect_to)
        given = replace(given, sessions=lambda: open_session(Resolver(connect_to)))
    timeout = aiohttp.ClientTimeout(total=None)
    health = Health(time.monotonic, 2 * args.lease_duration, metrics.called)
    # a push goes to a pod by its address: never through a proxy of the environment
    async with (
        await Client.connect(args.kubeconfig, args.context, observe=health.called) as client,
        aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
        _serving(args.listen, metrics, health),
    ):
        controller = Controller(client, session, metrics, given)
        elector = Elector(client, SYSTEM_NAMESPACE, LEASE, identity, timing, wall=time.time, monotonic=time.monotonic)

        async def work(term: int) -> None:
            metrics.leading.set(1)
            await controller.run(term)

        leading = asyncio.ensure_future(elector.lead(work))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leading.cancel)
        try:
            await leading
        except asyncio.CancelledError:
            return 0
    return 1


class _serving:
    """Serves /metrics, /healthz and /readyz while it is entered; nothing without an address."""

    def __init__(self, address: str | None, metrics: Metrics, health: Health) -> None:
        self._address = address
        self._metrics = metrics
        self._health = health
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> None:
        if self._address is None:
            return
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host, _, port = self._address.rpartition(":")
        await web.TCPSite(self._runner, host.strip("[]") or None, int(port)).start()

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._health.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the API server has not answered lately\n")

    async def _scrape(self, _: web.Request) -> web.Response:
        page = await self._metrics.page()
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
