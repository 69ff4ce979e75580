"""``coalmine webhook``: reads the command line, starts the server, stops on a signal.

It says on its log ``listening`` with the address once it answers, so that whoever starts it with
port 0 learns the port.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from os import environ as os_environ
from pathlib import Path

import uvloop
from aiohttp import web

from coalmine.kube.client import Client
from coalmine.model.errors import RemoteError
from coalmine_webhook import certificates, journal
from coalmine_webhook.server import Metrics, Reviews, application, tls_context
from coalmine_webhook.sidecar import Kind, Settings

_log = logging.getLogger("coalmine_webhook")


def parser() -> argparse.ArgumentParser:
    """The options of ``coalmine webhook``."""
    result = argparse.ArgumentParser(prog="coalmine webhook", description="Serve Coalmine's admission webhook.")
    result.add_argument("--listen", default="0.0.0.0:9443", metavar="HOST:PORT")
    result.add_argument(
        "--certs", required=True, type=Path, metavar="DIR", help="ca.crt, tls.crt and keys; made when absent"
    )
    result.add_argument("--name", action="append", default=[], metavar="DNS", help="a further name of the certificate")
    result.add_argument("--address", action="append", default=[], metavar="IP", help="a further address of it")
    result.add_argument(
        "--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, the pod's own account, ~/.kube/config"
    )
    result.add_argument("--image", help="the sidecar's image; default: $COALMINE_IMAGE")
    result.add_argument("--sidecar", choices=[k.value for k in Kind], default=Kind.NATIVE.value)
    result.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    return result


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT. The exit status is 0, or 2 for what is wrong with the options."""
    arguments = parser().parse_args(argv)
    journal.start(arguments.log_level)
    image = arguments.image or environ.get("COALMINE_IMAGE")
    try:
        if not image:
            raise ValueError("no sidecar image: write --image IMAGE")
        host, port = _endpoint(arguments.listen)
        addresses = sorted({str(ip_address(a)) for a in arguments.address} | _concrete(host))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(arguments, host, port, addresses, Settings(image, Kind(arguments.sidecar))))
    except (ValueError, OSError, RemoteError) as error:
        print(f"coalmine webhook: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(
    arguments: argparse.Namespace, host: str, port: int, addresses: Sequence[str], settings: Settings
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    names = (*certificates.service_names(), *arguments.name)
    files = certificates.ensure(arguments.certs, names, addresses, datetime.now(UTC))
    async with await Client.connect(arguments.kubeconfig) as client:
        runner = web.AppRunner(application(Reviews(client, settings), Metrics()), access_log=None, shutdown_timeout=5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, ssl_context=tls_context(str(files.certificate), str(files.key)))
            await site.start()
            for bound in runner.addresses:
                _log.info("listening", extra={"fields": {"address": f"{bound[0]}:{bound[1]}"}})
            await stop.wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await runner.cleanup()


def _endpoint(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"--listen {text!r}: write HOST:PORT, for example 0.0.0.0:9443")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  what an empty host means


def _concrete(host: str) -> set[str]:
    """The address of --listen belongs on the certificate, unless it stands for all."""
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        return set() if address.is_unspecified else {str(address)}
    return set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os_environ))
