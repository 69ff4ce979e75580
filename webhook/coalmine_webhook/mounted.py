"""Certificates that somebody else makes: files of a directory, as cert-manager's Secret is mounted.

Rules: nothing is ever written here. The files are read every few seconds and taken when they have changed and are
whole: a kubelet changes them in its own time, up to a minute or two after the Secret, and who copies them by hand may
be between the certificate and its key. What cannot be used is told, counted, and tried again; the pair before stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coalmine_webhook.certificates import Pair, authorities, expiry, is_whole
from coalmine_webhook.metrics import AUTHORITY, SERVING, Metrics

_log = logging.getLogger(__name__)

#: Seconds between two looks: three small files in memory.
POLL: Final = 10.0
#: Bytes of a file that are read: a chain of certificates, or a key, is some KiB.
_LARGEST: Final = 64 << 10


class Mounted:
    """The files ``tls.crt``, ``tls.key`` and, for the metrics alone, ``ca.crt`` of a directory."""

    def __init__(self, directory: Path, use: Callable[[Pair], None], metrics: Metrics) -> None:
        self._directory = directory
        self._use = use
        self._metrics = metrics
        self._served: Pair | None = None
        self.loaded = asyncio.Event()

    def unready(self) -> str:
        """Why there is nothing to serve; "" once there is."""
        return "" if self._served is not None else f"no certificate in {self._directory} yet"

    def look(self) -> None:
        """Take what has changed. Raises ValueError with what is wrong with the files."""
        pair = Pair(self._read("tls.crt"), self._read("tls.key"))
        if pair != self._served:
            if not is_whole(pair):
                raise ValueError(f"{self._directory}: tls.key is not the key of tls.crt")
            self._use(pair)
            self._served = pair
            self._metrics.renewals.inc()
            self._metrics.expires(SERVING, expiry(pair.certificate))
            _log.info("serving a certificate", extra={"fields": {"until": expiry(pair.certificate).isoformat()}})
            self.loaded.set()
        found = authorities(self._read("ca.crt", needed=False))
        if found:
            self._metrics.expires(AUTHORITY, min(expiry(pem) for pem in found))

    async def run(self) -> None:
        """Look for ever. Cancelled to end."""
        while True:
            try:
                self.look()
            except ValueError as error:
                self._metrics.failures.inc()
                _log.warning("certificates: %s", error)
            await asyncio.sleep(POLL if self.loaded.is_set() else 1.0)

    def _read(self, name: str, *, needed: bool = True) -> bytes:
        try:
            with (self._directory / name).open("rb") as file:
                return file.read(_LARGEST)
        except FileNotFoundError:
            if not needed:
                return b""
            raise ValueError(f"{self._directory} has no {name}: mount the Secret with the certificate there") from None
        except OSError as error:
            raise ValueError(f"{self._directory / name} cannot be read: {error.strerror}") from error
