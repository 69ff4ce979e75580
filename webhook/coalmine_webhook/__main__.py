"""``coalmine webhook``: reads the command line, starts the servers, ends on a signal.

It says on its log ``listening`` with the address once it answers reviews, so that whoever starts it with
port 0 learns the port. On SIGTERM it is not ready any more and goes on serving for a while: API servers keep
connections, and endpoints lag behind. What is in flight after that is finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from os import environ as os_environ
from typing import Final

import uvloop

from coalmine.kube.client import Client
from coalmine.model.errors import RemoteError
from coalmine_webhook import journal, options, versions
from coalmine_webhook.health import observing
from coalmine_webhook.issuer import Issuer
from coalmine_webhook.listening import served
from coalmine_webhook.metrics import Metrics
from coalmine_webhook.mounted import Mounted
from coalmine_webhook.options import Options
from coalmine_webhook.server import InFlight, Reviews, application
from coalmine_webhook.sidecar import Settings
from coalmine_webhook.tls import Context

_log = logging.getLogger("coalmine_webhook")

#: Seconds for the reviews in flight: the API server waits 5 for each.
_LAST_REVIEWS: Final = 6.0
#: Seconds between two questions for the API server's version, at most.
_LONGEST_WAIT: Final = 10.0


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT. The exit status is 0, or 2 for what is wrong with the options."""
    try:
        chosen = options.read(argv, environ)
        journal.start(chosen.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(chosen))
    except (ValueError, OSError, RemoteError) as error:
        print(f"coalmine webhook: {error}", file=sys.stderr)
        return 2
    return 0


async def _run(chosen: Options) -> None:
    """Until a signal. A loop that dies takes the process with it."""
    ending, hurry = asyncio.Event(), asyncio.Event()

    def end() -> None:
        (hurry if ending.is_set() else ending).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    async with await Client.connect(chosen.kubeconfig) as client:
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(_work(chosen, client, ending))
                stop = group.create_task(_after(ending, hurry, chosen.shutdown_delay, work))
                work.add_done_callback(lambda _: stop.cancel())
        except BaseExceptionGroup as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from errors


async def _after(ending: asyncio.Event, hurry: asyncio.Event, delay: float, work: asyncio.Task[None]) -> None:
    await ending.wait()
    _log.info("ending", extra={"fields": {"after": delay}})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await hurry.wait()
    work.cancel()


async def _work(chosen: Options, client: Client, ending: asyncio.Event) -> None:
    """Until cancelled."""
    metrics, tls = Metrics(), Context()
    async with asyncio.TaskGroup() as group:
        source = _source(chosen, client, tls, metrics)
        listening = False

        def unready() -> str:
            if ending.is_set():
                return "ending"
            return source.unready() or ("" if listening else "not listening yet")

        async with served(observing(metrics, unready), chosen.metrics_listen):
            group.create_task(source.run())
            settings = await _settings(chosen, client)
            await source.loaded.wait()
            in_flight = InFlight()
            app = application(Reviews(client, settings), metrics, in_flight, ending=ending.is_set)
            last = partial(in_flight.none, _LAST_REVIEWS)
            async with served(app, chosen.listen, tls=tls.ssl, finish=last) as addresses:
                for host, port in addresses:
                    _log.info("listening", extra={"fields": {"address": f"{host}:{port}"}})
                listening = True
                # what is here now stays: a full collection that walks all of it holds up every review for tens of
                # milliseconds
                gc.collect()
                gc.freeze()
                await asyncio.Event().wait()


def _source(chosen: Options, client: Client, tls: Context, metrics: Metrics) -> Issuer | Mounted:
    if chosen.certs is not None:
        return Mounted(chosen.certs, tls.use, metrics)
    return Issuer(
        client,
        chosen.namespace,
        chosen.certs_secret,
        chosen.mint,
        tls.use,
        metrics,
        lambda: datetime.now(UTC),
        chosen.settle,
    )


async def _settings(chosen: Options, client: Client) -> Settings:
    """Asks the API server until it answers: a kind that its nodes cannot run would keep pods from starting."""
    if chosen.kind_known:
        return chosen.sidecar
    wait = 0.5
    while True:
        try:
            kind = versions.kind_for(await client.raw("GET", "/version"))
        except RemoteError as error:
            _log.warning("the API server's version is not known yet: %s", error)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        else:
            _log.info("sidecars", extra={"fields": {"kind": kind.value}})
            return dataclasses.replace(chosen.sidecar, kind=kind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os_environ))
