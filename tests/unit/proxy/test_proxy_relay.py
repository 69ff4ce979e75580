"""Requests through a real sidecar on loopback: what arrives, what comes back, what is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coalmine.model import wire

CAUSES = wire.CAUSES


def counters(sidecar: Any, arm: str = "local") -> wire.ArmCounters:
    return sidecar.service.stats.counters()[arm]


def failures(sidecar: Any, arm: str = "local") -> dict[str, int]:
    return {cause: n for cause, n in zip(CAUSES, counters(sidecar, arm).failures, strict=True) if n}


def reply(data: bytes, close: bool = False) -> Any:
    """A script that answers every request with `data`."""

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(data)
        await writer.drain()
        return not close

    return script


def test_keep_alive_get_and_post_with_both_framings(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        for _ in range(3):
            writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await http.read_answer(reader)).body == b"a"
            writer.write(b"POST /y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
            assert (await http.read_answer(reader)).body == b"a"
            writer.write(
                b"POST /z HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"2;e=1\r\nde\r\n1\r\nf\r\n0\r\nT: 1\r\n\r\n"
            )
            assert (await http.read_answer(reader)).body == b"a"
        assert [m.body for m in app.seen] == [b"", b"abc", b"def"] * 3
        assert app.seen[2].trailers == [("T", "1")]
        assert app.seen[0].get("x-forwarded-for") == "127.0.0.1"
        assert app.seen[0].get("via") == "1.1 coalmine"
        assert app.connections == 1
        assert counters(sidecar).requests == (0, 9, 0, 0, 0)
        assert sum(counters(sidecar).latency) == 9

    in_world(test)


def test_byte_by_byte_in_and_out(in_world: Any, http: Any) -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n",
    ]

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        await http.read_body(reader, message)
        for byte in answers[len(app.seen) % 2]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        return True

    async def test(w: Any) -> None:
        app = await w.app("a", script)
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        for request in (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            b"\r\nPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ):
            for byte in request:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert (await http.read_answer(reader)).body == b"hello"
        assert [m.body for m in app.seen] == [b"abc", b"abc"]

    in_world(test)


def test_pipelined_requests_are_answered_in_order_one_at_a_time(in_world: Any, http: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        path = message.start.split()[1].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))
        return True

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        reader, writer = await w.client(sidecar.port)
        paths = [f"/{i:05}" for i in range(4000)]  # more than may be held: the rest waits unread
        sending = asyncio.create_task(_send(writer, "".join(f"GET {p} HTTP/1.1\r\nHost: h\r\n\r\n" for p in paths)))
        assert [(await http.read_answer(reader)).body.decode() for _ in paths] == paths
        await sending

    in_world(test)


async def _send(writer: Any, text: str) -> None:
    writer.write(text.encode())
    await writer.drain()


ANSWERS = [
    # what the application sends, what a client of 1.1 gets (headers that must be there, body), closed by us?
    (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", {"transfer-encoding": "chunked"}, b"until the end"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", {"content-length": "2"}, b"ok"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", {}, b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", {"content-length": "9"}, b""),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        {"transfer-encoding": "chunked"},
        b"ok",
    ),
]


@pytest.mark.parametrize(("sent", "headers", "body"), ANSWERS)
def test_answers(in_world: Any, http: Any, sent: bytes, headers: dict[str, str], body: bytes) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", reply(sent, close=True)))
        reader, writer = await w.client(sidecar.port)
        for _ in range(2):  # the client's connection outlives the application's
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = await http.read_answer(reader)
            assert answer.body == body
            for name, value in headers.items():
                assert answer.get(name) == value
            assert answer.get("connection") is None

    in_world(test)


def test_a_connection_that_ended_an_answer_is_not_used_again(in_world: Any, http: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 4)
        for _ in range(4):
            assert (await http.read_answer(reader)).body == b"until the end"
        assert failures(sidecar) == {}
        assert sidecar.service.stats.retries == 0

    in_world(test)


def test_head_has_no_body_and_the_next_request_is_read_right(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("name"))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await http.read_answer(reader, head=True)).get("content-length") == "4"
        assert (await http.read_answer(reader)).body == b"name"

    in_world(test)


def test_a_client_of_1_0_gets_its_body_until_the_close_and_no_1xx(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sent = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        sidecar = await w.sidecar(await w.app("a", reply(sent)))
        assert await w.raw(sidecar.port, b"GET / HTTP/1.0\r\n\r\n") == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"

    in_world(test)


def test_expect_is_relayed_and_the_body_follows(in_world: Any, http: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        assert message.get("expect") == "100-continue"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await http.read_body(reader, message)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test(w: Any) -> None:
        app = await w.app("a", script)
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert (await http.read_answer(reader)).status == 100
        writer.write(b"body")
        assert (await http.read_answer(reader)).body == b"ok"
        assert app.seen[0].body == b"body"

    in_world(test)


def test_an_answer_is_read_though_writing_broke_its_connection_first(in_world: Any, http: Any) -> None:
    """The loop gives a connection up when a write fails; what came before that is still in the kernel."""
    answered = asyncio.Event()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        await answered.wait()
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n")
        writer.transport.abort()  # unread input makes it a reset, as it does with servers that refuse uploads
        return False

    async def test(w: Any) -> None:
        app = await w.app("a", script)
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 100_000)
        await http.until(lambda: any(c.exchange and c.exchange.upstream for c in sidecar.service.clients))
        (client,) = sidecar.service.clients
        upstream = client.exchange.upstream
        upstream.transport.pause_reading()  # so that the loop sees the broken write before the answer
        answered.set()
        await http.until(lambda: not app._writers)
        while not reader._buffer:
            writer.write(b"x" * 100_000)
            await asyncio.sleep(0)
        assert (await http.read_answer(reader)).status == 413
        assert counters(sidecar).requests == (0, 0, 0, 1, 0)
        assert failures(sidecar) == {}
        await http.until(lambda: sidecar.service.stats.upstreams == 0)
        assert sidecar.service.pool.idle() == 0

    in_world(test)


def test_a_final_answer_before_the_body_ends_the_reading(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
        sidecar = await w.sidecar(await w.app("a", reply(refusal)))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
        answer = await http.read_answer(reader)
        assert (answer.status, answer.get("connection"), answer.body) == (413, "close", b"no")
        writer.write(b"d" * 1000)  # on its way already: thrown away, and no reset for it
        assert await reader.read() == b""
        assert sidecar.service.pool.idle() == 0
        assert counters(sidecar).requests[3] == 1

    in_world(test)


TRUNCATED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
]


@pytest.mark.parametrize("sent", TRUNCATED)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_truncated_answer_aborts_the_client(in_world: Any, sent: bytes, version: bytes) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", reply(sent, close=True)))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"GET / HTTP/%b\r\nHost: h\r\n\r\n" % version)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert failures(sidecar) == {"reset": 1}
        assert counters(sidecar).total == 0

    in_world(test)


NO_ANSWER = [
    (b"", 502, "reset"),
    (b"HTTP/1.1 20", 502, "reset"),
    (b"SSH-2.0-x\r\n\r\n", 502, "invalid"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na", 502, "invalid"),
    (b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 502, "invalid"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000, 502, "invalid"),
]


@pytest.mark.parametrize(("sent", "status", "cause"), NO_ANSWER)
def test_what_is_no_answer(in_world: Any, sent: bytes, status: int, cause: str) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a", reply(sent, close=True))
        sidecar = await w.sidecar(app)
        assert (await w.ask(sidecar.port)).status == status
        assert failures(sidecar) == {cause: 1}
        assert len(app.seen) == 1  # a fresh connection is not tried twice

    in_world(test)


def test_no_application_gives_502_and_the_connection_is_kept(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        await app.kill()
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await http.read_answer(reader)).status == 502
        assert failures(sidecar) == {"connect": 2}

    in_world(test)


def test_no_answer_in_time_gives_504(in_world: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        await reader.read()  # until the sidecar gives up
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script), first_byte=0.01)
        assert (await w.ask(sidecar.port)).status == 504
        assert failures(sidecar) == {"timeout": 1}

    in_world(test)


def test_a_slow_head_gets_408_and_a_silent_client_is_closed(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"), head_time=0.01)
        assert (await w.raw(sidecar.port, b"GET / HTTP/1.1\r\nHo")).startswith(b"HTTP/1.1 408 ")
        assert await w.raw(sidecar.port, b"") == b""
        assert await w.raw(sidecar.port, b"\r\n") == b"", "an empty line wins no time"

    in_world(test)


REFUSED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"\x15\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"GET /" + b"a" * 9000, 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: bbbbbbbbbb\r\n" * 4000, 431),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
]


@pytest.mark.parametrize(("sent", "status"), REFUSED)
def test_refusals_close_and_reach_no_application(in_world: Any, sent: bytes, status: int) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        answer = await w.raw(sidecar.port, sent + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.count(b"\r\n\r\n") == 1
        assert b"\r\nConnection: close\r\n" in answer
        assert app.seen == []
        assert sidecar.service.stats.refused == {status: 1}
        assert sidecar.service.stats.in_flight == 0
        assert failures(sidecar) == {}

    in_world(test)


def test_a_bad_chunk_in_mid_body_ends_both_sides(in_world: Any, http: Any) -> None:
    ended = asyncio.Event()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        try:
            await reader.read(1 << 20)
            await reader.read()
        finally:
            ended.set()
        return False

    async def test(w: Any) -> None:
        app = await w.app("a", script)
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await http.until(lambda: bool(app.seen))
        writer.write(b"zz\r\n")
        assert (await http.read_answer(reader)).status == 400
        await ended.wait()
        assert failures(sidecar) == {}

    in_world(test)


def test_a_client_that_goes_away_ends_the_application_s_work_and_is_counted(in_world: Any) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        asked.set()
        try:
            await reader.read()
        finally:
            left.set()
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        _, writer = await w.client(sidecar.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asked.wait()
        writer.close()
        await left.wait()
        assert failures(sidecar) == {"aborted": 1}
        assert sidecar.service.stats.in_flight == 0

    in_world(test)


def test_a_client_that_does_not_read_stops_the_application(in_world: Any, http: Any) -> None:
    size = 64 << 20
    sent = 0
    stuck = asyncio.Event()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        nonlocal sent
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = b"x" * 65536
        while sent < size:
            writer.write(piece)
            sent += len(piece)
            if writer.transport.get_write_buffer_size():
                stuck.set()
            await writer.drain()
        return True

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        reader, writer = await w.client(sidecar.port)
        writer.transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await http.until(lambda: any(client.blocked for client in sidecar.service.clients))
        await stuck.wait()
        (client,) = sidecar.service.clients
        assert client.transport.get_write_buffer_size() < 4 << 20
        assert sent < size
        writer.transport.resume_reading()
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: %d" % size in head
        left = size
        while left:
            left -= len(await reader.read(1 << 20))
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # and the connection goes on
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")

    in_world(test)


def test_a_client_that_never_reads_is_cut_off_and_counted(in_world: Any, http: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        writer.write(b"x" * (64 << 20))
        await writer.drain()
        return True

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script), stream=0.01)
        _, writer = await w.client(sidecar.port)
        writer.transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await http.until(lambda: failures(sidecar) == {"aborted": 1})
        await http.until(lambda: not sidecar.service.clients)
        assert sidecar.service.stats.in_flight == 0
        await http.until(lambda: sidecar.service.stats.upstreams == 0)

    in_world(test)


def test_an_application_that_does_not_read_stops_the_client(in_world: Any, http: Any) -> None:
    go = asyncio.Event()
    size = 64 << 20

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        await go.wait()
        left = size
        while left:
            left -= len(await reader.read(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)

        async def send() -> None:
            for _ in range(size >> 16):
                writer.write(b"x" * 65536)
                await writer.drain()

        sending = asyncio.create_task(send())
        await http.until(lambda: len(sidecar.service.clients) == 1)
        (client,) = sidecar.service.clients
        await http.until(lambda: client._stopped and client.exchange.upstream is not None)
        assert client.exchange.upstream.transport.get_write_buffer_size() < 4 << 20
        assert not sending.done()
        go.set()
        await sending
        assert (await http.read_answer(reader)).body == b"ok"

    in_world(test)


def test_an_upgrade_becomes_a_tunnel_with_half_closes(in_world: Any, http: Any) -> None:
    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        assert message.get("upgrade") == "echo"
        writer.write(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ")
        while data := await reader.read(1000):
            writer.write(data)
        writer.write(b"!")
        return False

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        reader, writer = await w.client(sidecar.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly ")
        answer = await http.read_head(reader)
        assert answer.status == 101
        assert answer.get("upgrade") == "echo"
        assert await reader.readexactly(12) == b"hello early "
        writer.write(b"late")
        assert await reader.readexactly(4) == b"late"
        writer.write_eof()
        assert await reader.read() == b"!"
        assert counters(sidecar).requests == (1, 0, 0, 0, 0)
        assert sum(counters(sidecar).latency) == 0

    in_world(test)


def test_the_application_s_own_close_is_passed_on(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sent = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        sidecar = await w.sidecar(await w.app("a", reply(sent, close=True)))
        answer = await w.raw(sidecar.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

    in_world(test)


def test_a_kept_connection_that_died_is_replaced_for_a_get_and_avoided_for_a_post(in_world: Any, http: Any) -> None:
    """The application reads a request on a kept connection and closes without a word, each time."""
    kept: set[Any] = set()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        await http.read_body(reader, message)
        if writer in kept:
            return False
        kept.add(writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test(w: Any) -> None:
        app = await w.app("a", script)
        sidecar = await w.sidecar(app, recent=0.0)
        for method in ("GET", "GET", "POST", "PUT", "DELETE"):
            assert (await w.ask(sidecar.port, method, body=b"b" if method in ("POST", "PUT") else b"")).status == 200
        # The second GET, PUT and DELETE met a dead connection; the POST had its own.
        assert failures(sidecar) == {"reset": 3}
        assert counters(sidecar).requests[1] == 5
        assert [m.start.split()[0] for m in app.seen].count("POST") == 1

    in_world(test)


def test_a_post_takes_a_connection_that_was_used_a_moment_ago_if_the_kernel_knows_no_close(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app, recent=60.0)
        for _ in range(3):
            assert (await w.ask(sidecar.port, "POST", body=b"b")).status == 200
        assert app.connections == 1
        (upstream,) = sidecar.service.pool.peer(sidecar.service.own).idle
        # The application closes, and the loop of the sidecar has had no turn to learn of it.
        for writer in app._writers:
            writer.transport.abort()
        assert (await w.ask(sidecar.port, "POST", body=b"b")).status == 200
        assert failures(sidecar) == {}
        assert upstream.transport.is_closing()

    in_world(test)
