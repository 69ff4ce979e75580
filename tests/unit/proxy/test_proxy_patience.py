"""Who is waited for, how long, and who is to blame; and that nobody can make the sidecar hold too much.

The clock of the timeouts is the wheel's: tests turn it by hand.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coalmine.model import wire
from coalmine_proxy.stats import TCP

SECONDS = 20.0


def failures(sidecar: Any) -> dict[str, int]:
    counted = sidecar.service.stats.counters()["local"].failures
    return {cause: n for cause, n in zip(wire.CAUSES, counted, strict=True) if n}


def later(sidecar: Any, seconds: float = SECONDS) -> None:
    """So much time passes at once."""
    wheel = sidecar.service.wheel
    for _ in range(4):
        wheel.turn(wheel.now + seconds)
        seconds = 0.0


def only_client(sidecar: Any) -> Any:
    (client,) = sidecar.service.clients
    return client


async def silent(app: Any, message: Any, reader: Any, writer: Any) -> bool:
    """Reads what comes and never answers."""
    await reader.read()
    return False


async def deaf(app: Any, message: Any, reader: Any, writer: Any) -> bool:
    """Reads nothing of the body and never answers."""
    await asyncio.Event().wait()
    return False


UPLOAD = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"


def test_a_client_that_stalls_in_its_body_is_to_blame_and_told(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", silent), first_byte=5, stream=10)
        reader, writer = await w.client(sidecar.port)
        writer.write(UPLOAD + b"12345")
        await http.until(lambda: sidecar.service.clients and only_client(sidecar).exchange)
        await http.until(lambda: only_client(sidecar).exchange.upstream)
        later(sidecar)
        assert (await http.read_answer(reader)).status == 408
        assert failures(sidecar) == {"aborted": 1}

    in_world(test)


def test_the_time_for_the_first_byte_begins_with_the_whole_request(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", silent), first_byte=5, stream=600)
        reader, writer = await w.client(sidecar.port)
        writer.write(UPLOAD + b"12345")
        await http.until(lambda: sidecar.service.clients and only_client(sidecar).exchange)
        await http.until(lambda: only_client(sidecar).exchange.upstream)
        later(sidecar)
        assert only_client(sidecar).exchange is not None
        writer.write(b"67890")
        await http.until(lambda: only_client(sidecar).exchange.reader is None)
        later(sidecar)
        assert (await http.read_answer(reader)).status == 504
        assert failures(sidecar) == {"timeout": 1}

    in_world(test)


def test_an_application_that_stops_reading_an_upload_is_to_blame(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", deaf), first_byte=600, stream=10)
        reader, writer = await w.client(sidecar.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 << 20))

        async def send() -> None:
            for _ in range(1024):
                writer.write(b"x" * 65536)
                await writer.drain()

        sending = asyncio.create_task(send())
        await http.until(lambda: sidecar.service.clients and only_client(sidecar)._stopped)
        await http.until(lambda: only_client(sidecar).exchange.upstream is not None and only_client(sidecar)._stopped)
        later(sidecar)
        assert (await http.read_answer(reader)).status == 504
        assert failures(sidecar) == {"timeout": 1}
        sending.cancel()

    in_world(test)


def test_a_client_that_never_reads_is_given_up_though_it_sent_all(in_world: Any, http: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1024):
            writer.write(b"x" * 65536)
            await writer.drain()
        return True

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script), stream=10)
        _, writer = await w.client(sidecar.port)
        writer.transport.pause_reading()
        writer.write(UPLOAD + b"12345")
        await http.until(lambda: sidecar.service.clients and only_client(sidecar).blocked)
        client = only_client(sidecar)
        writer.write(b"67890")
        await http.until(lambda: client.exchange is None or client.exchange.reader is None)
        later(sidecar)
        await http.until(lambda: sidecar.service.stats.clients == 0)
        assert sidecar.service.stats.in_flight == 0
        await http.until(lambda: sidecar.service.stats.upstreams == 0)

    in_world(test)


def test_a_pipelining_client_cannot_make_us_hold_its_input(in_world: Any, http: Any) -> None:
    one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    requests = 60_000
    held = 0

    async def test(w: Any) -> None:
        nonlocal held
        sidecar = await w.sidecar(await w.app("a"))
        reader, writer = await w.client(sidecar.port)

        async def send() -> None:
            for _ in range(requests // 100):
                writer.write(one * 100)
                await writer.drain()

        sending = asyncio.create_task(send())
        answered = 0
        while answered < 2000:
            answered += (await reader.readuntil(b"\r\n\r\na")).count(b" 200 OK")
            held = max(held, *(len(c.buffer) for c in sidecar.service.clients))
        # what may be held, and what one read may bring
        assert held <= sidecar.service.limits.held + 256 * 1024
        sending.cancel()

    in_world(test)


def test_a_client_that_does_not_read_gets_no_more_of_our_own_answers(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        await app.kill()
        sidecar = await w.sidecar(app, stream=10)
        _, writer = await w.client(sidecar.port)
        writer.transport.pause_reading()

        async def send() -> None:
            while True:
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
                await writer.drain()

        sending = asyncio.create_task(send())
        await http.until(lambda: sidecar.service.clients and only_client(sidecar).blocked)
        client = only_client(sidecar)
        before = sidecar.service.stats.arm("local").shared.failures[0]
        for _ in range(200):
            await asyncio.sleep(0)
        assert sidecar.service.stats.arm("local").shared.failures[0] - before <= 1
        assert client.transport.get_write_buffer_size() < 1 << 20
        later(sidecar)
        await http.until(lambda: sidecar.service.stats.clients == 0)
        sending.cancel()

    in_world(test)


NOT_HTTP = [
    b"SSH-2.0-OpenSSH_9\r\n",
    b"-ERR unknown command\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"ICY 200",
]


@pytest.mark.parametrize("sent", NOT_HTTP)
def test_what_is_not_http_is_known_by_its_first_bytes(in_world: Any, sent: bytes) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(sent)
        await reader.read()
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        assert (await w.ask(sidecar.port)).status == 502
        assert failures(sidecar) == {"invalid": 1}

    in_world(test)


async def _upload_until_the_end(reader: Any, writer: Any) -> None:
    for _ in range(1000):
        writer.write(b"x" * 10_000)
        await writer.drain()
        await asyncio.sleep(0)
    await reader.readuntil(b"0\r\n\r\n")


def test_an_answer_that_a_reset_broke_never_ends_cleanly(in_world: Any, http: Any) -> None:
    """Without a length only the close says where it ends, and a reset is no close."""
    go = asyncio.Event()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
        await go.wait()
        writer.transport.abort()
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1000)
        await reader.readuntil(b"x")
        only_client(sidecar).exchange.upstream.transport.pause_reading()
        go.set()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _upload_until_the_end(reader, writer)
        assert sidecar.service.stats.counters()["local"].requests == (0, 0, 0, 0, 0)
        assert failures(sidecar) == {"reset": 1}

    in_world(test)


def test_empty_lines_in_single_bytes_win_no_time(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"), head_time=10)
        _, writer = await w.client(sidecar.port)
        await http.until(lambda: sidecar.service.clients)
        client = only_client(sidecar)
        deadline = client.deadline
        sidecar.service.wheel.now += 5
        for byte in (b"\r", b"\n", b"\r"):
            writer.write(byte)
            await http.until(lambda byte=byte: client.buffer == byte or (byte == b"\n" and not client.buffer))
        assert client.deadline == deadline

    in_world(test)


def test_a_half_close_before_the_tunnel_is_open_is_passed_on(in_world: Any, http: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.read())
        await writer.drain()
        writer.close()

    async def test(w: Any) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        sidecar = await w.sidecar(server.sockets[0].getsockname()[1], protocol=TCP)
        reader, writer = await w.client(sidecar.port)
        writer.write(b"all of it")
        writer.write_eof()
        assert await reader.read() == b"heard all of it"
        server.close()
        await server.wait_closed()

    in_world(test)


def test_a_mirror_that_stalls_after_its_head_is_given_up(in_world: Any, http: Any) -> None:
    from coalmine.model.weights import Weight

    async def stalls(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()
        return False

    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c", stalls)
        sidecar = await w.sidecar(stable, trust_all=True, mirror=10)
        ends = [[http.World.endpoint(app)] for app in (stable, canary)]
        sidecar.service.apply(http.routing(*ends, 0, mirrors=(wire.MirrorRoute("m", Weight(10_000)),)))
        assert (await w.ask(sidecar.port)).body == b"s"
        (copy,) = sidecar.service.mirrors.open
        await http.until(lambda: copy._received)
        later(sidecar)
        assert not sidecar.service.mirrors.open
        assert sidecar.service.stats.arm("canary").mirrored["failed"] == 1

    in_world(test)


def test_an_upgrade_is_an_answer(in_world: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n")
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        (peer,) = sidecar.service.table.local.peers
        peer.failures = 4
        await w.raw(sidecar.port, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n")
        assert peer.failures == 0

    in_world(test)


def test_only_retries_that_were_made_are_counted(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        await app.kill()
        sidecar = await w.sidecar(app)
        assert (await w.ask(sidecar.port)).status == 502
        assert sidecar.service.stats.retries == 0

    in_world(test)
