"""Where Services are reached when their names and ports cannot be had."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from coalmine.kube.resources import ENDPOINT_SLICES, SERVICES, Object
from coalmine_sandbox import connect, service_front
from coalmine_sandbox.connect import Names
from coalmine_sandbox.service_front import ServiceFront, listener

PLACES = {
    ("colorapi", 80): ("127.1.16.5", 8080),
    ("colorapi.default", 80): ("127.1.16.5", 8080),
    ("db.shop", 5432): ("127.1.16.6", 5432),
}


def test_file_is_for_curl_and_for_us(tmp_path: Path) -> None:
    file = tmp_path / "connect-to"
    names = Names(file)
    assert names.address("colorapi", 80) == ("colorapi", 80), "not written yet"
    connect.write(file, connect.text(PLACES))
    assert file.read_text().splitlines()[1:] == [
        'connect-to = "colorapi:80:127.1.16.5:8080"',
        'connect-to = "colorapi.default:80:127.1.16.5:8080"',
        'connect-to = "db.shop:5432:127.1.16.6:5432"',
    ]
    assert names.address("colorapi", 80) == ("127.1.16.5", 8080)
    assert names.address("ColorAPI.default.", 80) == ("127.1.16.5", 8080)
    assert names.address("colorapi", 81) == ("colorapi", 81)
    assert Names().address("colorapi", 80) == ("colorapi", 80)


def test_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "connect-to"
    names = Names(file)
    connect.write(file, connect.text(PLACES))
    assert names.address("colorapi", 80) == ("127.1.16.5", 8080)
    inode = file.stat().st_ino
    connect.write(file, connect.text(PLACES))
    assert file.stat().st_ino == inode, "nothing changed, nothing written"
    with file.open() as old:
        connect.write(file, connect.text({("colorapi", 80): ("127.1.16.5", 80)}))
        assert "8080" in old.read()
    assert names.address("colorapi", 80) == ("127.1.16.5", 80)
    assert [f.name for f in tmp_path.iterdir()] == ["connect-to"]
    file.unlink()
    assert names.address("colorapi", 80) == ("colorapi", 80)


class Refusing(socket.socket):
    """Ports below 1024 are root's."""

    def bind(self, address: Any) -> None:
        if 0 < address[1] < 1024:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        super().bind(address)


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_front.socket, "socket", Refusing)


def test_port_that_is_roots_is_moved(ordinary: None) -> None:
    with listener("127.204.16.5", 80, movable=True) as first:
        assert first.getsockname() == ("127.204.16.5", 8080)
        first.listen()
        with listener("127.204.16.5", 80, movable=True) as second:
            assert second.getsockname()[1] > 1024
    with pytest.raises(PermissionError):
        listener("127.204.16.5", 80, movable=False)


def test_port_that_is_taken_at_every_address_is_moved() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with listener("127.204.16.5", port, movable=True) as moved:
            assert moved.getsockname()[1] != port
        with pytest.raises(OSError, match="in use"):
            listener("127.204.16.5", port, movable=False)


class Cluster:
    """Objects as a reflector would find them, without an API server."""

    def __init__(self, *services: Object) -> None:
        self.objects = {SERVICES: list(services), ENDPOINT_SLICES: []}

    async def list(self, resource: Any, **_: str) -> tuple[list[Object], str]:
        return self.objects[resource], "1"

    async def watch(self, *_: Any, **__: str) -> Any:
        await asyncio.Event().wait()
        yield


def service(name: str, address: str, *ports: int, namespace: str = "default") -> Object:
    metadata = {"name": name, "namespace": namespace, "resourceVersion": "1"}
    listed = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in ports]
    return {"metadata": metadata, "spec": {"clusterIP": address, "ports": listed}}


def test_front_writes_where_it_listens(ordinary: None, tmp_path: Path) -> None:
    file = tmp_path / "connect-to"
    # one that is moved does not take the place of one that is not
    services = (
        service("web", "127.204.16.5", 80, 8080),
        service("db", "127.204.16.6", 5432, namespace="shop"),
    )

    async def story() -> None:
        front = asyncio.ensure_future(ServiceFront(Cluster(*services), None, file).run())  # type: ignore[arg-type]
        while not file.exists():
            assert not front.done(), front
            await asyncio.sleep(0.01)
        names = Names(file)
        for host, port in (("web", 80), ("web.default.svc", 8080), ("127.204.16.5", 80), ("db.shop", 5432)):
            where = names.address(host, port)
            assert where[0].startswith("127.204.16."), host
            _, writer = await asyncio.open_connection(*where)
            writer.transport.abort()
        assert names.address("web", 8080) == ("127.204.16.5", 8080)
        assert names.address("db", 5432) == ("db", 5432), "bare names are those of one namespace"
        front.cancel()
        await asyncio.gather(front, return_exceptions=True)

    asyncio.run(story())
