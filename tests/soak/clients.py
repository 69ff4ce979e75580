"""Clients of all kinds, each a loop over one sidecar: they ask, read, compare, and write a record.

No client asks while the gate is closed; `Load.busy` counts those that are asking.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from tests.soak.application import HELLO, PREFACE
from tests.soak.load import Connection, Load, Slot
from tests.soak.messages import Message, chunked, digest, pattern, read_body, read_head, send
from tests.soak.record import OPAQUE, Outcome, Record

from coalmine.model import wire

#: No request of the soak takes as long; one that does hangs.
_PATIENCE: Final = 20.0
_LARGE: Final = 200_000
COOKIE: Final = "soak-place"
ROUTE: Final = "x-soak-route"
MIRROR: Final = "x-soak-mirror"

_LOST = (OSError, asyncio.IncompleteReadError)


class Client:
    """One client at one slot."""

    def __init__(self, load: Load, slot: Slot, kind: str) -> None:
        self._load = load
        self._slot = slot
        self._kind = kind
        self._random = random.Random(load.random.random())
        self._connection: Connection | None = None
        self._cookie = ""

    async def run(self) -> None:
        """Ask until the load stops."""
        load = self._load
        inexact = self._kind not in ("keepalive", "fresh", "pipeline", "opaque")
        while True:
            await load.gate.wait()
            if load.stop:
                break
            if not self._slot.open or (load.exact and inexact):
                self.close()
                await asyncio.sleep(0.05)
                continue
            load.busy += 1
            try:
                await self.once()
            finally:
                load.busy -= 1
            await asyncio.sleep(self._random.expovariate(1 / load.think))
        self.close()

    async def once(self) -> None:
        """Ask once, in the way of its kind."""
        if self._connection is not None and self._connection.pod is not self._slot.asked:
            self.close()
        one: Callable[[], Awaitable[None]] = getattr(self, f"_{self._kind}")
        await one()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.writer.close()
            self._connection = None

    # --- one request ---

    def _begin(self, method: str) -> Record:
        now = asyncio.get_running_loop().time()
        connected = self._connection.since if self._connection is not None else now
        return Record(self._load.identity(), self._slot.asked.uid, self._kind, method, connected, now)

    def _end(self, record: Record, outcome: Outcome, detail: str = "") -> None:
        record.ended = asyncio.get_running_loop().time()
        record.outcome = outcome
        record.detail = detail
        if outcome is not Outcome.WHOLE:
            if self._connection is not None:
                self._connection.reset()
            self._connection = None
        self._load.record(record)

    async def _connect(self, record: Record) -> Connection | None:
        """The kept connection or a new one; None is recorded."""
        if self._connection is None:
            try:
                reader, writer = await asyncio.open_connection(*self._slot.asked.listens, limit=1 << 18)
            except OSError as error:
                self._end(record, Outcome.REFUSED, str(error))
                await asyncio.sleep(0.1)
                return None
            self._connection = Connection(reader, writer, self._slot.asked, record.began)
        return self._connection

    def _head(self, record: Record, target: str, *lines: str) -> bytes:
        fields = [f"{record.method} {target} HTTP/1.1", "Host: soak", f"X-Id: {record.identity}", *lines]
        if record.pinned:
            fields.append("coalmine-version: canary")
        if record.routed:
            fields.append(f"{ROUTE}: canary")
        if record.mirrored:
            fields.append(f"{MIRROR}: 1")
        if record.cookie:
            fields.append(f"Cookie: other=1; {COOKIE}={record.cookie}")
        return "\r\n".join([*fields, "", ""]).encode()

    async def _read(self, record: Record, body: bytes, size: int, pause: float = 0.0) -> Message | None:
        """Read the answer to `record` and compare it with what it must be. None: it was none."""
        connection = self._connection
        assert connection is not None
        message: Message | None = None
        try:
            async with asyncio.timeout(_PATIENCE):
                message = await read_head(connection.reader)
                while message.status == 100:
                    message = await read_head(connection.reader)
                record.status = message.status
                record.uid = message.fields.get("x-uid", "")
                record.version = message.fields.get("x-version", "")
                if record.method != "HEAD":
                    await read_body(connection.reader, message, until_close=True, pause=pause)
        except TimeoutError:
            self._end(record, Outcome.HUNG)
            return None
        except _LOST as error:
            self._end(record, Outcome.CUT if message is not None else Outcome.CLOSED, repr(error))
            return None
        wrong = _compare(record, message, body, b"" if record.method == "HEAD" else pattern(record.identity, size))
        if wrong:
            self._end(record, Outcome.WRONG, wrong)
            return None
        self._end(record, Outcome.WHOLE, "" if record.status == 200 else message.body[:80].decode("latin-1").strip())
        if message.closes and self._connection is not None:
            self._connection.writer.close()
            self._connection = None
        return message

    # --- the kinds ---

    async def _keepalive(self) -> None:
        """All sorts of whole requests."""
        pick = self._random
        method = pick.choices(("GET", "HEAD", "POST", "PUT"), (10, 1, 6, 2))[0]
        record = self._begin(method)
        sort = pick.random()
        record.pinned = sort < 0.04
        record.routed = 0.04 <= sort < 0.1
        record.mirrored = 0.1 <= sort < 0.3
        size = pick.choice((0, 1, 64, 64, 3000, 20_000))
        if pick.random() < 0.02:
            size = _LARGE
        target = f"/work?size={size}&how={pick.choice(('length', 'length', 'length', 'chunked', 'close'))}"
        if pick.random() < 0.2:
            target += f"&delay={pick.randint(1, 60)}"
        connection = await self._connect(record)
        if connection is None:
            return
        body = b""
        if method in ("GET", "HEAD"):
            send(connection.writer, self._head(record, target))
        else:
            body = await self._send(connection, record, target)
        await self._read(record, body, size)

    async def _send(self, connection: Connection, record: Record, target: str) -> bytes:
        """A request with a body, in one of the ways in which there can be one."""
        pick = self._random
        body = pattern(record.identity + "b", _LARGE if pick.random() < 0.05 else pick.choice((1, 300, 5000)))
        writer = connection.writer
        how = pick.random()
        if how < 0.3:
            send(
                writer,
                self._head(record, target, "Transfer-Encoding: chunked") + chunked(body, pick.choice((100, 7000))),
            )
        elif how < 0.4:
            # The body is not waited for: it comes whatever is said.
            send(writer, self._head(record, target, f"Content-Length: {len(body)}", "Expect: 100-continue"))
            await asyncio.sleep(0.005)
            send(writer, body)
        elif how < 0.6:
            send(writer, self._head(record, target, f"Content-Length: {len(body)}") + body[: len(body) // 3])
            await asyncio.sleep(0.01)
            send(writer, body[len(body) // 3 :])
        else:
            send(writer, self._head(record, target, f"Content-Length: {len(body)}") + body)
        return body

    async def _fresh(self) -> None:
        """A connection for one request."""
        self.close()
        record = self._begin("GET")
        connection = await self._connect(record)
        if connection is not None:
            send(connection.writer, self._head(record, "/work?size=64", "Connection: close"))
            await self._read(record, b"", 64)

    async def _pipeline(self) -> None:
        """Five requests at once; the answers come in their order."""
        records = [self._begin("POST" if self._random.random() < 0.3 else "GET") for _ in range(5)]
        connection = await self._connect(records[0])
        if connection is None:
            return
        sent = b""
        for record in records:
            record.connected = connection.since
            body = b"" if record.method == "GET" else pattern(record.identity + "b", 10)
            line = [f"Content-Length: {len(body)}"] if body else []
            sent += self._head(record, "/work?size=100&delay=3", *line) + body
        send(connection.writer, sent)
        for record in records:
            # What comes after an answer that ends the connection was never asked, for all that anybody knows.
            if self._connection is not connection:
                return
            body = b"" if record.method == "GET" else pattern(record.identity + "b", 10)
            await self._read(record, body, 100)

    async def _leaver(self) -> None:
        """Goes away in the middle: of its request, while it waits, or within the answer."""
        pick = self._random
        record = self._begin(pick.choice(("GET", "POST")))
        connection = await self._connect(record)
        if connection is None:
            return
        where = pick.randrange(3)
        head = self._head(
            record, f"/work?size={_LARGE}&delay=20", *([f"Content-Length: {_LARGE}"] if record.method == "POST" else [])
        )
        body = pattern("leaver", _LARGE) if record.method == "POST" else b""
        whole = head + body
        send(connection.writer, whole[: pick.randrange(1, len(whole))] if where == 0 else whole)
        await asyncio.sleep(pick.random() * 0.05)
        if where == 2:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await connection.reader.read(1000)
            except OSError:
                pass
        if pick.random() < 0.5:
            connection.writer.close()
        else:
            connection.reset()
        self._connection = None
        self._end(record, Outcome.LEFT)

    async def _slow(self) -> None:
        """Reads a large answer in small pieces."""
        record = self._begin("GET")
        connection = await self._connect(record)
        if connection is not None:
            how = self._random.choice(("length", "chunked"))
            send(connection.writer, self._head(record, f"/work?size={_LARGE * 4}&how={how}"))
            await self._read(record, b"", _LARGE * 4, pause=0.01)

    async def _affine(self) -> None:
        """Keeps the cookie that it is given, for a while."""
        if self._random.random() < 0.05:
            self._cookie = ""
        record = self._begin("GET")
        record.cookie = self._cookie
        connection = await self._connect(record)
        if connection is None:
            return
        send(connection.writer, self._head(record, "/work?size=64"))
        message = await self._read(record, b"", 64)
        if message is not None and message.fields.get("set-cookie", "").startswith(COOKIE + "="):
            self._cookie = message.fields["set-cookie"].partition(";")[0].partition("=")[2]

    async def _upgrade(self) -> None:
        """Becomes a tunnel and speaks through it."""
        self.close()
        record = self._begin("GET")
        connection = await self._connect(record)
        if connection is not None:
            send(connection.writer, self._head(record, "/socket", "Connection: Upgrade", "Upgrade: soak"))
            await self._speak(record, connection, upgraded=True)

    async def _opaque(self) -> None:
        """Begins like TLS or HTTP/2."""
        self.close()
        record = self._begin(OPAQUE)
        connection = await self._connect(record)
        if connection is not None:
            begins = self._random.choice((HELLO, PREFACE))
            send(connection.writer, begins + f"{record.identity}\n".encode())
            await self._speak(record, connection, upgraded=False)

    async def _speak(self, record: Record, connection: Connection, upgraded: bool) -> None:
        """Through a tunnel: who is there, three words and their echo, a half-close and the end."""
        reader, writer = connection.reader, connection.writer
        try:
            async with asyncio.timeout(_PATIENCE):
                if upgraded:
                    message = await read_head(reader)
                    record.status = message.status
                    if message.status != 101:
                        await read_body(reader, message, until_close=True)
                        self._end(record, Outcome.WHOLE)
                        self.close()
                        return
                record.uid, _, record.version = (await reader.readline()).decode().strip().partition(" ")
                if not record.version:
                    raise ConnectionResetError("the tunnel ended")
                record.status = record.status or 200
                for size in (10, 3000, 30_000):
                    word = pattern(record.identity, size)
                    send(writer, word)
                    if await reader.readexactly(size) != word:
                        self._end(record, Outcome.WRONG, "another echo")
                        return
                    await asyncio.sleep(self._random.random() * 0.1)
                if not writer.is_closing():
                    writer.write_eof()
                rest = await reader.read()
        except TimeoutError:
            self._end(record, Outcome.HUNG)
        except _LOST as error:
            self._end(record, Outcome.CUT if record.status else Outcome.CLOSED, repr(error))
        else:
            self._end(record, Outcome.WRONG if rest else Outcome.WHOLE, "bytes after the end" if rest else "")
            self.close()


def _compare(record: Record, message: Message, sent: bytes, expected: bytes) -> str:
    """What is wrong with a whole answer."""
    if message.status != 200:
        # Made by the proxy: it must not look like an application's.
        return "an error that names an application" if record.uid else ""
    if message.fields.get("x-id") != record.identity:
        return f"the answer to {message.fields.get('x-id')}"
    if message.body != expected:
        return f"{len(message.body)} bytes that are not the {len(expected)} expected"
    if message.fields.get("x-digest") != digest(sent):
        return "the application read another body"
    return ""


#: How many of each kind ask at one sidecar, and its pace as a multiple of the load's.
KINDS: Final = {
    "keepalive": 6,
    "fresh": 1,
    "pipeline": 1,
    "leaver": 1,
    "slow": 1,
    "affine": 2,
    "upgrade": 1,
    "opaque": 1,
}


def clients(load: Load, slot: Slot) -> list[Client]:
    """All clients of one slot."""
    return [Client(load, slot, kind) for kind, count in KINDS.items() for _ in range(count)]


#: What the soak's routes, mirrors and affinity are made of.
ROUTES: Final = (wire.HeaderRoute("soak", ((ROUTE, wire.Match(wire.EXACT, "canary")),)),)
