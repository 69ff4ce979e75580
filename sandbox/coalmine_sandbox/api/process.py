"""The control plane as one process: the API server and the native controllers.

It may be killed at any moment and started again on the same state: it goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import dataclass
from pathlib import Path

from coalmine_sandbox.api import crds
from coalmine_sandbox.api.admission.chain import Admission
from coalmine_sandbox.api.assembly import Api
from coalmine_sandbox.api.authentication import Tokens
from coalmine_sandbox.api.authorization import Rbac
from coalmine_sandbox.api.bootstrap import bootstrap
from coalmine_sandbox.api.journal import Journal
from coalmine_sandbox.api.server import Server
from coalmine_sandbox.api.store import Store
from coalmine_sandbox.native.manager import Manager

_log = logging.getLogger(__name__)

#: The user that the API server itself writes as.
_OWN = "system:apiserver"


@dataclass(frozen=True, slots=True)
class Options:
    """`pki` holds ca.crt, apiserver.crt, apiserver.key and sa.key; `services` is the range of Services' addresses."""

    address: str
    port: int
    pki: Path
    services: str
    state: Path


async def run(options: Options) -> None:
    """Run until cancelled. Raises OSError, JournalError, and what a controller dies of."""
    chance = random.SystemRandom()
    journal = Journal(options.state)
    store = Store(journal)
    admission = Admission(store, chance)
    tokens = Tokens(store, (options.pki / "sa.key").read_bytes(), time.time, chance)
    api = Api(
        store,
        admission,
        tokens,
        Rbac(store),
        crds.judge(time.time),
        services=options.services,
        address=f"{options.address}:{options.port}",
        clock=time.time,
        chance=chance,
        pki=options.pki,
    )
    server = Server(api.handler, tokens, options.pki)
    try:
        await bootstrap(api.connect(_OWN), service=api.allocation.first, address=options.address, port=options.port)
        port = await server.start(options.address, options.port)
        _log.info("serving on %s:%d, resourceVersion %d", options.address, port, store.version)
        async with asyncio.TaskGroup() as group:
            authority = (options.pki / "ca.crt").read_text()
            group.create_task(Manager(api.connect, time.time, chance, authority).run())
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await server.stop()
        await api.close()
        await admission.close()
        journal.close()
