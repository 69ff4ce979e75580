"""``coalmine proxy``: the only module here that reads arguments and the environment."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from coalmine.model import names, wire
from coalmine.model.errors import SpecError
from coalmine_proxy.log import log
from coalmine_proxy.server import Settings, Sidecar
from coalmine_proxy.static import load_static, parse_address

UID = "COALMINE_POD_UID"
IP = "COALMINE_POD_IP"
BIND = "COALMINE_BIND"


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the sidecar, or its ``drain``. Returns the exit status."""
    if argv and argv[0] == "drain":
        return _drain(argv[1:], environ)
    try:
        settings = parse(argv, environ)
    except (SpecError, OSError) as error:
        print(f"coalmine proxy: {error}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings))


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from arguments and environment. Raises SpecError naming what is missing."""
    arguments = _parser().parse_args(argv)
    bind = environ.get(BIND) or None
    listen = (bind, arguments.listen_port)
    admin = (bind, arguments.admin_port)
    if arguments.listen:
        listen = parse_address(arguments.listen, "--listen")
    if arguments.admin:
        admin = parse_address(arguments.admin, "--admin")
    if arguments.static:
        return Settings(
            listen=listen,
            admin=admin,
            own=None,
            pod="",
            routing=load_static(arguments.static),
            static=True,
            drain_seconds=arguments.drain_seconds,
        )
    uid, address = environ.get(UID, ""), environ.get(IP, "")
    if not uid or not address:
        raise SpecError(UID if not uid else IP, "is not set", "set it from the downward API, or give --static FILE")
    if arguments.app_port is None:
        raise SpecError("--app-port", "is missing", "give the port of the application, or --static FILE")
    return Settings(
        listen=listen,
        admin=admin,
        own=wire.Endpoint(address, arguments.app_port, uid, arguments.admin_port),
        pod=uid,
        canary=arguments.canary,
        state=arguments.state,
        keys=arguments.keys,
        routing=wire.Routing(local_paths=tuple(p.strip() for p in arguments.local_paths.split(",") if p.strip())),
        drain_seconds=arguments.drain_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coalmine proxy", description="The sidecar that splits requests.")
    add = parser.add_argument
    add("--listen-port", type=int, default=names.PROXY_PORT, help="port for requests (default %(default)s)")
    add("--admin-port", type=int, default=names.ADMIN_PORT, help="port for the controller (default %(default)s)")
    add("--app-port", type=int, help="port of the application in this pod")
    add("--state", type=Path, help="directory that outlives a restart of the container")
    add("--keys", type=Path, help="directory of public keys that may sign a configuration")
    add("--canary", action="store_true", help="not ready before it has a configuration")
    add("--local-paths", default="/metrics", help="comma-separated paths served by this pod (default %(default)s)")
    add("--drain-seconds", type=float, default=20.0, help="grace after SIGTERM (default %(default)s)")
    add("--listen", metavar="H:P", help="address and port for requests")
    add("--admin", metavar="H:P", help="address and port for the admin port")
    add("--static", type=Path, metavar="FILE", help="{stable: [h:p], canary: [h:p], weight: 20}")
    return parser


async def _run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Returns the exit status."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.set_exception_handler(_bug)
    async with asyncio.TaskGroup() as tasks:
        sidecar = Sidecar(
            settings, clock=time.monotonic, random=random.random, nonce=secrets.token_hex(16), tasks=tasks
        )
        try:
            await sidecar.start()
        except OSError as error:
            log("error", "the ports cannot be opened", error=str(error))
            return 1
        # What exists now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        log("info", "started", port=sidecar.port, admin_port=sidecar.admin_port, ready=sidecar.admin.ready)
        await stop.wait()
        await sidecar.drain()
    return 0


def _bug(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception left a callback of a connection: our bug. That connection is lost, the others are not."""
    error = context.get("exception")
    trace = traceback.format_exception(error) if isinstance(error, BaseException) else []
    log("error", "bug in a callback", message=context.get("message"), trace="".join(trace))


def _drain(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The preStop hook: begin to drain, then wait while Services still send requests here."""
    # Two megabytes that the sidecar itself has no use for.
    import http.client

    parser = argparse.ArgumentParser(prog="coalmine proxy drain", description="Begin to drain this pod's sidecar.")
    parser.add_argument("--admin-port", type=int, default=names.ADMIN_PORT)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args(argv)
    host = environ.get(BIND) or "127.0.0.1"
    # from the pod's own address, by which the admin port knows who may ask
    connection = http.client.HTTPConnection(host, arguments.admin_port, timeout=2.0, source_address=(host, 0))
    try:
        connection.request("POST", "/drain")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        # A hook that fails is logged by the kubelet and changes nothing: the pod ends all the same.
        print(f"coalmine proxy drain: {error}", file=sys.stderr)
    finally:
        connection.close()
    time.sleep(arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
