"""What is not HTTP/1 passes through unread, split by connection, and is counted as that."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from coalmine.model import wire
from coalmine_proxy.stats import CONNECT, HTTP2, TCP, TLS

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELLO = b"\x16\x03\x01\x00\x05\x01hello"


def connections(sidecar: Any, arm: str = "local") -> dict[str, int]:
    return {protocol: n for protocol, n in sidecar.service.stats.arm(arm).connections.items() if n}


class Echo:
    """A server that speaks no HTTP: it says its name, then what it hears, until the other side ends."""

    def __init__(self, name: bytes = b"") -> None:
        self.name = name
        self.connections = 0
        self.port = 0

    async def start(self) -> Echo:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.name)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"end")
        writer.close()

    async def stop(self) -> None:
        self.server.close()
        await self.server.wait_closed()


@pytest.mark.parametrize(("begins", "protocol"), [(HELLO, TLS), (PREFACE, HTTP2)])
@pytest.mark.parametrize("cut", [None, 1, 2, 5, 18, 20])
def test_it_is_recognized_by_its_first_bytes_however_they_come(
    in_world: Any, http: Any, begins: bytes, protocol: str, cut: int | None
) -> None:
    async def test(w: Any) -> None:
        echo = await Echo().start()
        sidecar = await w.sidecar(echo.port)
        reader, writer = await w.client(sidecar.port)
        if cut is None:
            writer.write(begins)
        else:
            writer.write(begins[:cut])
            await http.until(lambda: sidecar.service.stats.tunnels or any_buffer(sidecar))
            writer.write(begins[cut:])
        assert await reader.readexactly(len(begins)) == begins
        writer.write(b"GET / HTTP/1.1\r\n\r\n" * 3)  # nobody reads it
        assert await reader.readexactly(54) == b"GET / HTTP/1.1\r\n\r\n" * 3
        assert sidecar.service.stats.tunnels == 1
        writer.write_eof()  # a half-close arrives as one
        assert await reader.read() == b"end"
        assert connections(sidecar) == {protocol: 1}
        assert sidecar.service.stats.refused == {}
        stats = sidecar.service.stats.arm("local")
        assert (stats.sent, stats.received) == (len(begins) + 54, len(begins) + 54 + 3)
        await http.until(lambda: sidecar.service.stats.tunnels == 0)
        assert sidecar.service.stats.clients == 0
        await echo.stop()

    in_world(test)


def any_buffer(sidecar: Any) -> bool:
    return any(client.buffer for client in sidecar.service.clients)


def test_only_a_connection_s_first_bytes_may_be_another_protocol(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        answer = await w.raw(sidecar.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + PREFACE)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 505 " in answer
        assert connections(sidecar) == {}

    in_world(test)


@pytest.mark.parametrize(
    "begins",
    [b"PRI * HTTP/2.0\r\n\r\nGET ", PREFACE[:18] + b"SX", b"\x16\x03\x09", b"\x16\x03\x01\x00\x05\x02", b"\x16\x02"],
)
def test_what_only_looks_like_it_at_first_is_refused(in_world: Any, begins: bytes) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        answer = await w.raw(sidecar.port, begins + b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))
        assert app.connections == 0
        assert connections(sidecar) == {}

    in_world(test)


def test_the_shares_deal_out_connections(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        one, other = await Echo(b"s").start(), await Echo(b"c").start()
        ends = [wire.Endpoint("127.0.0.1", echo.port, "", 0) for echo in (one, other)]
        sidecar = await w.sidecar(one.port, trust_all=True)
        sidecar.service.apply(http.routing(ends[:1], ends[1:], 20))
        for _ in range(50):
            _, writer = await w.client(sidecar.port)
            writer.write(HELLO)
        await http.until(lambda: one.connections + other.connections == 50)
        assert abs(other.connections - 10) <= 2
        assert connections(sidecar, "canary") == {TLS: other.connections}
        assert connections(sidecar, "stable") == {TLS: one.connections}
        await one.stop()
        await other.stop()

    in_world(test)


def test_with_protocol_tcp_a_server_may_speak_first(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        echo = await Echo(b"220 mail ready\r\n").start()
        sidecar = await w.sidecar(echo.port, protocol=TCP)
        reader, writer = await w.client(sidecar.port)
        assert await reader.readline() == b"220 mail ready\r\n"
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        assert connections(sidecar) == {TCP: 1}
        writer.close()
        await http.until(lambda: sidecar.service.stats.tunnels == 0)
        await echo.stop()

    in_world(test)


def test_a_refused_connection_goes_to_another_endpoint_and_is_charged(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        echo = await Echo(b"hi").start()
        gone = await Echo().start()
        await gone.stop()
        ends = [wire.Endpoint("127.0.0.1", e.port, "", 0) for e in (echo, gone)]
        sidecar = await w.sidecar(echo.port, protocol=TCP, trust_all=True)
        sidecar.service.apply(http.routing(ends[:1], ends[1:], 100))
        reader, _ = await w.client(sidecar.port)
        assert await reader.readexactly(2) == b"hi"
        assert sidecar.service.stats.arm("canary").shared.failures[CONNECT] == 1
        assert connections(sidecar, "stable") == {TCP: 1}
        await echo.stop()

    in_world(test)


def test_nobody_there_ends_the_client_s_connection(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        gone = await Echo().start()
        await gone.stop()
        sidecar = await w.sidecar(gone.port, protocol=TCP)
        reader, _ = await w.client(sidecar.port)
        with pytest.raises(ConnectionError):
            await reader.read()
        assert sidecar.service.stats.tunnels == 0
        assert sidecar.service.stats.arm("local").shared.failures[CONNECT] == 1

    in_world(test)


def test_a_client_that_leaves_while_its_connection_is_opened_leaves_nothing(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        echo = await Echo().start()
        sidecar = await w.sidecar(echo.port, protocol=TCP)
        for _ in range(20):
            _, writer = await w.client(sidecar.port)
            writer.transport.abort()
        stats = sidecar.service.stats
        # each was opened and ended with its client, or was never opened
        await http.until(lambda: stats.clients == 0 and stats.tunnels == 0 and stats.upstreams == 0)
        await echo.stop()

    in_world(test)


def test_one_that_does_not_read_stops_the_other(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        echo = await Echo().start()
        sidecar = await w.sidecar(echo.port, protocol=TCP)
        reader, writer = await w.client(sidecar.port)
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < 64 << 20:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        sending = asyncio.create_task(send())
        quiet = 0
        while quiet < 2000:  # turns of the loop without progress: everything between is full
            before = sent
            await asyncio.sleep(0)
            quiet = quiet + 1 if sent == before else 0
        held = sum(t.transport.get_write_buffer_size() for t in sidecar.service.tunnels)
        assert sent < 64 << 20
        assert held < 1 << 20
        for _ in range(1024):
            await reader.readexactly(65536)
        await sending
        writer.close()
        await http.until(lambda: sidecar.service.stats.tunnels == 0)
        await echo.stop()

    in_world(test)


def test_real_tls_passes_through(in_world: Any, http: Any, certificate: tuple[str, str]) -> None:
    async def test(w: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"secret " + await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        sidecar = await w.sidecar(server.sockets[0].getsockname()[1])
        client = ssl.create_default_context(cafile=certificate[0])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", sidecar.port, ssl=client, server_hostname="localhost"
        )
        writer.write(b"hello\n")
        assert await reader.readline() == b"secret hello\n"
        assert connections(sidecar) == {TLS: 1}
        writer.close()
        await http.until(lambda: sidecar.service.stats.tunnels == 0)
        server.close()
        await server.wait_closed()

    in_world(test)
