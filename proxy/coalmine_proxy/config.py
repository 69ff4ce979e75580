"""The configuration that is in force: which pushed document is accepted, and its copy on disk.

Order of the checks, cheapest and least trusting first: size, signature, syntax, pod, boot
(nonce), version. Nothing is parsed before its signature is verified.

Documents are taken one after the other, as they come, each to its end: it is compared with what the one
before left. A large one is read and made ready in short turns of the loop; it takes hold as a whole,
between two requests. One that is refused at any point has changed nothing. It is applied whether or not its
sender still listens, and during a drain as at any other time.

The copy lets a sidecar that was restarted go on before the controller has noticed. Its signature
and pod are verified again; its nonce is that of an earlier boot, which is right there
and only there. Its version is kept, so an older document is refused afterwards as before.
The copy is written by a thread, as a disk may stop whoever writes for as long as it likes. A push is answered
when it is stored; the next one is not kept waiting for that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from coalmine.model import wire
from coalmine.model.errors import RemoteError
from coalmine_proxy.keys import Keys
from coalmine_proxy.log import log
from coalmine_proxy.turns import in_turns

_FILE: Final = "config"
#: The signature's line in the copy: a key id and 88 characters.
_MAX_SIGNATURE: Final = 512


#: Has a routing used, which stands in the document given; calls the function in the same step in which it takes hold.
Apply = Callable[[wire.Routing, bytes, Callable[[], None]], Coroutine[Any, Any, None]]


class Configuration:
    """What has been applied, by which document."""

    def __init__(
        self,
        *,
        pod: str,
        nonce: str,
        keys: Keys,
        state: Path | None,
        clock: Callable[[], float],
        apply: Apply,
        known: Callable[[wire.Endpoint], wire.Endpoint],
    ) -> None:
        """`nonce` names this boot, `state` is the directory for the copy (None: keep none), `known` finds the object
        that an endpoint has already.
        """
        self.pod = pod
        self.nonce = nonce
        self.applied: wire.Version | None = None
        self._keys = keys
        self._state = state
        self._clock = clock
        self._apply = apply
        self._known = known
        self._body = b""
        self._signature = ""
        #: The applied document came from the copy, hence from an earlier boot.
        self._reloaded = False
        #: Held by whoever has a document read and applied, and by whoever has one stored.
        self._applying = asyncio.Lock()
        self._storing = asyncio.Lock()
        #: What the copy says, or would if it could be written.
        self._stored: wire.Version | None = None

    async def offer(self, body: bytes, signature: str) -> tuple[int, str]:
        """Take a pushed document. Returns the HTTP status and a sentence.

        200 applied (or the very same is applied already), 400 malformed, 401 signature,
        409 for another pod, another boot, or older, 413 too large.
        """
        if len(body) > wire.MAX_DOCUMENT:
            return 413, f"The document is larger than {wire.MAX_DOCUMENT} bytes."
        if not self._keys.verify(signature, body):
            return 401, "The signature is missing, by a key that is not known here, or not of this body."
        # The signature of a megabyte takes two milliseconds: a turn of its own.
        await asyncio.sleep(0)
        async with self._applying:
            try:
                document = await self._read(body)
            except (RemoteError, ValueError) as error:
                return 400, str(error)
            if document.pod != self.pod:
                return 409, "The document is for another pod."
            if document.nonce != self.nonce:
                return 409, "The document is for another boot of this sidecar."
            # What a key has signed that was taken away counts as nothing: its version is nobody's, however high.
            if self.applied is not None and self._keys.knows(self._signature):
                if document.version < self.applied:
                    return 409, "A newer document is applied."
                if document.version == self.applied and not self._reloaded:
                    if body == self._body:
                        return 200, "The document is applied already."
                    return 409, "Another document of this version is applied."
            await self._use(document, body, signature)
            self._reloaded = False
        await self._store()
        return 200, "The document is applied."

    async def reload(self) -> None:
        """Apply the copy of an earlier boot, if there is a good one."""
        if self._state is None:
            return
        try:
            with (self._state / _FILE).open("rb") as file:
                stored = file.read(wire.MAX_DOCUMENT + _MAX_SIGNATURE)
        except FileNotFoundError:
            return
        except OSError as error:
            log("error", "state cannot be read", error=str(error))
            return
        signature, _, body = stored.partition(b"\n")
        try:
            if not self._keys.verify(signature.decode("latin-1"), body):
                log("error", "the stored configuration is not signed by a known key; waiting for a push")
                return
            document = await self._read(body)
        except (RemoteError, ValueError) as error:
            log("error", "the stored configuration is malformed; waiting for a push", error=str(error))
            return
        if document.pod != self.pod:
            log("error", "the stored configuration is for another pod; waiting for a push")
            return
        await self._use(document, body, signature.decode("latin-1"))
        self._stored = document.version
        self._reloaded = True

    async def _read(self, body: bytes) -> wire.Document:
        return await in_turns(wire.decoding(body, self._known), self._clock)

    async def _use(self, document: wire.Document, body: bytes, signature: str) -> None:
        def holds() -> None:
            self.applied = document.version
            self._body = body
            self._signature = signature

        await self._apply(document.routing, body, holds)
        log(
            "info",
            "configuration applied",
            term=document.version.term,
            counter=document.version.counter,
            arms={arm.name: [arm.share.percent, len(arm.endpoints)] for arm in document.routing.arms},
            close=document.routing.close,
            drain=document.routing.drain,
        )

    async def _store(self) -> None:
        """Have the document in force stored, which may be newer than the one that was just applied."""
        if self._state is None:
            return
        async with self._storing:
            if self._stored == self.applied:
                return
            self._stored = self.applied
            # A thread of its own for each copy: none is left over when the process forks.
            thread = ThreadPoolExecutor(1)
            writing = asyncio.get_running_loop().run_in_executor(
                thread, _write, self._state, self._body, self._signature
            )
            thread.shutdown(wait=False)
            try:
                await writing
            except OSError as error:
                log("error", "the configuration cannot be stored; a restart would lose it", error=str(error))


def _write(folder: Path, body: bytes, signature: str) -> None:
    """Replace the copy in one step. A failure costs the copy, not the configuration. Raises OSError."""
    new = folder / f".{_FILE}.new"
    new.write_bytes(signature.strip().encode("latin-1") + b"\n" + body)
    os.replace(new, folder / _FILE)
