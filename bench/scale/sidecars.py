"""The sidecars of all pods, as one server: each connection's own address tells which pod it is for.

It answers as a sidecar that accepts: with the nonce that it wants at the first push, then with the version that it was
told. It verifies nothing, and notes when it heard of which weight.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

_NONCE: Final = "bench"
_COUNTERS: Final = {
    name: {"requests": [0, 0, 0, 0, 0], "failures": [0] * 6, "latency": [0] * 16, "latencyMs": 0.0, "pinned": 0}
    for name in ("stable", "control", "canary")
}


@dataclass(slots=True)
class Heard:
    """One weight of one Deployment: when the first push came, and when each pod's answer left (monotonic seconds)."""

    first: float
    answered: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Sidecars:
    """`pods`: by address the pod's uid and its Deployment."""

    pods: dict[str, tuple[str, str]] = field(default_factory=dict)
    heard: dict[tuple[str, float], Heard] = field(default_factory=dict)
    configured: set[str] = field(default_factory=set)
    pushes: int = 0
    on_configured: Callable[[str], None] = lambda uid: None

    def answer(self, address: str, body: bytes) -> tuple[int, bytes]:
        """The answer to one push."""
        now = time.monotonic()
        self.pushes += 1
        document = json.loads(body)
        uid, deployment = self.pods.get(address, ("", ""))
        fits = document["pod"] == uid and document["nonce"] == _NONCE
        applied = {"term": document["term"], "counter": document["counter"]} if fits else None
        if fits:
            weight = sum((arm["share"] for arm in document["arms"] if arm["name"] == "canary"), 0.0)
            self.heard.setdefault((deployment, weight), Heard(now)).answered.setdefault(uid, now)
            if uid not in self.configured:
                self.configured.add(uid)
                self.on_configured(uid)
        told: dict[str, Any] = {"schema": 2, "pod": uid, "nonce": _NONCE, "applied": applied, "ready": True}
        return (200 if fits else 409), json.dumps({**told, "counters": _COUNTERS}).encode()


class _Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as the controller's client speaks."""

    def __init__(self, sidecars: Sidecars) -> None:
        self._sidecars = sidecars
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        self._address = str(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            status, answer = self._sidecars.answer(self._address, body)
            reason = "OK" if status == 200 else "Conflict"
            head_line = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
            self._transport.write(f"{head_line}content-length: {len(answer)}\r\n\r\n".encode() + answer)


async def serve(sidecars: Sidecars, port: int) -> asyncio.Server:
    """Listen for all pods."""
    return await asyncio.get_running_loop().create_server(
        lambda: _Connection(sidecars),
        "0.0.0.0",  # noqa: S104  in namespaces of its own
        port,
        backlog=4096,
    )
