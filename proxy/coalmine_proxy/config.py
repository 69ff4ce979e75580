"""The configuration that is in force: which pushed document is accepted, and its copy on disk.

Order of the checks, cheapest and least trusting first: size, signature, syntax, pod, boot
(nonce), version. Nothing is parsed before its signature is verified. A document that is
accepted is applied in the same call, between two requests.

The copy lets a sidecar that was restarted go on before the controller has noticed. Its signature
and pod are verified again; its nonce is that of an earlier boot, which is right there
and only there. Its version is kept, so an older document is refused afterwards as before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coalmine.model import wire
from coalmine.model.errors import RemoteError
from coalmine_proxy.keys import Keys
from coalmine_proxy.log import log

_FILE: Final = "config"
#: The signature's line in the copy: a key id and 88 characters.
_MAX_SIGNATURE: Final = 512


class Configuration:
    """What has been applied, by which document."""

    def __init__(
        self,
        *,
        pod: str,
        nonce: str,
        keys: Keys,
        state: Path | None,
        apply: Callable[[wire.Routing], None],
    ) -> None:
        """`nonce` names this boot, `state` is the directory for the copy (None: keep none)."""
        self.pod = pod
        self.nonce = nonce
        self.applied: wire.Version | None = None
        self._keys = keys
        self._state = state
        self._apply = apply
        self._body = b""
        #: The applied document came from the copy, hence from an earlier boot.
        self._reloaded = False

    def offer(self, body: bytes, signature: str) -> tuple[int, str]:
        """Take a pushed document. Returns the HTTP status and a sentence.

        200 applied (or the very same is applied already), 400 malformed, 401 signature,
        409 for another pod, another boot, or older, 413 too large.
        """
        if len(body) > wire.MAX_DOCUMENT:
            return 413, f"The document is larger than {wire.MAX_DOCUMENT} bytes."
        if not self._keys.verify(signature, body):
            return 401, "The signature is missing, by a key that is not known here, or not of this body."
        try:
            document = wire.decode(body)
        except (RemoteError, ValueError) as error:
            return 400, str(error)
        if document.pod != self.pod:
            return 409, "The document is for another pod."
        if document.nonce != self.nonce:
            return 409, "The document is for another boot of this sidecar."
        if self.applied is not None:
            if document.version < self.applied:
                return 409, "A newer document is applied."
            if document.version == self.applied and not self._reloaded:
                if body == self._body:
                    return 200, "The document is applied already."
                return 409, "Another document of this version is applied."
        self._use(document, body)
        self._reloaded = False
        self._save(body, signature)
        return 200, "The document is applied."

    def reload(self) -> None:
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
            document = wire.decode(body)
        except (RemoteError, ValueError) as error:
            log("error", "the stored configuration is malformed; waiting for a push", error=str(error))
            return
        if document.pod != self.pod:
            log("error", "the stored configuration is for another pod; waiting for a push")
            return
        self._use(document, body)
        self._reloaded = True

    def _use(self, document: wire.Document, body: bytes) -> None:
        self._apply(document.routing)
        self.applied = document.version
        self._body = body
        log(
            "info",
            "configuration applied",
            term=document.version.term,
            counter=document.version.counter,
            arms={arm.name: [arm.share.percent, len(arm.endpoints)] for arm in document.routing.arms},
            close=document.routing.close,
            drain=document.routing.drain,
        )

    def _save(self, body: bytes, signature: str) -> None:
        """Replace the copy in one step. A failure costs the copy, not the configuration."""
        if self._state is None:
            return
        new = self._state / f".{_FILE}.new"
        try:
            new.write_bytes(signature.strip().encode("latin-1") + b"\n" + body)
            os.replace(new, self._state / _FILE)
        except OSError as error:
            log("error", "the configuration cannot be stored; a restart would lose it", error=str(error))
