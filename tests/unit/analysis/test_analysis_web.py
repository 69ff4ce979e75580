"""The web provider against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import yarl
from aiohttp import web

from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.providers import Context, Measured, MeasurementError, open_session, provider_of
from coalmine_controller.analysis.providers.fetch import MAX_BODY, in_namespace
from coalmine_controller.analysis.providers.web import MAX_REDIRECTS
from coalmine_controller.analysis.settings import WebSettings, read_web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def settings(timeout: float | None = None, **fields: Any) -> WebSettings:
    """Settings as a template gives them; `timeout` for one that is shorter than it may say."""
    read = read_web(Fields(fields, "spec.metrics[0].provider.web", ""))
    return read if timeout is None else replace(read, timeout=timeout)


def measure(handler: Handler, path: str = "/", **fields: Any) -> Measured:
    """One measurement of a server that answers with `handler`."""

    async def main() -> Measured:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            provider = provider_of(settings(url=f"http://127.0.0.1:{port}{path}", **fields))
            return await provider.measure(Context("default", open_session))
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def answering(body: bytes, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type="text/plain")

    return handler


def fault(handler: Handler, path: str = "/", **fields: Any) -> str:
    with pytest.raises(MeasurementError) as caught:
        measure(handler, path, **fields)
    return str(caught.value)


DOCUMENT = b'{"status": "ok", "n": 100.0, "list": [{"v": 1}, {"v": 2}], "none": null, "a.b": 3, "empty": []}'


@pytest.mark.parametrize(
    ("path", "value", "result"),
    [
        ("{$.status}", '"ok"', "ok"),
        ("{.status}", '"ok"', "ok"),
        ("{ $.n }", "100", 100.0),
        ("{$.list[1].v}", "2", 2.0),
        ("{$.list[*].v}", "1", 1.0),  # several matches give the first
        ("{$.list[-1].v}", "2", 2.0),
        ("{$.list[?(@.v == 2)].v}", "2", 2.0),
        ("{$..v}", "1", 1.0),
        ("{$.none}", "null", None),
        ("{$['a.b']}", "3", 3.0),
        ("{$.empty}", "[]", []),
        ("{$.list[0]}", '{"v":1}', {"v": 1.0}),
    ],
)
def test_json_path(path: str, value: str, result: Any) -> None:
    assert measure(answering(DOCUMENT), jsonPath=path) == Measured(value, result)


@pytest.mark.parametrize("path", ["{$.missing}", "{$.empty[*]}", "{$.status.deeper}", "{$.list[7]}"])
def test_a_path_that_finds_nothing_is_an_error(path: str) -> None:
    assert "finds nothing in the answer" in fault(answering(DOCUMENT), jsonPath=path)


def test_without_a_path_the_whole_body() -> None:
    assert measure(answering(b'{"b": 2, "a": 1}')) == Measured('{"a":1,"b":2}', {"a": 1.0, "b": 2.0})


@pytest.mark.parametrize("body", [b"ok", b"NaN", b"", b"Infinity", b"{'a': 1}", b'{"a": 1} trailing'])
def test_a_body_that_is_not_json_is_a_string_and_the_path_is_skipped(body: bytes) -> None:
    assert measure(answering(body), jsonPath="{$.status}") == Measured(body.decode(), body.decode())


@pytest.mark.parametrize("status", [301, 304, 404, 500, 503])
def test_only_2xx_is_an_answer(status: int) -> None:
    told = fault(answering(b"" if status == 304 else DOCUMENT, status), path="/health?token=secret")
    assert told.startswith("GET http://127.0.0.1:")
    assert told.endswith(f"/health: answered {status}, not 2xx")
    assert "secret" not in told


@pytest.mark.parametrize("status", [200, 201, 299])
def test_every_2xx_is(status: int) -> None:
    assert measure(answering(b"1", status)).result == 1.0


def test_the_request_is_the_one_that_was_asked_for() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        headers = {k: request.headers.get(k) for k in ("coalmine-version", "Content-Type", "Connection")}
        seen.append((request.method, headers, await request.text(), len(request.cookies)))
        response = web.Response(text="1")
        response.set_cookie("sticky", "pod-1")
        return response

    headers = [{"key": "coalmine-version", "value": "canary"}]
    measure(handler, headers=headers)
    measure(handler, headers=headers, method="POST", jsonBody={"b": 1, "a": None})
    measure(handler, headers=headers, method="PUT", body="plain")
    methods, sent, bodies, cookies = zip(*seen, strict=True)
    assert methods == ("GET", "POST", "PUT")
    assert [h["coalmine-version"] for h in sent] == ["canary"] * 3
    assert sent[1]["Content-Type"] == "application/json"
    assert bodies == ("", '{"a":null,"b":1}', "plain")
    assert cookies == (0, 0, 0)


def test_each_measurement_has_a_connection_of_its_own() -> None:
    """Else every measurement would go to the pod that the Service gave the first one."""

    async def main() -> set[Any]:
        peers: list[Any] = []

        async def handler(request: web.Request) -> web.Response:
            assert request.transport is not None
            peers.append(request.transport.get_extra_info("peername"))
            return web.Response(text="1")

        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            provider = provider_of(settings(url=f"http://127.0.0.1:{runner.addresses[0][1]}/"))
            for _ in range(3):
                await provider.measure(Context("default", open_session))
        finally:
            await runner.cleanup()
        return set(peers)

    assert len(asyncio.run(main())) == 3


def test_redirects_are_followed_a_few_times() -> None:
    async def handler(request: web.Request) -> web.Response:
        hops = int(request.path.removeprefix("/"))
        if hops:
            raise web.HTTPFound(f"/{hops - 1}")
        return web.Response(text='"there"')

    assert measure(handler, f"/{MAX_REDIRECTS - 1}").result == "there"
    assert fault(handler, f"/{MAX_REDIRECTS + 1}?token=secret").endswith(f"more than {MAX_REDIRECTS} redirects")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://", "ftp://127.0.0.1/"])
def test_a_redirect_to_nowhere_is_an_error(target: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    assert fault(handler).startswith("GET http://127.0.0.1:")


def test_the_answer_is_bounded() -> None:
    assert len(measure(answering(b"x" * MAX_BODY)).result) == MAX_BODY

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    assert fault(endless).endswith(f"the answer is longer than {MAX_BODY} bytes")


def test_deep_json_is_an_error_and_not_a_string() -> None:
    assert "nested more than" in fault(answering(b"[" * 200_000 + b"]" * 200_000))


def test_a_server_that_does_not_answer() -> None:
    async def main() -> str:
        release = asyncio.Event()

        async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await release.wait()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            with pytest.raises(MeasurementError) as caught:
                await provider_of(settings(url=f"http://127.0.0.1:{port}/", timeout=0.05)).measure(
                    Context("default", open_session)
                )
            return str(caught.value)
        finally:
            release.set()
            server.close()
            await server.wait_closed()

    assert asyncio.run(main()).endswith("/: no answer within 0.05 s")


def test_a_server_that_stalls_in_the_middle_of_its_answer() -> None:
    async def stalling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"status":')
        await asyncio.Event().wait()
        return response

    assert fault(stalling, timeout=0.05).endswith("/: no answer within 0.05 s")


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
def test_a_broken_answer(sent: bytes) -> None:
    async def main() -> str:
        async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(broken, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            with pytest.raises(MeasurementError) as caught:
                await provider_of(settings(url=f"http://127.0.0.1:{port}/")).measure(Context("", open_session))
            return str(caught.value)
        finally:
            server.close()
            await server.wait_closed()

    assert asyncio.run(main()).startswith("GET http://127.0.0.1:")


def test_nobody_listens() -> None:
    async def main() -> str:
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(MeasurementError) as caught:
            await provider_of(settings(url=f"http://127.0.0.1:{port}/?token=secret")).measure(Context("", open_session))
        return str(caught.value)

    told = asyncio.run(main())
    assert "Connect call failed" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("url", "namespace", "completed"),
    [
        ("http://colorapi/", "shop", "http://colorapi.shop/"),
        ("http://colorapi:8080/x?y=z", "shop", "http://colorapi.shop:8080/x?y=z"),
        ("http://user:pw@colorapi/", "shop", "http://user:pw@colorapi.shop/"),
        ("http://colorapi.other/", "shop", "http://colorapi.other/"),
        ("http://colorapi.other.svc.cluster.local./", "shop", "http://colorapi.other.svc.cluster.local./"),
        ("http://10.0.0.1/", "shop", "http://10.0.0.1/"),
        ("http://[::1]:80/", "shop", "http://[::1]:80/"),
        ("http://localhost:80/", "shop", "http://localhost:80/"),
        ("http://colorapi/", "", "http://colorapi/"),
    ],
)
def test_a_bare_host_gets_the_namespace(url: str, namespace: str, completed: str) -> None:
    assert in_namespace(yarl.URL(url), namespace) == yarl.URL(completed)


@pytest.mark.parametrize(
    "url", ["http://color api/", "http://a<b/?token=secret", "http://a\\b", "http://xn--a/", "http:///x"]
)
def test_a_url_that_cannot_be_requested_is_an_error(url: str) -> None:
    """One that got past the settings: a run of an earlier version has it."""
    with pytest.raises(MeasurementError) as caught:
        asyncio.run(provider_of(WebSettings(url)).measure(Context("shop", open_session)))
    assert str(caught.value) == "GET: its URL cannot be requested"
