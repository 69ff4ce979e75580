"""The web provider on a machine where Services are elsewhere than their names say."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.providers import Context, open_session, provider_of
from coalmine_controller.analysis.settings import read_web
from coalmine_controller.connect_to import ConnectTo, Resolver, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ('connect-to = "Web:80:127.1.16.5:8080"\n', {("web", 80): ("127.1.16.5", 8080)}),
        ('# a comment\n\nurl = "http://x/"\nconnect-to = "a.b:1:10.0.0.1:2"', {("a.b", 1): ("10.0.0.1", 2)}),
        ('connect-to = "web:80:127.1.16.500:8080"', {}),
        ('connect-to = "web:80:example.com:8080"', {}),
        ('connect-to = "web::127.1.16.5:8080"', {}),
    ],
)
def test_file(text: str, expected: dict[tuple[str, int], tuple[str, int]]) -> None:
    assert parse(text) == expected


class Dns(AbstractResolver):
    """Knows one name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="192.0.2.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def test_names_that_the_file_does_not_have_go_to_dns(tmp_path: Path) -> None:
    file = tmp_path / "connect-to"
    resolver = Resolver(ConnectTo(file), Dns())

    async def where(host: str, port: int) -> tuple[str, int]:
        (found,) = await resolver.resolve(host, port)
        return found["host"], found["port"]

    async def story() -> None:
        assert await where("web.default", 80) == ("192.0.2.1", 80)
        file.write_text('connect-to = "web.default:80:127.1.16.5:8080"\n')
        assert await where("web.default", 80) == ("127.1.16.5", 8080)
        assert await where("web.default", 81) == ("192.0.2.1", 81)
        (tmp_path / "new").write_text('connect-to = "web.default:80:127.1.16.6:80"\n')
        (tmp_path / "new").rename(file)
        assert await where("web.default", 80) == ("127.1.16.6", 80)

    asyncio.run(story())


def test_measurement_goes_where_the_file_says(tmp_path: Path) -> None:
    """A bare host gets the Rollout's namespace first; the server still sees the host that was asked for."""
    file = tmp_path / "connect-to"

    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"host": request.host})

    async def story() -> str:
        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.205.16.5", 0).start()
            file.write_text(f'connect-to = "web.shop:80:127.205.16.5:{runner.addresses[0][1]}"\n')
            known = ConnectTo(file)
            settings = read_web(Fields({"url": "http://web/", "jsonPath": "{$.host}"}, "web", ""))
            context = Context("shop", lambda: open_session(Resolver(known)))
            return (await provider_of(settings).measure(context)).value
        finally:
            await runner.cleanup()

    assert asyncio.run(story()) == '"web.shop"'
