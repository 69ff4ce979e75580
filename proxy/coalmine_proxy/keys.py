"""The public keys that may sign a configuration: a directory with one file a key.

The directory is a mounted ConfigMap: it may be empty at first, and its files change under us
when keys turn. So a file is looked at again whenever its time of change differs. The file's
name is the key's id, its content base64 of the raw 32 bytes of an Ed25519 key.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

#: A key id becomes a file name: no slash, no leading dot, as Kubernetes' ConfigMap keys.
_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}")
#: 44 characters and a line end; more is no key.
_MAX_FILE: Final = 256
_MAX_KEYS: Final = 64


class Keys:
    """Verifies signatures with the keys of a directory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._known: dict[str, tuple[int, Ed25519PublicKey]] = {}

    def verify(self, header: str, body: bytes) -> bool:
        """Is `header` (``<key id>:<base64 signature>``) a good signature of `body`?"""
        key_id, _, encoded = header.strip().partition(":")
        key = self._key(key_id)
        if key is None:
            return False
        try:
            key.verify(base64.b64decode(encoded, validate=True), body)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def knows(self, header: str) -> bool:
        """Is the key that made `header` still there?"""
        return self._key(header.strip().partition(":")[0]) is not None

    def _key(self, key_id: str) -> Ed25519PublicKey | None:
        if self._directory is None or not _ID.fullmatch(key_id):
            return None
        path = self._directory / key_id
        try:
            changed = path.stat().st_mtime_ns
            known = self._known.get(key_id)
            if known is not None and known[0] == changed:
                return known[1]
            with path.open("rb") as file:
                text = file.read(_MAX_FILE)
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
        except (OSError, binascii.Error, ValueError):
            # A key that was taken away or cannot be read signs nothing.
            self._known.pop(key_id, None)
            return None
        if len(self._known) >= _MAX_KEYS:
            self._known.clear()
        self._known[key_id] = (changed, key)
        return key
