"""The server over TLS, as our own client and the process around it use it: on the loopback, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from api_stand import Stand, config_map, deployment, pod

from coalmine.kube.client import Client
from coalmine.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    resource_version_of,
)
from coalmine.kube.verbs import ApiError, ConflictError, GoneError, NotFoundError
from coalmine_sandbox import kubeconfig
from coalmine_sandbox.api import server
from coalmine_sandbox.api.authentication import Tokens
from coalmine_sandbox.api.server import Server
from coalmine_sandbox.certificates import Authority, signing_key

ADDRESS = "127.0.0.1"


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """The files that the server wants, and a client's certificate."""
    authority = Authority("test", datetime.datetime.now(datetime.UTC))
    own = authority.issue("kube-apiserver", hosts=[ADDRESS])
    admin = authority.issue("admin", groups=["system:masters"])
    files = {
        "ca.crt": authority.certificate,
        "apiserver.crt": own.certificate,
        "apiserver.key": own.key,
        "sa.key": signing_key()[0],
        "admin.crt": admin.certificate,
        "admin.key": admin.key,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


class Served:
    """A stand behind a socket."""

    def __init__(self, pki: Path) -> None:
        self.stand = Stand()
        self.pki = pki
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Client]:
        tokens: Tokens = self.stand.api.tokens
        serving = Server(self.stand.api.handler, tokens, self.pki)
        self.port = await serving.start(ADDRESS, 0)
        try:
            async with await Client.connect(str(config(self.pki, self.port))) as client:
                yield client
        finally:
            await serving.stop()
            await self.stand.api.close()

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Without a client certificate."""
        trust = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        async with aiohttp.ClientSession(
            f"https://{ADDRESS}:{self.port}", connector=aiohttp.TCPConnector(ssl=trust)
        ) as session:
            yield session


def config(pki: Path, port: int) -> Path:
    user = {"client-certificate": str(pki / "admin.crt"), "client-key": str(pki / "admin.key")}
    return kubeconfig.write(pki / "kubeconfig", f"https://{ADDRESS}:{port}", (pki / "ca.crt").read_bytes(), user)


def test_our_client_does_all_it_can(pki: Path) -> None:
    served = Served(pki)

    async def use() -> None:
        async with served.running() as client:
            made = await client.create(DEPLOYMENTS, "default", deployment())
            with pytest.raises(ConflictError):
                await client.create(DEPLOYMENTS, "default", deployment())
            items, version = await client.list(DEPLOYMENTS)
            assert items == [made]
            watch = client.watch(DEPLOYMENTS, "default", version)
            changed = await client.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 5}})
            event = await anext(watch)
            assert (event.type, event.object) == ("MODIFIED", changed)
            with pytest.raises(ConflictError):
                await client.replace(DEPLOYMENTS, "default", made)
            await client.patch(DEPLOYMENTS, "default", "web", {"status": {"replicas": 1}}, "status")
            assert (await anext(watch)).object["status"] == {"replicas": 1}
            with pytest.raises(ConflictError):
                await client.delete(DEPLOYMENTS, "default", "web", uid="another")
            await client.delete(DEPLOYMENTS, "default", "web")
            assert (await anext(watch)).type == "DELETED"
            with pytest.raises(NotFoundError):
                await client.get(DEPLOYMENTS, "default", "web")
            served.stand.store.compact()
            with pytest.raises(GoneError):
                await anext(client.watch(DEPLOYMENTS, "default", version))

    asyncio.run(use())


def test_who_asks_is_the_certificate_or_the_token_or_nobody(pki: Path) -> None:
    served = Served(pki)

    async def use() -> None:
        async with served.running() as client:
            review: Any = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            me = await client.raw("POST", path, review)
            assert me["status"]["userInfo"] == {
                "username": "admin",
                "groups": ["system:masters", "system:authenticated"],
            }
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
            await client.create(SERVICE_ACCOUNTS, "default", account)
            asked: Any = {"metadata": {"name": "robot"}, "spec": {}}
            token = (await client.create(SERVICE_ACCOUNTS, "default", asked, "token"))["status"]["token"]
            async with served.raw() as session:
                bearer = {"Authorization": f"Bearer {token}"}
                async with session.post(path, json=review, headers=bearer) as answer:
                    who = (await answer.json())["status"]["userInfo"]["username"]
                assert who == "system:serviceaccount:default:robot"
                async with session.get("/api/v1/nodes", headers={"Authorization": "Bearer nonsense"}) as answer:
                    assert (answer.status, (await answer.json())["message"]) == (401, "Unauthorized")
                async with session.get("/api/v1/nodes") as answer:
                    assert answer.status == 403
                async with session.get("/readyz") as answer:
                    assert await answer.text() == "ok"

    asyncio.run(use())


def test_warnings_and_bounds_go_over_the_wire(pki: Path) -> None:
    served = Served(pki)

    async def use() -> None:
        async with served.running() as client:
            served.stand.admission.warnings = ['say "hello"\nyou']
            await client.list(NAMESPACES)
            session = client._session
            assert session is not None
            url = f"https://{ADDRESS}:{served.port}/api/v1/namespaces/default/configmaps"
            async with session.post(url, data=io.BytesIO(b"x" * (4 << 20))) as answer:
                assert answer.status == 413
            async with session.post(url, json=config_map("a")) as answer:
                assert answer.headers.getall("Warning") == ['299 - "say \\"hello\\" you"']

    asyncio.run(use())


async def watching(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A watch of all ConfigMaps that is answered, and not read any further."""
    trust = ssl.create_default_context(cafile=str(served.pki / "ca.crt"))
    trust.load_cert_chain(served.pki / "admin.crt", served.pki / "admin.key")
    reader, writer = await asyncio.open_connection(ADDRESS, served.port, ssl=trust, limit=1024)
    writer.write(b"GET /api/v1/configmaps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    return reader, writer


def test_a_watcher_that_never_reads_is_hung_up_on(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PATIENCE_SECONDS", 0.1)
    served = Served(pki)

    async def use() -> None:
        async with served.running():
            _, writer = await watching(served)
            store = served.stand.store
            big = config_map("a", x="y" * 1_000_000)
            big["metadata"]["namespace"] = "default"
            while store._listeners[CONFIG_MAPS]:
                store.put(CONFIG_MAPS, big)
                await asyncio.sleep(0.01)
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(use(), 60))


def test_no_watch_holds_up_the_end(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being answered is waited for; a watch would never be."""
    monkeypatch.setattr(server, "_GOODBYE_SECONDS", 3600.0)
    served = Served(pki)

    async def use() -> None:
        async with served.running():
            reader, writer = await watching(served)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()

    asyncio.run(asyncio.wait_for(use(), 60))


def test_a_log_is_passed_on_from_the_nodes_agent(pki: Path) -> None:
    served = Served(pki)
    asked: list[str] = []

    async def agent(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(str(request.rel_url))
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"one\n")
        await answer.write(b"two\n")
        return answer

    async def use() -> None:
        runner = web.ServerRunner(web.Server(agent))
        await runner.setup()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        await web.TCPSite(runner, ADDRESS, 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        async with served.running() as client:
            endpoint = {"kubeletEndpoint": {"Port": port}}
            status = {"addresses": [{"type": "InternalIP", "address": ADDRESS}], "daemonEndpoints": endpoint}
            await client.create(NODES, None, {"metadata": {"name": "here"}, "status": status})
            await client.create(PODS, "default", pod(nodeName="here"))
            session = client._session
            assert session is not None
            url = f"https://{ADDRESS}:{served.port}/api/v1/namespaces/default/pods/one/log"
            async with session.get(url, params={"follow": "true", "tailLines": "5"}) as answer:
                assert (answer.status, await answer.text()) == (200, "one\ntwo\n")
            async with session.get(url, params={"container": "other"}) as answer:
                assert "container other is not valid for pod one" in (await answer.json())["message"]
        await runner.cleanup()
        async with served.running() as client:
            with pytest.raises(ApiError) as refused:
                await client.raw("GET", "/api/v1/namespaces/default/pods/one/log")
            assert refused.value.status == 500
        assert asked == ["/containerLogs/default/one/app?follow=true&tailLines=5"]

    asyncio.run(use())


def free_port() -> int:
    with socket.socket() as found:
        found.bind((ADDRESS, 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def control_plane(pki: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    command = ["-m", "coalmine_sandbox", "control-plane", "--address", ADDRESS, "--port", str(port)]
    command += ["--pki", str(pki), "--services", "127.31.0.0/24", "--state", str(pki / "state")]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with await Client.connect(str(config(pki, port))) as client:
            while process.returncode is None:
                with contextlib.suppress(ApiError):
                    await client.raw("GET", "/api/v1/namespaces/default/serviceaccounts/default")
                    break
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_killed_control_plane_comes_back_with_everything(pki: Path) -> None:
    port = free_port()

    async def use() -> None:
        async with control_plane(pki, port) as process, await Client.connect(str(config(pki, port))) as client:
            made = await client.create(CONFIG_MAPS, "default", config_map("a", x="1"))
            process.kill()
            await process.wait()
        async with control_plane(pki, port) as process, await Client.connect(str(config(pki, port))) as client:
            assert await client.get(CONFIG_MAPS, "default", "a") == made
            later = await client.create(CONFIG_MAPS, "default", config_map("b"))
            assert int(resource_version_of(later)) > int(resource_version_of(made))
            with pytest.raises(GoneError):
                await anext(client.watch(CONFIG_MAPS, None, "1"))
            names = {item["metadata"]["name"] for item in (await client.list(NAMESPACES))[0]}
            assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
            process.terminate()
            assert await process.wait() == 0

    asyncio.run(use())
