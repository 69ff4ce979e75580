"""Daemons and handlers, on real processes and sockets of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine_sandbox.daemon import Daemon, DaemonError, resident
from coalmine_sandbox.node.handlers import Target, perform
from coalmine_sandbox.node.probes import watch_over
from coalmine_sandbox.node.process import start

OBEDIENT = "import signal, time; print('up', flush=True); signal.sigwait([signal.SIGTERM])"


def daemon(folder: Path, program: str) -> Daemon:
    return Daemon("one", [sys.executable, "-c", program], folder / "logs" / "one.log")


async def says(one: Daemon, text: str) -> None:
    while text not in one.tail():
        one.check()
        await asyncio.sleep(0.01)


def test_daemon_is_killed_and_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        one = daemon(tmp_path, OBEDIENT)
        assert not one.running
        assert one.memory() == 0
        one.start()
        await says(one, "up")
        assert one.memory() == resident(one.pid) > 0
        with pytest.raises(DaemonError, match="runs already"):
            one.start()
        first = one.pid
        await one.restart()
        assert one.pid != first
        one.check()
        one.kill(signal.SIGKILL)
        assert await one.wait() == -signal.SIGKILL
        one.check()  # it was told to
        one.start()
        assert await one.stop(grace=60) in (0, -signal.SIGTERM)
        assert await one.stop() is None

    asyncio.run(story())


def test_daemon_that_dies_by_itself_is_told_with_its_last_lines(tmp_path: Path) -> None:
    async def story() -> None:
        one = daemon(tmp_path, "raise SystemExit('the reason')")
        one.start()
        assert await one.wait() == 1
        with pytest.raises(DaemonError, match=r"one ended by itself, exit status 1:\nthe reason"):
            one.check()

    asyncio.run(story())


def test_deaf_daemon_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def story() -> None:
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
        one = daemon(tmp_path, deaf)
        one.start()
        await says(one, "up")
        assert await one.stop(grace=0.05) == -signal.SIGKILL

    asyncio.run(story())


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="never started"):
        _ = daemon(tmp_path, "").pid
    with pytest.raises(DaemonError, match="cannot be started"):
        Daemon("one", [str(tmp_path / "none")], tmp_path / "log").start()


def with_process(folder: Path, body: Callable[[Any], Awaitable[None]]) -> None:
    """Run `body` beside a container's process without mounts."""

    async def story() -> None:
        command = [sys.executable, "-c", OBEDIENT]
        process = start(command, {"PATH": "/usr/bin:/bin"}, folder / "log")
        try:
            await body(process)
        finally:
            process.kill()
            await process.wait()

    asyncio.run(story())


async def answer(status: str) -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):  # tcpSocket sends nothing
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"{status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("status", "ok"),
    [
        ("HTTP/1.1 200 OK", True),
        ("HTTP/1.1 302 Found", True),
        ("HTTP/1.1 199 Odd", False),
        ("HTTP/1.1 503 Service Unavailable", False),
        ("SMTP", False),
    ],
)
def test_http_probe(tmp_path: Path, status: str, ok: bool) -> None:
    async def body(process: Any) -> None:
        server, port = await answer(status)
        async with server:
            target = Target("127.0.0.1", {"web": port}, process, {})
            assert (await perform({"httpGet": {"path": "/x", "port": "web"}}, target)).ok is ok
            assert (await perform({"tcpSocket": {"port": port}}, target)).ok
        for handler in ({"httpGet": {"port": port}}, {"tcpSocket": {"port": str(port)}}):
            refused = await perform(handler, target)
            assert not refused.ok
            assert str(port) in refused.message

    with_process(tmp_path, body)


def test_bad_handlers_are_told(tmp_path: Path) -> None:
    async def body(process: Any) -> None:
        target = Target("127.0.0.1", {}, process, {})
        assert (
            await perform({"tcpSocket": {"port": "web"}}, target)
        ).message == "the container has no port named 'web'"
        assert "grpc is not known" in (await perform({"grpc": {"port": 1}}, target)).message
        assert (await perform({"sleep": {"seconds": 0}}, target)).ok

    with_process(tmp_path, body)


def test_probes_follow_each_other(tmp_path: Path) -> None:
    """Startup, then readiness and liveness; a liveness probe that fails says so once."""
    told: list[str] = []

    async def body(process: Any) -> None:
        up, _ = await answer("HTTP/1.1 200 OK")
        port = up.sockets[0].getsockname()[1]
        probe = {"httpGet": {"port": port}, "periodSeconds": 0.01, "failureThreshold": 2}
        container = {"startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe}
        failed, unready = asyncio.Event(), asyncio.Event()

        def ready(ok: bool) -> None:
            if f"ready {ok}" not in told:
                told.append(f"ready {ok}")
                up.close()
            if not ok:
                unready.set()

        async def unhealthy(kind: str, message: str, grace: float | None) -> None:
            told.append(kind)
            failed.set()

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(
                watch_over(
                    container,
                    Target("127.0.0.1", {}, process, {}),
                    started=lambda: told.append("started"),
                    ready=ready,
                    unhealthy=unhealthy,
                    ending=asyncio.Event(),
                )
            )
            await failed.wait()
            await unready.wait()
            watching.cancel()

    with_process(tmp_path, body)
    assert told[:2] == ["started", "ready True"]
    assert sorted(told[2:]) == ["Liveness", "ready False"]
