"""Memory of a sidecar's process: what one side does not read is not kept for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sidecar_process import sidecar_process

SIZE = 64 << 20
PIECE = b"x" * (1 << 18)
#: What may be held for one connection in all: the sidecar's own buffers, none of the kernel's.
GROWTH_KB = 16 * 1024


def resident_kb(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


async def stalled(progress: Any) -> None:
    """Until nothing has moved for a while: every buffer between the two sides is full."""
    quiet = 0
    while quiet < 20:
        before = progress()
        await asyncio.sleep(0.02)
        quiet = quiet + 1 if progress() == before else 0


@pytest.mark.parametrize("direction", ["answer", "upload"])
def test_64_mb_past_one_that_does_not_read(in_world: Any, http: Any, tmp_path: Path, direction: str) -> None:
    moved = 0
    read_on = asyncio.Event()

    async def send(writer: Any) -> None:
        nonlocal moved
        for _ in range(SIZE // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
            moved += len(PIECE)

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        if direction == "answer":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            await send(writer)
        else:
            await read_on.wait()
            await http.read_body(reader, message)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    async def test(w: Any) -> None:
        app = await w.app("a", script)
        file = tmp_path / "static.yaml"
        file.write_text(f"stable: ['127.0.0.1:{app.port}']")
        async with sidecar_process("--static", str(file)) as sidecar:
            await sidecar.started()
            before = resident_kb(sidecar.pid)
            reader, writer = await w.client(sidecar.port)
            uploading = None
            if direction == "answer":
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            else:
                writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % SIZE)
                uploading = asyncio.create_task(send(writer))
            await stalled(lambda: moved)
            assert 0 < moved < SIZE
            assert resident_kb(sidecar.pid) - before < GROWTH_KB
            read_on.set()
            answer = await http.read_answer(reader)
            assert (answer.status, len(answer.body)) == (200, SIZE if direction == "answer" else 0)
            assert resident_kb(sidecar.pid) - before < GROWTH_KB
            if uploading is not None:
                await uploading

    in_world(test)
