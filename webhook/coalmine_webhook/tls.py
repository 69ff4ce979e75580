"""The server's side of TLS: one context for the life of the process, and behind it the pair of the day.

A new pair is for connections that are made from then on; those that stand are left alone. Each pair has a context of
its own: OpenSSL's has one place for each kind of key, so that an RSA pair that is put into the one of an EC pair is
never served. Python reads a pair from files only: it gets one in memory, so that no key is ever on a disk, and none
is needed to write to.
"""

from __future__ import annotations

import os
import ssl

from coalmine_webhook.certificates import Pair


class Context:
    """`ssl` is what a server is started with, once there is a pair."""

    def __init__(self) -> None:
        self.ssl = _context()
        self._current = _context()
        # also called for a client that names no server, and before a certificate is chosen
        self.ssl.sni_callback = self._choose

    def use(self, pair: Pair) -> None:
        """Serve this pair from now on. Raises ValueError, and then the one before is still served."""
        context = _context()
        try:
            _load(context, pair)
        except ssl.SSLError as error:
            raise ValueError(f"the certificate cannot be served: {error.reason or error}") from error
        self._current = context

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _listening: ssl.SSLContext) -> None:
        connection.context = self._current


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
