"""A small world for the sidecar: applications, sidecars and clients on loopback, in one event loop.

Applications and clients use asyncio streams, so that they share no code with what is tested.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coalmine.model import names, wire
from coalmine.model.weights import Weight
from coalmine_proxy.limits import Limits
from coalmine_proxy.server import Settings, Sidecar

#: For `sidecar_process`, the module beside this one that is no test.
_FOLDER = str(Path(__file__).parent)
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)

HOST = "127.0.0.1"


@dataclass
class Message:
    """A request or an answer as a peer read it."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])


async def read_head(reader: asyncio.StreamReader) -> Message | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    lines = head.decode("latin-1").split("\r\n")[:-2]
    return Message(lines[0], [_pair(line) for line in lines[1:]])


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


async def read_body(reader: asyncio.StreamReader, message: Message, until_close: bool = False) -> None:
    if message.get("transfer-encoding") == "chunked":
        while True:
            size = int((await reader.readuntil(b"\r\n"))[:-2].split(b";")[0], 16)
            if size == 0:
                break
            message.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            message.trailers.append(_pair(line[:-2].decode()))
    elif (length := message.get("content-length")) is not None:
        message.body = await reader.readexactly(int(length))
    elif until_close:
        message.body = await reader.read()


async def read_answer(reader: asyncio.StreamReader, head: bool = False) -> Message:
    message = await read_head(reader)
    assert message is not None, "the connection was closed without an answer"
    if not head and message.status >= 200 and message.status not in (204, 304):
        await read_body(reader, message, until_close=True)
    return message


async def until(holds: Callable[[], bool]) -> None:
    """Give the loop turns until the state of the world is so; the test's own time limit bounds it."""
    while not holds():  # noqa: ASYNC110  the state of a transport has no event
        await asyncio.sleep(0)


