"""Where the servers listen: at every address of both families, or of the one that there is."""

from __future__ import annotations

import asyncio
import errno
import socket

import aiohttp
import pytest
from aiohttp import web

from coalmine_webhook.listening import everywhere, served


def app():
    async def hello(_):
        return web.Response(text="hello")

    made = web.Application()
    made.router.add_get("/", hello)
    return made


async def said(host, port):
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
        return await response.text()


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", pytest.param("[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6"))],
)
def test_without_a_host_every_address(host):
    async def story():
        async with served(app(), (None, 0)) as ((_, port),):
            assert await said(host, port) == "hello"

    asyncio.run(story())


def test_where_there_is_no_ipv6(monkeypatch):
    real = socket.create_server

    def without(address, *, family=socket.AF_INET, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", without)
    with everywhere(0) as listener:
        assert listener.family == socket.AF_INET


def test_a_port_that_is_taken_is_said():
    with everywhere(0) as listener, pytest.raises(OSError, match="in use") as caught:
        everywhere(listener.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


def test_one_host():
    async def story():
        async with served(app(), ("127.0.0.1", 0)) as ((host, port),):
            assert host == "127.0.0.1"
            assert await said(host, port) == "hello"
        with pytest.raises(aiohttp.ClientConnectorError):
            await said(host, port)

    asyncio.run(story())


def test_what_is_to_be_finished_is_waited_for_when_nobody_can_connect():
    async def story():
        seen = []

        async def finish():
            with pytest.raises(aiohttp.ClientConnectorError):
                await said("127.0.0.1", port)
            seen.append("finished")

        async with served(app(), ("127.0.0.1", 0), finish=finish) as ((_, port),):
            assert await said("127.0.0.1", port) == "hello"
        assert seen == ["finished"]

    asyncio.run(story())
