"""Asking a pod who it is, before a new connection carries requests to it.

A pod's address may belong to another pod a moment later. So a new connection to a peer needs its
admin port's word, under a second old, that the uid is still the expected one. Questions that are
asked at the same time share one answer. When the answer is wrong or missing, every
connection opened so far is in doubt and is not used again.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, cast

from coalmine_proxy.answer import parse_response
from coalmine_proxy.head import END, Malformed
from coalmine_proxy.limits import Limits
from coalmine_proxy.pool import Peer

if TYPE_CHECKING:
    from coalmine_proxy.service import Service
    from coalmine_proxy.upstream import Upstream

#: An identity is a short head and a uid; whoever sends more is not a sidecar.
_MAX_ANSWER = 4096


class Question(asyncio.Protocol):
    """One ``GET /identity``. `answer` becomes the uid, or empty when there was no good answer."""

    def __init__(self, host: str, limits: Limits, answer: asyncio.Future[str]) -> None:
        self._host = host
        self._limits = limits
        self._answer = answer
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        request = f"GET /identity HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n"
        transport.write(request.encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _MAX_ANSWER:
            self._settle("")
            return
        end = self._data.find(END)
        if end < 0:
            return
        try:
            response = parse_response(self._data[:end], b"GET", self._limits)
        except Malformed:
            self._settle("")
            return
        body = self._data[end + 4 :]
        if response.status != 200 or not 0 < response.length <= _MAX_ANSWER:
            self._settle("")
        elif len(body) >= response.length:
            self._settle(_uid(body[: response.length]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle("")

    def _settle(self, uid: str) -> None:
        if not self._answer.done():
            self._answer.set_result(uid)


def _uid(body: bytes) -> str:
    try:
        uid = json.loads(body)["uid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return uid if isinstance(uid, str) else ""


class Identities:
    """Who has confirmed what, and the questions that are under way."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asking: dict[Peer[Upstream], asyncio.Task[bool]] = {}

    async def confirm(self, peer: Peer[Upstream]) -> bool:
        """Is `peer` still the pod it should be? True also when it said so less than a second ago."""
        service = self._service
        if service.clock() - peer.confirmed < service.limits.confirmed:
            return True
        task = self._asking.get(peer)
        if task is None:
            task = self._asking[peer] = service.tasks.create_task(self._ask(peer))
            task.add_done_callback(lambda _: self._asking.pop(peer))
        # Shielded: one that gives up waiting must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask(self, peer: Peer[Upstream]) -> bool:
        service = self._service
        endpoint = peer.endpoint
        asked = service.clock()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        uid = ""
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(service.limits.connect):
                transport, _ = await loop.create_connection(
                    lambda: Question(endpoint.address, service.limits, answer), endpoint.address, endpoint.admin
                )
                uid = await answer
        except OSError:  # TimeoutError is one
            pass
        finally:
            if transport is not None:
                transport.close()
        if uid and uid == endpoint.uid:
            # The age counts from the question: the answer may have been long on its way.
            peer.confirmed = asked
            return True
        service.stats.confirmations_failed += 1
        for upstream in service.pool.doubt(peer):
            upstream.transport.close()
        return False
