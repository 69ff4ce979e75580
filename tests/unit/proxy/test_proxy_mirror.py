"""Copies of requests: exact in number, harmless to the requests themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from coalmine.model import wire
from coalmine.model.weights import Weight

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


def mirrored(http: Any, stable: Any, canary: Any, percent: int = 100) -> wire.Routing:
    return http.routing(
        [http.World.endpoint(stable)],
        [http.World.endpoint(canary)],
        0,
        mirrors=(wire.MirrorRoute("m", Weight(percent * 100)),),
    )


def outcomes(sidecar: Any) -> dict[str, int]:
    return {k: n for k, n in sidecar.service.stats.arm("canary").mirrored.items() if n}


def settled(sidecar: Any, requests: int) -> Any:
    return lambda: sum(outcomes(sidecar).values()) == requests and not sidecar.service.mirrors.open


def test_copies_arrive_whole_and_nobody_else_notices(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        sidecar = await w.sidecar(stable, trust_all=True)
        sidecar.service.apply(mirrored(http, stable, canary))
        reader, writer = await w.client(sidecar.port)
        for request in (
            GET,
            b"POST /y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            b"POST /z HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
        ):
            for piece in (request[:-4], request[-4:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            assert (await http.read_answer(reader)).body == b"s"
        await http.until(settled(sidecar, 3))
        assert outcomes(sidecar) == {"sent": 3}
        assert [m.start for m in canary.seen] == [m.start for m in stable.seen]
        assert [m.body for m in canary.seen] == [b"", b"abc", b"abc"]
        counted = sidecar.service.stats.counters()
        assert counted["canary"].total == counted["canary"].pinned == 0
        assert sum(counted["canary"].failures) == 0
        assert counted["stable"].requests == (0, 3, 0, 0, 0)

    in_world(test)


def test_the_percentage_is_exact(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        sidecar = await w.sidecar(stable, trust_all=True)
        sidecar.service.apply(mirrored(http, stable, canary, percent=30))
        reader, writer = await w.client(sidecar.port)
        for _ in range(100):
            writer.write(GET)
            await http.read_answer(reader)
        await http.until(lambda: not sidecar.service.mirrors.open)
        assert abs(outcomes(sidecar)["sent"] - 30) <= 2
        assert len(stable.seen) == 100

    in_world(test)


def test_a_mirror_that_is_gone_silent_or_mad_fails_nothing(in_world: Any, http: Any) -> None:
    async def mad(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"what?\r\n\r\n")
        return True

    async def silent(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        await reader.read()
        return False

    async def test(w: Any) -> None:
        stable = await w.app("s")
        gone = await w.app("gone")
        await gone.kill()
        for mirror, failed in ((gone, True), (await w.app("m", mad), True), (await w.app("z", silent), False)):
            sidecar = await w.sidecar(stable, trust_all=True, mirrors=8)
            sidecar.service.apply(mirrored(http, stable, mirror))
            reader, writer = await w.client(sidecar.port)
            for _ in range(20):
                writer.write(GET)
                assert (await http.read_answer(reader)).body == b"s"
            if failed:
                await http.until(settled(sidecar, 20))
                assert outcomes(sidecar) == {"failed": 20}
            else:
                # eight wait for an answer that does not come, the others were not even begun
                assert outcomes(sidecar) == {"skipped": 12}
                assert len(sidecar.service.mirrors.open) == 8
                sidecar.service.wheel.now += 60
                for _ in range(4):
                    sidecar.service.wheel.turn(sidecar.service.wheel.now)
                assert outcomes(sidecar) == {"skipped": 12, "failed": 8}
            assert sum(sidecar.service.stats.counters()["canary"].failures) == 0

    in_world(test)


def test_what_cannot_be_copied_is_counted(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        sidecar = await w.sidecar(stable, trust_all=True, held=1000)
        sidecar.service.apply(mirrored(http, stable, canary))
        large = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
        answer = await w.raw(sidecar.port, large + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert answer.count(b"HTTP/1.1 200") == 2
        await http.until(settled(sidecar, 2))
        assert outcomes(sidecar) == {"skipped": 1, "sent": 1}
        # a client that leaves in the middle of its body leaves no copy
        _, writer = await w.client(sidecar.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhalf")
        await http.until(lambda: sidecar.service.stats.in_flight)
        writer.transport.abort()
        await http.until(settled(sidecar, 3))
        assert outcomes(sidecar) == {"skipped": 2, "sent": 1}
        assert len(canary.seen) == 1

    in_world(test)


def test_slow_uploads_hold_so_many_copies_and_stop_no_others(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        sidecar = await w.sidecar(stable, trust_all=True, mirrors=2)
        sidecar.service.apply(mirrored(http, stable, canary))
        writers = []
        for _ in range(5):
            _, writer = await w.client(sidecar.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhalf")
            writers.append(writer)
        await http.until(lambda: sidecar.service.stats.in_flight == 5)
        assert outcomes(sidecar) == {"skipped": 3}
        assert (await w.ask(sidecar.port)).body == b"s"
        await http.until(lambda: outcomes(sidecar).get("sent") == 1)
        for writer in writers:
            writer.transport.abort()
        await http.until(settled(sidecar, 6))
        assert sidecar.service.mirrors.incomplete == 0

    in_world(test)


def test_an_endless_answer_to_a_copy_is_cut_off(in_world: Any, http: Any) -> None:
    async def endless(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c", endless)
        sidecar = await w.sidecar(stable, trust_all=True)
        sidecar.service.apply(mirrored(http, stable, canary))
        assert (await w.ask(sidecar.port)).body == b"s"
        await http.until(settled(sidecar, 1))
        assert outcomes(sidecar) == {"sent": 1}

    in_world(test)
