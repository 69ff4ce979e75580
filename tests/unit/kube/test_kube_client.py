"""The client against a small API server of its own: real HTTP on loopback."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from coalmine.kube.calls import Call
from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, NODES, PODS
from coalmine.kube.verbs import STRATEGIC, ApiError, ConflictError, Event, GoneError, NotFoundError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PATH = "/apis/apps/v1/namespaces/ns/deployments"


class _Library:
    """What `Client` uses of the kubernetes library."""

    def __init__(self, host: str) -> None:
        self.configuration = SimpleNamespace(host=host, tls_server_name=None, get_api_key_with_prefix=self._token)
        self.rest_client = SimpleNamespace(_create_pool_manager=aiohttp.ClientSession)
        self.tokens = iter([f"Bearer {n}" for n in range(100)])

    async def _token(self, identifier: str, alias: str | None = None) -> str:
        assert (identifier, alias) == ("BearerToken", "authorization")
        return next(self.tokens)

    async def close(self) -> None:
        pass


class Server:
    """Answers with `handle`; keeps what was asked."""

    def __init__(self) -> None:
        self.seen: list[SimpleNamespace] = []
        self.handle: Handler = self._nothing

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.json_response({})

    async def _entry(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.seen.append(
            SimpleNamespace(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers=request.headers,
                body=json.loads(text) if text else None,
            )
        )
        return await self.handle(request)

    async def start(self) -> str:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._entry)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        await self._runner.cleanup()


def story(tell: Callable[[Server, Client], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server()
        host = await server.start()
        client = Client(_Library(host), "of-context")
        client.request_seconds = 20.0
        try:
            async with client:
                await tell(server, client)
        finally:
            await server.stop()

    asyncio.run(main())


def answer(body: Any, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return handle


def failure(code: int, reason: str = "", message: str = "no") -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


# --- requests ----------------------------------------------------------------------------------------


def test_what_is_sent() -> None:
    async def tell(server: Server, client: Client) -> None:
        assert client.namespace == "of-context"
        merge = {"metadata": {"resourceVersion": "7", "annotations": {"a": None}}}
        await client.get(NODES, None, "n")
        await client.create(DEPLOYMENTS, "ns", {"metadata": {"name": "d"}})
        await client.create(PODS, "ns", {"metadata": {"name": "p"}}, "eviction")
        await client.replace(DEPLOYMENTS, "ns", {"metadata": {"name": "d", "resourceVersion": "7"}}, "status")
        await client.patch(DEPLOYMENTS, "ns", "d", merge)
        await client.patch(DEPLOYMENTS, "ns", "d", merge, "status", kind=STRATEGIC, query={"dryRun": "All"})
        await client.delete(DEPLOYMENTS, "ns", "d", uid="u", propagation="Foreground")
        await client.delete(DEPLOYMENTS, "ns", "d")
        await client.raw("GET", "/version")
        assert [(s.method, s.path, s.query, s.body) for s in server.seen] == [
            ("GET", "/api/v1/nodes/n", {}, None),
            ("POST", PATH, {}, {"metadata": {"name": "d"}}),
            ("POST", "/api/v1/namespaces/ns/pods/p/eviction", {}, {"metadata": {"name": "p"}}),
            ("PUT", f"{PATH}/d/status", {}, {"metadata": {"name": "d", "resourceVersion": "7"}}),
            ("PATCH", f"{PATH}/d", {}, merge),
            ("PATCH", f"{PATH}/d/status", {"dryRun": "All"}, merge),
            ("DELETE", f"{PATH}/d", {}, {"propagationPolicy": "Foreground", "preconditions": {"uid": "u"}}),
            ("DELETE", f"{PATH}/d", {}, {"propagationPolicy": "Background"}),
            ("GET", "/version", {}, None),
        ]
        kinds = [s.headers.get("Content-Type") for s in server.seen if s.method == "PATCH"]
        assert kinds == ["application/merge-patch+json", "application/strategic-merge-patch+json"]
        tokens = [s.headers["Authorization"] for s in server.seen]
        assert tokens == [f"Bearer {n}" for n in range(9)], "the library is asked each time: tokens are renewed"

    story(tell)


def test_a_list_is_read_page_by_page() -> None:
    async def tell(server: Server, client: Client) -> None:
        async def handle(request: web.Request) -> web.Response:
            page = int(request.query.get("continue", "0"))
            items = [{"metadata": {"name": f"d{page}"}}] if page != 1 else None  # a page may be empty
            metadata = {"resourceVersion": "41"} | ({"continue": str(page + 1)} if page < 2 else {})
            return web.json_response({"items": items, "metadata": metadata})

        server.handle = handle
        items, version = await client.list(DEPLOYMENTS, labels="a=b", fields="metadata.name=x")
        assert version == "41"
        assert items == [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"d{n}"}} for n in (0, 2)]
        selectors = {"limit": "500", "labelSelector": "a=b", "fieldSelector": "metadata.name=x"}
        assert [s.query for s in server.seen] == [
            selectors,
            {**selectors, "continue": "1"},
            {**selectors, "continue": "2"},
        ]

    story(tell)


def test_a_list_that_expires_half_way() -> None:
    async def tell(server: Server, client: Client) -> None:
        async def handle(request: web.Request) -> web.Response:
            if "continue" in request.query:
                return web.json_response(failure(410, "Expired"), status=410)
            return web.json_response({"items": [], "metadata": {"continue": "x"}})

        server.handle = handle
        with pytest.raises(GoneError):
            await client.list(DEPLOYMENTS)

    story(tell)


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFoundError), (409, ConflictError), (410, GoneError), (403, ApiError), (422, ApiError), (500, ApiError)],
)
def test_error_answers(status: int, kind: type[ApiError]) -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = answer(failure(status, "Because", "a sentence"), status)
        with pytest.raises(kind) as caught:
            await client.get(DEPLOYMENTS, "ns", "d")
        error = caught.value
        assert type(error) is kind
        assert (error.status, error.reason, error.message, str(error)) == (
            status,
            "Because",
            "a sentence",
            "a sentence",
        )

    story(tell)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "HTTP status 502"),
        (b"[1, 2]", "[1, 2]"),
        (b"null", "null"),
        ("Serveur arrêté".encode("latin-1"), "Serveur arr\ufffdt\ufffd"),
        (b"x" * 100_000, "x" * 500),
    ],
    ids=["html", "empty", "a list", "null", "another encoding", "long"],
)
def test_error_bodies_of_somebody_in_between(body: bytes, message: str) -> None:
    async def tell(server: Server, client: Client) -> None:
        async def handle(request: web.Request) -> web.Response:
            return web.Response(body=body, status=502)

        server.handle = handle
        with pytest.raises(ApiError) as caught:
            await client.get(DEPLOYMENTS, "ns", "d")
        assert (caught.value.status, caught.value.message) == (502, message)

    story(tell)


@pytest.mark.parametrize("body", [b"", b"not JSON", b"null", b"5", b"\xff", b'{"cut": '])
def test_a_good_answer_that_is_no_object(body: bytes) -> None:
    async def tell(server: Server, client: Client) -> None:
        async def handle(request: web.Request) -> web.Response:
            return web.Response(body=body, content_type="application/json")

        server.handle = handle
        with pytest.raises(ApiError, match="not JSON"):
            await client.get(DEPLOYMENTS, "ns", "d")

    story(tell)


def test_what_is_not_there() -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = answer(failure(404), 404)
        assert await client.find(DEPLOYMENTS, "ns", "d") is None
        await client.delete(DEPLOYMENTS, "ns", "d")

    story(tell)


def test_a_hung_request_ends() -> None:
    async def tell(server: Server, client: Client) -> None:
        entered, end = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> web.Response:
            entered.set()
            await end.wait()
            return web.Response()

        server.handle = hang
        client.request_seconds = 0.3
        with pytest.raises(ApiError, match="cannot be reached") as caught:
            await client.get(DEPLOYMENTS, "ns", "d")
        assert caught.value.status == 0
        assert entered.is_set()
        end.set()

    story(tell)


def test_the_time_limit_is_below_the_renew_deadline() -> None:
    assert Client.request_seconds < 10.0


def test_nobody_listens() -> None:
    async def tell(server: Server, client: Client) -> None:
        await server.stop()
        with pytest.raises(ApiError, match="cannot be reached"):
            await client.get(DEPLOYMENTS, "ns", "d")

    story(tell)


# --- watches -----------------------------------------------------------------------------------------


def stream(*pieces: bytes, cut: bool = False) -> Handler:
    """An answer in pieces, each flushed by itself; `cut` drops the connection in its middle."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return response

    return handle


