"""Which endpoints get connections, and what happens to their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import uvloop

from coalmine.kube.resources import Object
from coalmine_sandbox.service_front import Endpoint, Frontend, RoundRobin, _Pair, endpoints, frontends, reset


def endpoint(address: str, **conditions: bool) -> Object:
    return {"addresses": [address], "conditions": conditions}


READY = endpoint("10.0.0.1", ready=True, serving=True, terminating=False)
UNREADY = endpoint("10.0.0.2", ready=False, serving=False, terminating=False)
LEAVING = endpoint("10.0.0.3", ready=False, serving=True, terminating=True)
GONE = endpoint("10.0.0.4", ready=False, serving=False, terminating=True)
UNKNOWN = endpoint("10.0.0.10")


def a_slice(*found: Object, name: str = "web", port: int = 5000) -> Object:
    return {"endpoints": list(found), "ports": [{"name": name, "port": port}]}


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([], []),
        ([a_slice(READY, UNREADY, LEAVING, GONE)], [("10.0.0.1", 5000)]),
        ([a_slice(UNREADY, LEAVING, GONE)], [("10.0.0.3", 5000)]),
        ([a_slice(UNREADY, GONE)], []),
        ([a_slice(UNKNOWN, READY)], [("10.0.0.1", 5000), ("10.0.0.10", 5000)]),
        # pods whose port of that name differs, as those with and without a sidecar
        ([a_slice(UNKNOWN), a_slice(READY, port=17080)], [("10.0.0.1", 17080), ("10.0.0.10", 5000)]),
        ([a_slice(READY, name="other")], []),
        ([{"endpoints": None, "ports": None}], []),
    ],
)
def test_endpoints(slices: list[Object], expected: list[Endpoint]) -> None:
    assert endpoints(slices, "web") == expected


def service(**spec: Any) -> Object:
    return {"metadata": {"name": "s", "namespace": "n"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}, [("", 80)]),
        (
            {"clusterIP": "10.96.0.9", "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]},
            [("a", 1), ("b", 2)],
        ),
        ({"clusterIP": "10.96.0.9", "ports": [{"port": 53, "protocol": "UDP"}]}, []),
        ({"clusterIP": "10.96.0.9", "type": "LoadBalancer", "ports": [{"port": 80}]}, [("", 80)]),
        ({"clusterIP": "None", "ports": [{"port": 80}]}, []),
        ({"type": "ExternalName"}, []),
    ],
)
def test_frontends(spec: Object, expected: list[tuple[str, int]]) -> None:
    assert [(f.port_name, f.port) for f in frontends(service(**spec))] == expected


def test_round_robin_goes_on_where_it_was() -> None:
    turns = RoundRobin()
    assert turns.pick() is None
    a, b, c, d = (("10.0.0.1", n) for n in range(4))
    turns.replace([a, b, c])
    assert [turns.pick() for _ in range(4)] == [a, b, c, a]
    turns.replace([a, c, d])  # b would have been next
    assert [turns.pick() for _ in range(3)] == [c, d, a]
    turns.replace([b])
    assert [turns.pick() for _ in range(2)] == [b, b]


FRONTEND = Frontend("n", "s", "web", "127.0.0.1", 0)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def through_front(serve: Serve, client: Callable[[int], Awaitable[None]], *, dead: bool = False) -> None:
    """Run `client` against a front whose one endpoint is `serve`, with both kinds of loop."""

    async def story() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if dead:
            server.close()
            await server.wait_closed()
        async with asyncio.TaskGroup() as group:
            pick: Callable[[], Endpoint | None] = lambda: ("127.0.0.1", port)  # noqa: E731
            front = await asyncio.get_running_loop().create_server(
                lambda: _Pair(FRONTEND, pick, group).client, "127.0.0.1", 0
            )
            await client(front.sockets[0].getsockname()[1])
            front.close()
        server.close()

    asyncio.run(story())
    uvloop.run(story())


def test_bytes_and_half_closes_pass_both_ways() -> None:
    """The client closes its half first, and still gets an answer that depends on all it sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        total = 0
        while data := await reader.read(65536):
            total += len(data)
        writer.write(b"%d bytes" % total)
        await writer.drain()
        writer.close()

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(64):
            writer.write(b"x" * 65536)
            await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"4194304 bytes"
        writer.close()
        await writer.wait_closed()

    through_front(serve, client)


def test_slow_reader_holds_the_writer_back() -> None:
    sent = 0
    stopped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except OSError:
            stopped.set()

    async def client(port: int) -> None:
        nonlocal sent, stopped
        sent, stopped = 0, asyncio.Event()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        assert await reader.readexactly(1) == b"x"
        before = -1
        while before != sent < 64 * 1024 * 1024:  # until nothing moves: every buffer on the way is full
            before = sent
            for _ in range(50):
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
        assert sent < 64 * 1024 * 1024
        writer.transport.abort()
        await stopped.wait()

    through_front(serve, client)


async def _never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raise AssertionError("nobody connects")


def test_dead_endpoint_resets_the_client() -> None:
    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    through_front(_never, client, dead=True)


def test_reset_by_the_endpoint_reaches_the_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(cast(asyncio.Transport, writer.transport))

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    through_front(serve, client)
