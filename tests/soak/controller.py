"""The controller's half that sidecars see: signed documents, and what it does about their answers."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.soak.facts import Facts, Push
from tests.soak.messages import Message, read_body, read_head
from tests.soak.pods import ADMIN_PORT, Pod

from coalmine.model import names, wire

_TERM: Final = 1
#: A push that takes longer has met a sidecar that was killed.
_PATIENCE: Final = 5.0


class Controller:
    """Pushes documents to sidecars. One push at a time to each of them."""

    def __init__(self, facts: Facts, folder: Path) -> None:
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        self._key = Ed25519PrivateKey.generate()
        (self.keys / "k1").write_bytes(base64.b64encode(self._key.public_key().public_bytes_raw()) + b"\n")
        self._facts = facts
        self._counter = 0
        self._nonces: dict[str, str] = {}
        self._connections: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.pushed = 0
        #: Rounds in which every sidecar took its document; counted by who pushes to all.
        self.rounds = 0
        #: Seconds that pushes took.
        self.slowest = 0.0

    async def push(self, pod: Pod, routing: wire.Routing) -> bool:
        """Send `routing`. False: nobody answered, which is right only while that sidecar is down."""
        for _ in range(3):
            self._counter += 1
            document = wire.Document(
                wire.Version(_TERM, self._counter), pod.uid, self._nonces.get(pod.uid, "unknown"), routing
            )
            push = Push(asyncio.get_running_loop().time(), routing)
            self._facts.pushes[pod.uid].append(push)
            try:
                async with asyncio.timeout(_PATIENCE):
                    status, answer = await self._put(pod, wire.encode(document))
            except (OSError, asyncio.IncompleteReadError):  # TimeoutError is one
                self.forget(pod)
                return False
            now = asyncio.get_running_loop().time()
            self.slowest = max(self.slowest, now - push.sent)
            if status == 200:
                push.acked = now
                self.pushed += 1
                return True
            self._facts.pushes[pod.uid].remove(push)
            if status != 409:
                raise AssertionError(f"a document was refused with {status}: {answer!r}")
            self._nonces[pod.uid] = wire.decode_answer(answer).nonce
        return False

    async def _put(self, pod: Pod, body: bytes) -> tuple[int, bytes]:
        signature = "k1:" + base64.b64encode(self._key.sign(body)).decode()
        head = (
            f"PUT /config HTTP/1.1\r\nHost: {pod.address}\r\n{names.SIGNATURE_HEADER}: {signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection = self._connections.get(pod.uid)
        if connection is None:
            connection = await asyncio.open_connection(pod.address, ADMIN_PORT)
            self._connections[pod.uid] = connection
        reader, writer = connection
        writer.write(head.encode() + body)
        answer = await read_head(reader)
        await read_body(reader, answer, until_close=True)
        if answer.closes:
            self.forget(pod)
        return answer.status, answer.body

    def forget(self, pod: Pod) -> None:
        """Close what is kept to this pod."""
        connection = self._connections.pop(pod.uid, None)
        if connection is not None:
            connection[1].close()


async def ask(pod: Pod, method: str, path: str) -> Message:
    """Ask the admin port of a pod, from that pod's own address."""
    reader, writer = await asyncio.open_connection(pod.address, ADMIN_PORT, local_addr=(pod.address, 0))
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {pod.address}\r\nConnection: close\r\n\r\n".encode())
        message = await read_head(reader)
        await read_body(reader, message, until_close=True)
        return message
    finally:
        writer.close()
