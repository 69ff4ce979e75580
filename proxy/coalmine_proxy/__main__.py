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
from collections.abc import Mapping, Sequence
from dataclasses import replace

import uvloop

from coalmine.model import names
from coalmine.model.errors import SpecError
from coalmine_proxy import files
from coalmine_proxy.arguments import BIND, parse
from coalmine_proxy.log import bug, log
from coalmine_proxy.server import Sidecar
from coalmine_proxy.settings import Settings
from coalmine_proxy.workers import WorkersFailed


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the sidecar, or its ``drain``. Returns the exit status."""
    if argv and argv[0] == "drain":
        return _drain(argv[1:], environ)
    try:
        settings = parse(argv, environ)
    except (SpecError, OSError) as error:
        print(f"coalmine proxy: {error}", file=sys.stderr)
        return 2
    limits = files.within(settings.limits, files.as_many_as_allowed(), settings.workers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(replace(settings, limits=limits)))


async def _run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Returns the exit status."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.set_exception_handler(bug)
    # What exists now stays: the collector need not look at it again, and workers share it.
    gc.collect()
    gc.freeze()
    sidecar: Sidecar | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            sidecar = Sidecar(
                settings, clock=time.monotonic, random=random.random, nonce=secrets.token_hex(16), tasks=tasks
            )
            try:
                await sidecar.start()
            except OSError as error:
                log("error", "the ports cannot be opened", error=str(error))
                sidecar.kill()
                return 1
            gc.collect()
            gc.freeze()
            log("info", "started", port=sidecar.port, admin_port=sidecar.admin_port, ready=sidecar.admin.ready)
            await stop.wait()
            await sidecar.drain()
    except* WorkersFailed as group:
        log("error", "ending: workers cannot be kept", error="; ".join(str(error) for error in group.exceptions))
        status = 1
    else:
        status = 0
    finally:
        if sidecar is not None:
            sidecar.kill()
    return status


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