def line(kind: str, name: str, version: str, **more: Any) -> bytes:
    return (
        json.dumps({"type": kind, "object": {"metadata": {"name": name, "resourceVersion": version}, **more}}).encode()
        + b"\n"
    )


async def collect(events: AsyncIterator[Event]) -> list[tuple[str, str]]:
    return [(e.type, e.object["metadata"]["resourceVersion"]) async for e in events]


def test_a_watch_with_bookmarks() -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = stream(line("ADDED", "a", "5") + line("MODIFIED", "a", "6"), line("BOOKMARK", "", "9"))
        seen = await collect(client.watch(DEPLOYMENTS, None, "4", labels="a=b"))
        assert seen == [("ADDED", "5"), ("MODIFIED", "6"), ("BOOKMARK", "9")]
        query = server.seen[0].query
        assert (query["watch"], query["resourceVersion"], query["allowWatchBookmarks"]) == ("true", "4", "true")
        assert query["labelSelector"] == "a=b"
        assert int(query["timeoutSeconds"]) > 0

    story(tell)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_watch_in_any_pieces(size: int) -> None:
    async def tell(server: Server, client: Client) -> None:
        whole = line("ADDED", "a", "5") + line("DELETED", "é", "6")
        server.handle = stream(*(whole[i : i + size] for i in range(0, len(whole), size)))
        assert await collect(client.watch(DEPLOYMENTS, None, "4")) == [("ADDED", "5"), ("DELETED", "6")]

    story(tell)


