"""The connections in memory are true: the same scenes on them and on uvloop's sockets come to the same.

First what a transport does, seen by its protocol and by its other side; then whole cases through a sidecar that
listens on a real socket, with the real connector.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop
from wire_case import CLOSE, AnswerCase, RequestCase, Seen
from wire_cases import ANSWERS, REQUESTS, identified
from wire_play import OK, OK_HEAD, judge_answer, judge_request, play, writes
from wire_reading import Disagreement, requests
from wire_sidecar import SocketSidecar
from wire_transport import Transport
from wire_turns import Turns

HOST = "127.0.0.1"


class Told(asyncio.Protocol):
    """Writes down what it is told, and does what the scene says."""

    def __init__(self, scene: Scene) -> None:
        self.seen: list[str] = []
        self._scene = scene
        self.transport: asyncio.Transport
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.seen.append("made")

    def data_received(self, data: bytes) -> None:
        self.seen.append(f"data {data.decode()}")
        self._scene.does(self, data)

    def eof_received(self) -> bool:
        self.seen.append("eof")
        return self._scene.stays_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.seen.append("lost" if exc is None else "lost with an error")
        self.lost = True

    def tried(self, call: Callable[..., object], *args: Any) -> None:
        try:
            call(*args)
        except RuntimeError:
            self.seen.append("refused")


class Scene:
    """What the protocol does on data, and what the other side does."""

    def __init__(
        self, name: str, does: Callable[[Told, bytes], None], peer: tuple[str, ...], stays_open: bool = False
    ) -> None:
        self.name = name
        self.does = does
        self.peer = peer
        self.stays_open = stays_open


def _write(told: Told, data: bytes) -> None:
    told.transport.write(b"<" + data + b">")


def _write_and_close(told: Told, data: bytes) -> None:
    told.transport.write(b"bye")
    told.transport.close()
    told.seen.append(f"closing {told.transport.is_closing()}")
    told.tried(told.transport.write, b"too late")


def _write_eof(told: Told, data: bytes) -> None:
    told.transport.write(b"last")
    told.transport.write_eof()
    told.tried(told.transport.write, b"more")
    told.transport.write_eof()


def _abort(told: Told, data: bytes) -> None:
    told.transport.write(b"part")
    told.transport.abort()
    told.transport.write(b"nobody gets this")


def _abort_hard(told: Told, data: bytes) -> None:
    sock = told.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    told.transport.abort()


def _pause(told: Told, data: bytes) -> None:
    told.transport.pause_reading()
    told.transport.pause_reading()
    told.transport.write(b"held")


def _fail(told: Told, data: bytes) -> None:
    raise ValueError("a fault of the protocol's")


def _writelines(told: Told, data: bytes) -> None:
    told.transport.writelines([b"a", b"", bytearray(b"b"), memoryview(b"c")])


SCENES = [
    Scene("it answers", _write, ("send one", "expect <one>", "send two", "expect <one><two>", "close")),
    Scene("it answers in pieces", _writelines, ("send one", "expect abc", "close")),
    Scene("it closes", _write_and_close, ("send one", "expect bye", "end")),
    Scene("it says no more, and hears more", _write_eof, ("send one", "expect last", "end", "send two", "lost close")),
    Scene("it aborts", _abort, ("send one", "end")),
    Scene("it aborts hard", _abort_hard, ("send one", "end")),
    Scene("its fault ends the connection", _fail, ("send one", "end")),
    Scene("the other side says no more, and it closes", _write, ("send one", "expect <one>", "half", "end")),
    Scene(
        "the other side says no more, and it stays",
        _write,
        ("send one", "expect <one>", "half", "turn", "lost close"),
        True,
    ),
    Scene("the other side resets", _write, ("send one", "expect <one>", "reset")),
    Scene(
        "it is paused, and closed with unread input",
        _pause,
        ("send one", "expect held", "send two", "own close", "end"),
    ),
    Scene(
        "it is paused, and goes on",
        _pause,
        ("send one", "expect held", "send two", "own resume", "expect heldheld", "own close", "end"),
    ),
]


def in_memory(scene: Scene) -> tuple[list[str], str, str | None]:
    turns = Turns()
    told = Told(scene)
    with turns.running():
        transport = Transport(turns)
        transport.connect(told)
        end = transport.end
        for step in scene.peer:
            what, _, text = step.partition(" ")
            if what == "send":
                end.send(text.encode())
            elif what == "half":
                end.half_close()
            elif what == "close" or step == "lost close":
                end.close()
                if not told.lost and what == "lost":
                    turns.settle()
                    transport.close()
            elif what == "reset":
                end.reset()
            elif what == "own":
                getattr(transport, {"close": "close", "resume": "resume_reading"}[text])()
            turns.settle()
            if what == "expect":
                assert bytes(end.received) == text.encode()
    assert told.lost
    return told.seen, bytes(end.received).decode(), end.ended


async def on_sockets(scene: Scene) -> tuple[list[str], str, str | None]:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: None)  # a scene's own fault
    told = Told(scene)
    server = await loop.create_server(lambda: told, HOST, 0)
    peer = socket.create_connection(server.sockets[0].getsockname())
    peer.setblocking(False)
    received = b""
    ended: str | None = None

    async def read(wanted: bytes | None) -> None:
        nonlocal received, ended
        while ended is None and received != wanted:
            try:
                data = await loop.sock_recv(peer, 4096)
            except ConnectionResetError:
                ended = "reset"
                return
            received += data
            if not data:
                ended = "eof"

    async def until(holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110  a protocol's list has no event
            await asyncio.sleep(0)

    for step in scene.peer:
        what, _, text = step.partition(" ")
        if what == "send":
            await loop.sock_sendall(peer, text.encode())
            if "own close" in scene.peer or "own resume" in scene.peer:
                await until(lambda: len(told.seen) > 1)
            else:
                await until(lambda text=text: f"data {text}" in told.seen)  # type: ignore[misc]
        elif what == "expect":
            await read(text.encode())
            assert received == text.encode()
        elif what == "end":
            await read(None)
        elif what == "half":
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in told.seen)
        elif what == "own":
            getattr(told.transport, {"close": "close", "resume": "resume_reading"}[text])()
        elif what == "close":
            peer.close()
        elif step == "lost close":
            peer.close()
            await until(lambda: told.lost or "eof" in told.seen)
            told.transport.close()
        elif what == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
    await until(lambda: told.lost)
    peer.close()
    server.close()
    await server.wait_closed()
    return told.seen, received.decode(), ended


@pytest.mark.parametrize("scene", [pytest.param(scene, id=scene.name) for scene in SCENES])
def test_the_transport_is_true(scene: Scene) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        real = runner.run(on_sockets(scene))
    fake = in_memory(scene)
    assert fake == real


# --- whole cases ---


async def ask(
    case: RequestCase | AnswerCase, sent: bytes, expected: bytes, ended: str | None
) -> tuple[bytes, list[bytes]]:
    """Send `sent` through a sidecar on real sockets; what the client got, and what the application got."""
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    told: list[bytearray] = []

    class Real(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)
            self.data = bytearray()
            self.answered = 0
            told.append(self.data)

        def data_received(self, data: bytes) -> None:
            self.data += data
            try:
                found = requests(bytes(self.data))
            except Disagreement:
                self.transport.abort()
                return
            for message in found.messages[self.answered :]:
                self.answered += 1
                if isinstance(case, AnswerCase):
                    self.transport.write(case.written)
                    if case.then == CLOSE:
                        self.transport.close()
                else:
                    self.transport.write(OK_HEAD if message.start[0] == b"HEAD" else OK)

    server = await loop.create_server(Real, HOST, 0)
    async with asyncio.TaskGroup() as tasks:
        sidecar = SocketSidecar(tasks, server.sockets[0].getsockname())
        reader, writer = await asyncio.open_connection(*await sidecar.start())
        writer.write(sent)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while len(got) < len(expected) or ended is not None:
                data = await reader.read(65536)
                if not data:
                    break
                got += data
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await sidecar.stop()
    server.close()
    assert faults == []
    return got, [bytes(data) for data in told]


def address_free(data: bytes) -> bytes:
    """Without what names the addresses of this run."""
    lines = data.split(b"\r\n")
    return b"\r\n".join(
        line for line in lines if not line.startswith((b"X-Forwarded-For", b"Host: 1", b"X-Forwarded-Host: 1"))
    )


def _sample(cases: list[Any], count: int) -> list[Any]:
    return random.Random(9112).sample(cases, count)


def _answered(case: RequestCase) -> bool:
    """Something comes back, so that the test knows when to look; and in one piece it is no matter of turns."""
    refused_later = len(case.expect) > 1 and isinstance(case.expect[-1], int)
    return bool(case.expect) and not refused_later


@pytest.mark.parametrize("case", identified(_sample([case for case in REQUESTS if _answered(case)], 60)))
def test_requests_on_sockets(case: RequestCase) -> None:
    played = play([case.sent])
    judge_request(case, played)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        got, told = runner.run(ask(case, case.sent, played.client, played.ended))
    assert got == played.client
    wanted = [address_free(connection.data) for connection in played.application.connections]
    if all(isinstance(item, Seen) for item in case.expect):
        assert [address_free(data) for data in told] == wanted


@pytest.mark.parametrize(
    "case", identified(_sample([case for case in ANSWERS if case.then != "reset" and case.expect != "aborted"], 60))
)
def test_answers_on_sockets(case: AnswerCase) -> None:
    played = play([case.asked], application=writes(case, [case.written], case.then))
    judge_answer(case, played)
    if case.written and not played.client:
        pytest.fail("the client got nothing")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        got, _ = runner.run(ask(case, case.asked, played.client, played.ended))
    assert got == played.client