Script = Callable[["App", Message, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


class App:
    """An application. Without a script it answers 200 with its name; `seen` is what it was asked."""

    def __init__(self, name: str, script: Script | None = None) -> None:
        self.name = name
        self.script = script
        self.seen: list[Message] = []
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> App:
        self._server = await asyncio.start_server(self._serve, HOST, port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while (message := await read_head(reader)) is not None:
                if self.script is not None:
                    self.seen.append(message)
                    if not await self.script(self, message, reader, writer):
                        break
                    continue
                await read_body(reader, message)
                self.seen.append(message)
                body = b"" if message.start.startswith("HEAD") else self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.name) + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side left, or `kill`
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def kill(self) -> None:
        """As a process that dies: no more accepting, every connection reset."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def finish(self) -> None:
        """As a process that ends gracefully: no more accepting, idle connections closed."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()


class World:
    """Everything that one test starts, and how it is stopped."""

    def __init__(self, tasks: asyncio.TaskGroup, folder: Path) -> None:
        self.tasks = tasks
        self.folder = folder
        self.keys = folder / "keys"
        self.keys.mkdir()
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes_raw()
        (self.keys / "k1").write_bytes(base64.b64encode(public) + b"\n")
        self._apps: list[App] = []
        self._sidecars: list[Sidecar] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._counter = 0

    async def app(self, name: str, script: Script | None = None, port: int = 0) -> App:
        app = await App(name, script).start(port)
        self._apps.append(app)
        return app

    async def sidecar(
        self,
        app: App | int,
        uid: str = "",
        canary: bool = False,
        state: Path | None = None,
        trust_all: bool = False,
        protocol: str = "http",
        **limits: float,
    ) -> Sidecar:
        port = app if isinstance(app, int) else app.port
        uid = uid or f"uid-{len(self._sidecars)}"
        settings = Settings(
            listen=(HOST, 0),
            admin=(HOST, 0),
            own=wire.Endpoint(HOST, port, uid, 1),
            pod=uid,
            canary=canary,
            state=state,
            keys=self.keys,
            static=trust_all,
            drain_seconds=0,
            limits=Limits(**{"endpoint_lag": 0.0, **limits}),  # type: ignore[arg-type]
        )
        sidecar = Sidecar(
            settings,
            clock=time.monotonic,
            random=random.Random(7).random,
            nonce=f"boot-{len(self._sidecars)}",
            tasks=self.tasks,
        )
        sidecar.service.protocol = protocol
        await sidecar.start()
        self._sidecars.append(sidecar)
        return sidecar

    @staticmethod
    def endpoint(app: App, sidecar: Sidecar | None = None, uid: str | None = None) -> wire.Endpoint:
        """The endpoint of a pod: its application, confirmed by its sidecar."""
        if sidecar is None:
            return wire.Endpoint(HOST, app.port, uid or "nobody", 9)
        return wire.Endpoint(HOST, app.port, uid or sidecar.configuration.pod, sidecar.admin_port)

    def document(self, sidecar: Sidecar, routing: wire.Routing, **fields: object) -> bytes:
        self._counter += 1
        given = {
            "version": wire.Version(1, self._counter),
            "pod": sidecar.configuration.pod,
            "nonce": sidecar.configuration.nonce,
            **fields,
        }
        return wire.encode(wire.Document(routing=routing, **given))  # type: ignore[arg-type]

    def sign(self, body: bytes) -> str:
        return "k1:" + base64.b64encode(self.key.sign(body)).decode()

    async def put(self, sidecar: Sidecar, body: bytes, signature: str | None = None) -> Message:
        return await self.ask(
            sidecar.admin_port,
            "PUT",
            "/config",
            body,
            {names.SIGNATURE_HEADER: self.sign(body) if signature is None else signature},
        )

    async def configure(self, sidecar: Sidecar, routing: wire.Routing) -> wire.Answer:
        answer = await self.put(sidecar, self.document(sidecar, routing))
        assert answer.status == 200, answer
        return wire.decode_answer(answer.body)

    async def client(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 22)
        self._writers.append(writer)
        return reader, writer

    async def ask(
        self, port: int, method: str = "GET", path: str = "/", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Message:
        """One request on a connection of its own."""
        reader, writer = await self.client(port)
        lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        answer = await read_answer(reader, head=method == "HEAD")
        writer.close()
        return answer

    async def raw(self, port: int, data: bytes) -> bytes:
        """Send bytes, read until the other side closes."""
        reader, writer = await self.client(port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        return answer

    async def shown(self, sidecar: Sidecar) -> dict[str, object]:
        return json.loads((await self.ask(sidecar.admin_port, path="/config")).body)

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for sidecar in self._sidecars:
            await sidecar.drain()
        for app in self._apps:
            await app.kill()
        for writer in self._writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def routing(stable: list[wire.Endpoint], canary: list[wire.Endpoint], weight: int, **more: object) -> wire.Routing:
    """Two arms; `weight` in whole percent."""
    return wire.Routing(
        arms=(
            wire.Arm(wire.STABLE, Weight((100 - weight) * 100), tuple(stable)),
            wire.Arm(wire.CANARY, Weight(weight * 100), tuple(canary)),
        ),
        **more,  # type: ignore[arg-type]
    )


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    bugs: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    async with asyncio.TaskGroup() as tasks:
        it = World(tasks, folder)
        try:
            yield it
        finally:
            await it.close()
    assert not bugs, bugs


@pytest.fixture
def in_world(tmp_path: Path) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """Run a coroutine function with a world on the sidecar's own kind of loop."""

    def run(test: Callable[[World], Awaitable[None]]) -> None:
        async def inside() -> None:
            async with world(tmp_path) as it:
                await test(it)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(inside())

    return run


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of a certificate for localhost and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert"), str(folder / "key")


@pytest.fixture
def http() -> type[Http]:
    return Http


class Http:
    """What tests need of this file, without importing a conftest."""

    Message = Message
    World = World
    App = App
    routing = staticmethod(routing)
    read_head = staticmethod(read_head)
    read_body = staticmethod(read_body)
    read_answer = staticmethod(read_answer)
    until = staticmethod(until)
