"""More clients than there are file descriptors: some are refused and counted, everybody else notices nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sidecar_process import HOST, sidecar_process

from coalmine_proxy.files import within
from coalmine_proxy.limits import Limits
from coalmine_proxy.settings import Settings

UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


@pytest.mark.parametrize(
    ("files", "connections"), [(1 << 20, 8192), (20_000, 8192), (1024, 432), (256, 96), (100, 28), (10, 1)]
)
def test_how_many_clients_fit(files: int, connections: int) -> None:
    assert within(Limits(), files).connections == connections


def test_workers_share_what_there_may_be_at_once() -> None:
    limits = within(Limits(), 1024, processes=3)
    assert limits.connections == 3 * 432
    settings = Settings(listen=(None, 0), admin=(None, 0), own=None, pod="", limits=limits, workers=3)
    part = settings.of_worker().limits
    assert (part.connections, part.mirrors, part.idle_per_endpoint) == (432, 22, 171)


def test_a_limit_that_fits_stays() -> None:
    assert within(Limits(connections=10), 1024) == Limits(connections=10)


@pytest.mark.parametrize("tunnels", [False, True])
def test_too_many_clients(in_world: Any, tunnels: bool) -> None:
    async def answer(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        if message.get("upgrade"):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            await reader.read()
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
        return True

    async def test(w: Any) -> None:
        app = await w.app("a", answer)
        file = w.folder / "static.json"
        file.write_text(json.dumps({"stable": [f"{HOST}:{app.port}"]}))
        # the soft limit alone would do for far fewer
        async with sidecar_process("--static", str(file), files=(40, 128)) as process:
            await process.started()
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            assert "128 128 files" in " ".join(limits.split())
            fit = within(Limits(), 128).connections
            served, refused = [], 0
            for _ in range(3 * fit):
                try:
                    reader, writer = await w.client(process.port)
                    writer.write(UPGRADE if tunnels else b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 101 " if tunnels else b"HTTP/1.1 200 ")
                    served.append((reader, writer))
                except (ConnectionError, asyncio.IncompleteReadError):
                    refused += 1
            assert (len(served), refused) == (fit, 2 * fit)
            shown = (await w.ask(process.admin_port, path="/metrics")).body.decode()
            assert f"coalmine_clients_refused_total {refused}\n" in shown
            gauge = "coalmine_tunnels" if tunnels else "coalmine_client_connections"
            assert f"{gauge} {fit}\n" in shown
            for _, writer in served:
                writer.close()
            while f"{gauge} 0\n" not in shown:
                shown = (await w.ask(process.admin_port, path="/metrics")).body.decode()
            assert (await w.ask(process.port)).status == 200

    in_world(test)
