"""The server's side of TLS: one context for the life of the process, whose pair can be changed.

A new pair is for connections that are made from then on; those that stand are left alone. Python reads a pair
from files only: it gets one in memory, so that no key is ever on a disk, and none is needed to write to.
"""

from __future__ import annotations

import os
import ssl

from coalmine_webhook.certificates import Pair


class Context:
    """`ssl` is what a server is started with, once there is a pair."""

    def __init__(self) -> None:
        self.ssl = _context()

    def use(self, pair: Pair) -> None:
        """Serve this pair from now on. Raises ValueError, and then the one before is still served."""
        try:
            _load(_context(), pair)  # elsewhere first: one that fails half-way leaves a certificate without its key
        except ssl.SSLError as error:
            raise ValueError(f"the certificate cannot be served: {error.reason or error}") from error
        _load(self.ssl, pair)


def _context() -> ssl.SSLContext:
    """TLS 1.2 and later."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    with os.fdopen(os.memfd_create("serving", os.MFD_CLOEXEC), "wb") as file:
        file.write(pair.certificate.strip() + b"\n" + pair.key.strip() + b"\n")
        file.flush()
        # a password, as one that is missing would be asked for on a terminal
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password="")
