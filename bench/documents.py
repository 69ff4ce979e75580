"""Signed configuration documents of the size that a small rollout has, and of the largest allowed."""

from __future__ import annotations

import base64
import http.client
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.origin import PEERS, uid
from bench.processes import HOST, BenchError
from coalmine.model import names, wire
from coalmine.model.errors import RemoteError
from coalmine.model.weights import Weight

POD: Final = "00000000-0000-4000-8000-000000000000"
_KEY: Final = "bench"
#: Stable, control and canary of a rollout with 30 pods.
_SIZES: Final = (14, 8, 8)
#: Left free of the largest size, so that a longer number does not exceed it.
_ROOM: Final = 512


class Signer:
    """A key pair; the public half lies in a directory as the sidecar reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = Ed25519PrivateKey.generate()
        public = base64.b64encode(self._key.public_key().public_bytes_raw())
        folder.mkdir(exist_ok=True)
        (folder / _KEY).write_bytes(public + b"\n")

    def sign(self, body: bytes) -> str:
        """The header that goes with a body."""
        return f"{_KEY}:{base64.b64encode(self._key.sign(body)).decode()}"


def routing(number: int, port: int, large: bool) -> wire.Routing:
    """Three arms over the origin's 30 addresses; each number has other weights, as each step has.

    `large` adds endpoints to an arm that gets no request, up to the largest document: they cost what
    endpoints cost in a document, and need nobody to answer.
    """
    canary = 500 + 100 * (number % 40)
    shares = (10_000 - 2 * canary, canary, canary)
    arms, first = [], 0
    for name, share, size in zip((wire.STABLE, wire.CONTROL, wire.CANARY), shares, _SIZES, strict=True):
        endpoints = [wire.Endpoint(a, port, uid(a), port) for a in PEERS[first : first + size]]
        arms.append(wire.Arm(name, Weight(share), tuple(endpoints)))
        first += size
    if large:
        arms.append(wire.Arm("spare", Weight(0), _filling(port)))
    return wire.Routing(arms=tuple(arms))


def document(number: int, nonce: str, port: int, large: bool = False) -> bytes:
    """The bytes of the `number`-th document for a boot of the sidecar `POD`."""
    return wire.encode(wire.Document(wire.Version(1, number), POD, nonce, routing(number, port, large)))


def _filling(port: int) -> tuple[wire.Endpoint, ...]:
    """As many endpoints as fit beside the usual ones."""
    used = len(document(0, "0" * 32, port)) + _ROOM
    found: list[wire.Endpoint] = []
    while True:
        i = len(found)
        address = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"
        endpoint = wire.Endpoint(address, port, uid(address), 15021)
        # its JSON: four keys, quotes, a comma
        used += len(address) + len(endpoint.uid) + len(str(port)) + 5 + len('{"address":"","port":,"uid":"","admin":},')
        if used > wire.MAX_DOCUMENT:
            return tuple(found)
        found.append(endpoint)


def nonce(admin: int, signer: Signer, port: int) -> str:
    """The nonce of the sidecar's boot: it answers a document for another boot with it. Raises BenchError."""
    status, body = push(admin, document(1, "none", port), signer)
    if status != 409:
        raise BenchError(f"the sidecar answered {status} to a document for another boot: {body[:200]!r}")
    try:
        return wire.decode_answer(body).nonce
    except RemoteError as error:
        raise BenchError(str(error)) from error


def push(admin: int, body: bytes, signer: Signer) -> tuple[int, bytes]:
    """Send one document; the status and the answer. Raises OSError and HTTPException."""
    connection = http.client.HTTPConnection(HOST, admin, timeout=5)
    connection.request("PUT", "/config", body, {names.SIGNATURE_HEADER: signer.sign(body)})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found