def test_an_event_larger_than_a_stream_s_line() -> None:
    """Objects may be 1.5 MiB; an annotation alone 256 KiB."""

    async def tell(server: Server, client: Client) -> None:
        server.handle = stream(line("ADDED", "a", "5", data="x" * 1_500_000), line("ADDED", "b", "6"))
        assert await collect(client.watch(DEPLOYMENTS, None, "4")) == [("ADDED", "5"), ("ADDED", "6")]

    story(tell)


def test_an_event_without_end() -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = stream(*[b"x" * 1_000_000] * 18)
        with pytest.raises(ApiError, match="longer than"):
            await collect(client.watch(DEPLOYMENTS, None, "4"))

    story(tell)


def test_the_error_event_of_an_expired_watch() -> None:
    async def tell(server: Server, client: Client) -> None:
        error = json.dumps({"type": "ERROR", "object": failure(410, "Expired", "too old resource version")})
        server.handle = stream(line("ADDED", "a", "5"), error.encode() + b"\n")
        events = client.watch(DEPLOYMENTS, None, "4")
        assert (await anext(events)).type == "ADDED"
        with pytest.raises(GoneError, match="too old"):
            await anext(events)

    story(tell)


@pytest.mark.parametrize(("status", "kind"), [(410, GoneError), (403, ApiError), (500, ApiError)])
def test_a_watch_that_is_refused(status: int, kind: type[ApiError]) -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = answer(failure(status), status)
        with pytest.raises(kind):
            await collect(client.watch(DEPLOYMENTS, None, "4"))

    story(tell)


@pytest.mark.parametrize("last", [b"", b'{"type": "ADDED", "obj'], ids=["between events", "within an event"])
def test_a_watch_that_is_cut(last: bytes) -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = stream(line("ADDED", "a", "5"), last, cut=True)
        with pytest.raises(ApiError):
            await collect(client.watch(DEPLOYMENTS, None, "4"))

    story(tell)


@pytest.mark.parametrize(
    "bad",
    [
        b"not JSON",
        b"5",
        b"{}",
        b'{"type": "ADDED", "object": null}',
        b'{"type": "ADDED", "object": {}}',
        b'{"type": "ERROR", "object": 5}',
        b'{"type": "ADDED", "object": {"metadata": null}}',
        b"\xff",
        b"[" * 100000,
    ],
    ids=range(9),
)
def test_a_watch_that_talks_nonsense(bad: bytes) -> None:
    async def tell(server: Server, client: Client) -> None:
        server.handle = stream(bad + b"\n")
        with pytest.raises(ApiError, match="malformed"):
            await collect(client.watch(DEPLOYMENTS, None, "4"))

    story(tell)


