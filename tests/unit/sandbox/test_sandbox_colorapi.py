"""The example application: every byte split of a request, keep-alive, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coalmine.model.strategy import parse_strategy
from coalmine_sandbox.lab import EXAMPLES, direct, read

SOURCE = EXAMPLES / "colorapi" / "colorapi.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("colorapi", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


colorapi = load()


class Transport:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def conversation(pieces: list[bytes]) -> Transport:
    connection = colorapi.Connection(colorapi.Server(colorapi.RELEASES["2.0"]))
    transport = Transport()
    connection.connection_made(transport)
    for piece in pieces:
        connection.data_received(piece)
    return transport


def bodies(written: bytes) -> list[Any]:
    found = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        if b" 100 " in head.split(b"\r\n")[0]:
            written = rest
            continue
        length = int(next(line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")))
        found.append((int(head.split()[1]), json.loads(rest[:length])))
        written = rest[length:]
    return found


BLUE = {"color": "blue", "status": "ok"}
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world"
    b"POST /?a=b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    b"GET /healthz HTTP/1.1\r\n\r\n"
    b"DELETE / HTTP/1.1\r\n\r\n"
    b"GET /none HTTP/1.1\r\n\r\n"
)
ANSWERS = [
    (200, BLUE),
    (200, {**BLUE, "received": 11}),
    (200, {**BLUE, "received": 11}),
    (200, {**BLUE, "received": 0}),
    (200, {"status": "up"}),
    (405, {"error": "method not allowed"}),
    (404, {"error": "not found"}),
]


def test_pipelined_requests() -> None:
    assert bodies(conversation([REQUESTS]).written) == ANSWERS


def test_byte_by_byte() -> None:
    assert bodies(conversation([bytes([b]) for b in REQUESTS]).written) == ANSWERS


@given(st.sets(st.integers(1, len(REQUESTS) - 1)))
def test_any_split(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(REQUESTS)]
    pieces = [REQUESTS[a:b] for a, b in pairwise(edges)]
    assert bodies(conversation(pieces).written) == ANSWERS


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000,
    ],
)
def test_bad_requests_are_refused(request_bytes: bytes) -> None:
    transport = conversation([request_bytes])
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in transport.written
    assert transport.closed


def test_connection_is_closed_when_asked() -> None:
    kept = conversation([b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"])
    assert not kept.closed
    for text in (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        assert conversation([text]).closed


@pytest.fixture
def served(unused_port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, str(SOURCE), "--release", "3.0", "--host", "127.0.0.1", "--port", str(unused_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"listening on 127.0.0.1:{unused_port}: black\n"
        yield process, unused_port
        process.kill()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_sigterm_loses_no_request(served: tuple[subprocess.Popen[str], int]) -> None:
    process, port = served

    async def story() -> None:
        idle = await asyncio.open_connection("127.0.0.1", port)
        half = await asyncio.open_connection("127.0.0.1", port)
        half[1].write(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
        for reader, writer in (idle, half):
            if (reader, writer) == idle:
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                assert b"nok" in await reader.readuntil(b"}")
        process.send_signal(signal.SIGTERM)
        refused = False
        while not refused:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            except (ConnectionRefusedError, ConnectionResetError):
                # reset: the kernel had completed it in the very moment in which the listener closed
                refused = True
        # a request on a kept connection is answered, and is the last one on it
        idle[1].write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await idle[0].read()
        assert b"Connection: close" in answer
        assert b'"black"' in answer
        # one that was half sent is not cut off, however long it takes
        await asyncio.sleep(colorapi.LINGER_SECONDS * 1.5)
        half[1].write(b"cd")
        assert b'"received": 4' in await half[0].read()
        for _, writer in (idle, half):
            writer.close()

    asyncio.run(story())
    assert process.wait() == 0


def test_manifests_are_the_articles() -> None:
    deployment, service, template = read(EXAMPLES / "colorapi" / "manifests")
    strategy = parse_strategy(deployment["metadata"]["annotations"]["coalmine.dev/canary"])
    assert [str(step) for step in strategy.steps] == ["setWeight 20", "pause 30s", "setWeight 50", "pause 30s"]
    assert strategy.analysis is not None
    assert strategy.analysis.templates[0].name == template["metadata"]["name"] == "webcheck"
    spec = deployment["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (5, 2)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["image"] == "particule/simplecolorapi:1.0"
    # the Service targets the port by name, or no sidecar could take it over
    assert service["spec"]["ports"] == [{"port": 80, "targetPort": container["ports"][0]["name"]}]
    images = yaml.safe_load((EXAMPLES / "colorapi" / "images.yaml").read_text())
    assert images["images"][0]["name"] == "particule/simplecolorapi:*"


def test_webhook_configuration_is_called_directly(tmp_path: Path) -> None:
    client = {"service": {"name": "coalmine-webhook", "namespace": "coalmine-system", "path": "/mutate"}}
    file = tmp_path / "webhook.yaml"
    configuration = {"kind": "MutatingWebhookConfiguration", "webhooks": [{"name": "a", "clientConfig": client}]}
    file.write_text(yaml.safe_dump(configuration))
    (found,) = read(file)
    changed = direct(found, "https://127.0.0.1:9443")
    assert changed["webhooks"] == [{"name": "a", "clientConfig": {"url": "https://127.0.0.1:9443/mutate"}}]
    assert found["webhooks"][0]["clientConfig"] == client