def test_keys_of_a_kubeconfig_are_not_left_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library writes them to the temporary directory; a process that is killed would leave them there."""
    from coalmine_sandbox import kubeconfig
    from coalmine_sandbox.certificates import Authority

    authority = Authority("test", datetime.datetime.now(datetime.UTC))
    user = kubeconfig.certificate_user(authority.issue("somebody"))
    file = kubeconfig.write(tmp_path / "kubeconfig", "https://127.0.0.1:1", authority.certificate, user)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    async def work() -> None:
        for _ in range(2):  # the library remembers what it has written
            async with await Client.connect(str(file)):
                assert list(scratch.iterdir()) == []

    asyncio.run(work())


def test_who_counts_is_told_of_each_request() -> None:
    seen: list[Call] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/gone"):
            raise web.HTTPNotFound
        return web.json_response({"metadata": {}, "items": []})

    async def main() -> None:
        server = Server()
        server.handle = answer
        client = Client(_Library(await server.start()), observe=seen.append)
        async with client:
            await client.list(DEPLOYMENTS, "ns")
            await client.find(PODS, "ns", "gone")
            with pytest.raises(ApiError, match="malformed"):  # a list is no event; the watch is counted all the same
                _ = [event async for event in client.watch(PODS, None, "1")]
        await server.stop()

    asyncio.run(main())
    assert [call[:3] for call in seen] == [("List", "deployments", 200), ("Get", "pods", 404), ("Watch", "pods", 200)]
    assert all(call.seconds >= 0 for call in seen)


def test_no_answer_is_counted_as_status_0() -> None:
    seen: list[Call] = []

    async def main() -> None:
        client = Client(_Library("http://127.0.0.1:1"), observe=seen.append)
        async with client:
            with pytest.raises(ApiError):
                await client.get(NODES, None, "a")

    asyncio.run(main())
    assert [call[:3] for call in seen] == [("Get", "nodes", 0)]


def kubeconfig_of(tmp_path: Path, server: str, **cluster: str) -> str:
    """A kubeconfig with these fields on its cluster."""
    user = {"name": "me", "user": {"token": "t"}}
    context = {"name": "c", "context": {"cluster": "k", "user": "me"}}
    of_cluster = {"server": server, "insecure-skip-tls-verify": True, **cluster}
    clusters = [{"name": "k", "cluster": of_cluster}]
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps({"current-context": "c", "clusters": clusters, "contexts": [context], "users": [user]}))
    return str(file)


def proxy_of(kubeconfig: str) -> str | None:
    """The proxy that its requests go by."""

    async def connect() -> str | None:
        async with await Client.connect(kubeconfig) as client:
            kwargs: dict[str, Any] = client._configuration.client_session_kwargs
            return kwargs["proxy"]

    return asyncio.run(connect())


def test_the_kubeconfigs_proxy_has_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://environment:3128")
    monkeypatch.setenv("no_proxy", "")
    server = "https://api.example:6443"
    assert proxy_of(kubeconfig_of(tmp_path, server)) == "http://environment:3128"
    given = kubeconfig_of(tmp_path, server, **{"proxy-url": "http://named:3128"})
    assert proxy_of(given) == "http://named:3128"
    monkeypatch.setenv("no_proxy", "api.example")
    assert proxy_of(given) == "http://named:3128"


@pytest.mark.parametrize(
    ("server", "excepted", "asked"),
    [
        ("https://10.96.0.1:443", "example, 10.0.0.0/8", False),
        ("https://10.96.0.1:443", "10.96.7.7/16", False),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://10.96.0.1:443", "192.168.0.0/16,nonsense/99,fd00::/8", True),
        ("https://api.example:6443", "10.0.0.0/8", True),
        ("https://api.example:6443", ".example", False),
    ],
)
def test_networks_in_no_proxy(
    server: str, excepted: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://environment:3128")
    monkeypatch.setenv("no_proxy", excepted)
    assert proxy_of(kubeconfig_of(tmp_path, server)) == ("http://environment:3128" if asked else None)


def test_the_kubeconfigs_server_name_is_the_one_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's certificate is for another name than the address that it is reached at."""
    import ssl

    from coalmine_sandbox.certificates import Authority

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    named: list[str | None] = []

    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Node"})

    async def main() -> None:
        pair = Authority("test", datetime.datetime.now(datetime.UTC)).issue("server")
        (tmp_path / "pair.pem").write_bytes(pair.key + pair.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "pair.pem")
        context.sni_callback = lambda _socket, name, _context: named.append(name)
        application = web.Application()
        application.router.add_get("/{tail:.*}", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            server = f"https://127.0.0.1:{runner.addresses[0][1]}"
            file = kubeconfig_of(tmp_path, server, **{"tls-server-name": "kubernetes.example"})
            async with await Client.connect(file) as client:
                await client.get(NODES, None, "n")
        finally:
            await runner.cleanup()

    asyncio.run(main())
    assert named == ["kubernetes.example"]
