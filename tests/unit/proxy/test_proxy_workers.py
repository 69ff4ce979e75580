"""Several processes on one port: one sidecar for the outside, and none that dies takes more than it had in hand."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sidecar_process import HOST, SidecarProcess, owner, sidecar_process, wait_for_end

from coalmine.model import names, wire
from coalmine.model.weights import Weight
from coalmine_proxy.listening import listen
from coalmine_proxy.workers import Workers, WorkersFailed

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def static(folder: Path, weight: int, stable: Any, canary: Any, **fields: Any) -> list[str]:
    file = folder / "static.json"
    arms = {"stable": [f"{HOST}:{stable.port}"], "canary": [f"{HOST}:{canary.port}"], "weight": weight}
    file.write_text(json.dumps({**arms, **fields}))
    return ["--static", str(file)]


def in_pod(w: Any, app: Any) -> tuple[list[str], dict[str, str]]:
    state = w.folder / "state"
    state.mkdir()
    arguments = ["--app-port", str(app.port), "--keys", str(w.keys), "--state", str(state)]
    return arguments, {"COALMINE_POD_UID": "pod", "COALMINE_POD_IP": HOST}


async def connected(w: Any, process: SidecarProcess, each: int = 1) -> dict[int, list[Any]]:
    """Clients of each worker, so many at least; by its number. Each has had an answer."""
    found: dict[int, list[Any]] = {index: [] for index in process.workers}
    while min(len(clients) for clients in found.values()) < each:
        reader, writer = await w.client(process.port)
        client = (reader, writer)
        await asked(client)
        index = owner(process.port, writer.get_extra_info("sockname")[1], process.workers)
        assert index is not None
        found[index].append(client)
    return found


async def asked(client: Any) -> tuple[bytes, bytes]:
    """One request: the head and the body of its answer."""
    reader, writer = client
    writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None
    return head, await reader.readexactly(int(length[1]))


async def metrics(w: Any, process: SidecarProcess) -> dict[str, float]:
    page = (await w.ask(process.admin_port, path="/metrics")).body.decode()
    samples = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


def answers(shown: dict[str, float]) -> float:
    return sum(value for name, value in shown.items() if name.startswith("coalmine_requests_total"))


async def push(w: Any, process: SidecarProcess, counter: int, **routing: Any) -> Any:
    nonce = json.loads((await w.ask(process.admin_port, path="/config")).body)["nonce"]
    body = wire.encode(wire.Document(wire.Version(1, counter), "pod", nonce, wire.Routing(**routing)))
    return await w.ask(process.admin_port, "PUT", "/config", body, {names.SIGNATURE_HEADER: w.sign(body)})


Test = Callable[[Any], Awaitable[None]]


def test_shares_are_exact_in_each_worker_and_counters_are_one_set(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        async with sidecar_process(*static(w.folder, 20, stable, canary), "--workers", "2") as process:
            await process.started()
            clients = await connected(w, process, each=2)
            sent = len(stable.seen) + len(canary.seen)
            for of_one in clients.values():
                bodies = [(await asked(of_one[i % 2]))[1] for i in range(200)]
                assert abs(bodies.count(b"c") - 40) <= 2
            shown = await metrics(w, process)
            assert answers(shown) == sent + 400
            assert shown['coalmine_requests_total{arm="canary",code="200"}'] == len(canary.seen)
            assert shown["coalmine_workers"] == 2
            assert shown["coalmine_client_connections"] == sum(len(of_one) for of_one in clients.values())
            assert shown['coalmine_request_duration_seconds_count{arm="canary"}'] == len(canary.seen)

    in_world(test)


def test_a_push_has_reached_all_when_it_is_answered(in_world: Any) -> None:
    async def test(w: Any) -> None:
        arguments, environ = in_pod(w, await w.app("a"))
        async with sidecar_process(*arguments, "--workers", "3", **environ) as process:
            await process.started()
            clients = await connected(w, process)
            for counter, close in enumerate((True, False, True), 1):
                answer = await push(w, process, counter, close=close)
                assert answer.status == 200
                told = wire.decode_answer(answer.body)
                assert told.applied == wire.Version(1, counter)
                if not close:  # those that were told to close are gone
                    clients = await connected(w, process)
                for of_one in clients.values():
                    head, _ = await asked(of_one[0])
                    assert (b"Connection: close" in head) is close
            assert wire.decode_answer(answer.body).counters["local"].total == answers(await metrics(w, process)) - 3
            older = await push(w, process, 2)
            assert (older.status, wire.decode_answer(older.body).applied) == (409, wire.Version(1, 3))
            # A worker that comes later knows it, too.
            os.kill(process.workers[0], signal.SIGKILL)
            await process.logged("worker started", 4)
            for _ in range(12):
                assert (await w.ask(process.port)).get("connection") == "close"

    in_world(test)


def test_the_largest_document_reaches_all(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        arguments, environ = in_pod(w, app)
        async with sidecar_process(*arguments, "--workers", "2", **environ) as process:
            await process.started()
            clients = await connected(w, process)
            endpoints = tuple(wire.Endpoint(HOST, app.port, f"{i:036}", 1) for i in range(9_000))
            arms = (wire.Arm(wire.STABLE, Weight(10_000), (*endpoints, wire.Endpoint(HOST, app.port, "pod", 1))),)
            answer = await push(w, process, 1, arms=arms, close=True)
            while answer.status == 503:  # on a machine that is busy with other things
                answer = await push(w, process, 1, arms=arms, close=True)
            assert answer.status == 200
            assert (await push(w, process, 2, close=True)).status == 200
            for of_one in clients.values():
                assert b"Connection: close" in (await asked(of_one[0]))[0]
            # A worker is made of what is in force, not of what came last.
            assert (await push(w, process, 1, arms=arms)).status == 409
            os.kill(process.workers[1], signal.SIGKILL)
            await process.logged("worker started", 3)
            assert (await w.ask(process.port)).get("connection") == "close"

    in_world(test)


def test_answers_of_the_admin_port_keep_their_order(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        async with sidecar_process(*static(w.folder, 0, app, app), "--workers", "2") as process:
            await process.started()
            reader, writer = await w.client(process.admin_port)
            paths = ("/metrics", "/live", "/config", "/metrics", "/identity") * 20
            writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))
            begins = {
                "/metrics": b"# HELP coalmine_requests_total",
                "/live": b"OK",
                "/config": b'{\n "schema"',
                "/identity": b'{"uid": ',
            }
            for path in paths:
                assert (await http.read_answer(reader)).body.startswith(begins[path])
            # Who leaves before the answer leaves nothing behind.
            for _ in range(20):
                _, leaving = await w.client(process.admin_port)
                leaving.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                leaving.transport.abort()
            assert (await w.ask(process.admin_port, path="/ready")).status == 200
            assert not [line for line in process.lines if line["level"] == "error"]

    in_world(test)


def test_a_drain_reaches_all(in_world: Any) -> None:
    async def test(w: Any) -> None:
        arguments, environ = in_pod(w, await w.app("a"))
        async with sidecar_process(*arguments, "--workers", "2", **environ) as process:
            await process.started()
            clients = await connected(w, process)
            assert (await w.ask(process.admin_port, path="/ready")).status == 200
            assert (await w.ask(process.admin_port, "POST", "/drain")).status == 200
            assert (await w.ask(process.admin_port, path="/ready")).status == 503
            await metrics(w, process)  # whoever has answered this has done what was said before
            for of_one in clients.values():
                assert b"Connection: close" in (await asked(of_one[0]))[0]
            os.kill(process.workers[0], signal.SIGKILL)
            await process.logged("worker started", 3)
            for _ in range(12):
                assert (await w.ask(process.port)).get("connection") == "close"

    in_world(test)


def test_a_worker_that_is_killed_under_load_loses_only_what_it_had_in_flight(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        async with sidecar_process(*static(w.folder, 50, stable, canary), "--workers", "2") as process:
            await process.started()
            clients = await connected(w, process, each=4)
            lost: dict[int, int] = dict.fromkeys(clients, 0)
            stop = asyncio.Event()

            async def load(index: int, client: Any) -> int:
                """Ask until told to stop. Only a first connection may be lost."""
                count = 0
                while not stop.is_set():
                    try:
                        await asked(client)
                        count += 1
                    except (ConnectionError, asyncio.IncompleteReadError):
                        assert client is not None
                        lost[index] += 1
                        client = await w.client(process.port)
                        index = -1
                return count

            tasks = [asyncio.create_task(load(index, one)) for index, of_one in clients.items() for one in of_one]
            await asyncio.sleep(0)
            before = answers(await metrics(w, process))
            os.kill(process.workers[0], signal.SIGKILL)
            [died] = await process.logged("a worker ended unasked")
            assert died["status"] == -signal.SIGKILL
            await process.logged("worker started", 3)
            shown = await metrics(w, process)
            assert answers(shown) >= before
            assert shown["coalmine_workers"] == 2
            stop.set()
            served = sum(await asyncio.gather(*tasks))
            assert served > 0
            assert lost == {0: len(clients[0]), 1: 0}
            # What the dead had open is not shown as open for ever.
            assert (await metrics(w, process))["coalmine_client_connections"] == sum(map(len, clients.values()))

    in_world(test)


def test_who_waited_to_be_accepted_by_a_worker_that_died_is_served_by_the_next(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        async with sidecar_process(*static(w.folder, 0, stable, canary), "--workers", "2") as process:
            await process.started()
            os.kill(process.workers[0], signal.SIGSTOP)
            clients = []
            while len(waiting := [c for c in clients if c[2] is None]) < 3:
                client = await w.client(process.port)
                client[1].write(GET)
                # The other one accepts its own at once: it has answered, or nobody accepts this one.
                try:
                    async with asyncio.timeout(0.1):
                        await client[0].readexactly(1)
                    clients.append((*client, 1))
                except TimeoutError:
                    clients.append((*client, None))
            os.kill(process.workers[0], signal.SIGKILL)
            for reader, _, _ in waiting:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    in_world(test)


def test_counters_do_not_go_back_when_workers_die(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        async with sidecar_process(*static(w.folder, 20, stable, canary), "--workers", "2") as process:
            await process.started()
            clients = await connected(w, process)
            for of_one in clients.values():
                for _ in range(50):
                    await asked(of_one[0])
            before = await metrics(w, process)
            os.kill(process.workers[1], signal.SIGKILL)
            await process.logged("worker started", 3)
            after = await metrics(w, process)
            for name, value in before.items():
                if "_total" in name or "_bucket" in name or name.endswith(("_sum", "_count")):
                    assert after[name] == value, name
            assert after["coalmine_client_connections"] == len(clients[0])

    in_world(test)


def test_workers_that_die_again_and_again_end_the_sidecar(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        async with sidecar_process(*static(w.folder, 20, stable, canary), "--workers", "2") as process:
            await process.started()
            for count in (3, 4):
                os.kill(process.workers[0], signal.SIGKILL)
                await process.logged("worker started", count)
            other = process.workers[1]
            os.kill(process.workers[0], signal.SIGKILL)
            assert await process.ended() == 1
            assert process.lines[-1]["event"] == "ending: workers cannot be kept"
            assert "Traceback" not in process.text
            assert wait_for_end(other, 10)

    in_world(test)


def test_a_process_that_cannot_be_made_ends_the_sidecar(in_world: Any) -> None:
    def fork(listening: socket.socket, channel: socket.socket) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async def test(w: Any) -> None:
        async def start() -> None:
            async with asyncio.TaskGroup() as tasks:
                workers = Workers(listen(HOST, 0, 10, 2), fork, clock=time.monotonic, tasks=tasks)
                try:
                    await workers.start()
                finally:
                    workers.kill()

        with pytest.raises(ExceptionGroup) as caught:
            await start()
        [error] = caught.value.exceptions
        assert isinstance(error, WorkersFailed)
        assert str(error) == "no process can be made: Resource temporarily unavailable"

    in_world(test)


def test_workers_end_with_their_parent(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stable, canary = await w.app("s"), await w.app("c")
        async with sidecar_process(*static(w.folder, 20, stable, canary), "--workers", "2") as process:
            await process.started()
            workers = process.workers
            process.signal(signal.SIGKILL)
            await process.ended()
            assert all(wait_for_end(pid, 10) for pid in workers.values())

    in_world(test)


@pytest.mark.parametrize("workers", [1, 2])
def test_at_the_end_requests_are_answered_tunnels_cut_and_who_is_connected_is_served(
    in_world: Any, http: Any, workers: int
) -> None:
    go = asyncio.Event()

    async def slow(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        if message.get("upgrade"):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            writer.write(await reader.readexactly(4))
            await reader.read()
            return False
        if message.start.startswith("PRI"):
            writer.write(b"settings")
            await reader.read()
            return False
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test(w: Any) -> None:
        app = await w.app("s", slow)
        arguments = static(w.folder, 0, app, app)
        async with sidecar_process(*arguments, "--workers", str(workers), "--drain-seconds", "4") as process:
            await process.started()
            tunnel, tunnelled = await w.client(process.port)
            tunnelled.write(GET[:-2] + b"Connection: upgrade\r\nUpgrade: x\r\n\r\nping")
            await tunnel.readuntil(b"\r\n\r\n")
            assert await tunnel.readexactly(4) == b"ping"
            passed_on, preface = await w.client(process.port)
            preface.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert await passed_on.readexactly(8) == b"settings"
            clients = [await w.client(process.port) for _ in range(8)]
            for _, writer in clients:
                writer.write(GET)
            await http.until(lambda: len(app.seen) == 10)
            process.signal(signal.SIGTERM)
            await process.logged("ending")
            assert (await w.ask(process.admin_port, path="/ready")).status == 503
            late = [await w.client(process.port) for _ in range(4)]
            for _, writer in late:
                writer.write(GET)
            go.set()
            for reader, _ in (*clients, *late):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert b"Connection: close" in head
            assert not tunnel.at_eof()
            assert await tunnel.read() == b""
            assert await passed_on.read() == b""
            assert await process.ended() == 0
            assert process.lines[-1]["requests_cut"] == 0
            assert all(wait_for_end(pid, 10) for pid in process.workers.values())

    in_world(test)


def test_a_worker_that_stands_still_is_waited_for_then_replaced(in_world: Any) -> None:
    async def test(w: Any) -> None:
        arguments, environ = in_pod(w, await w.app("a"))
        async with sidecar_process(*arguments, "--workers", "2", **environ) as process:
            await process.started()
            before = answers(await metrics(w, process))
            os.kill(process.workers[0], signal.SIGSTOP)
            assert answers(await metrics(w, process)) == before
            refused = await push(w, process, 1)
            assert (refused.status, refused.body) == (503, b"A worker does not answer; send it again.\n")
            os.kill(process.workers[0], signal.SIGCONT)
            assert (await push(w, process, 1)).status == 200
            os.kill(process.workers[0], signal.SIGSTOP)
            await process.logged("a worker does not answer and is killed")
            await process.logged("worker started", 3)
            assert (await push(w, process, 2)).status == 200

    in_world(test)


def test_the_port_is_taken(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("s")
        arguments = [*static(w.folder, 0, app, app), "--workers", "2", "--listen", f"{HOST}:{app.port}"]
        async with sidecar_process(*arguments) as process:
            assert await process.ended() == 1
            assert process.lines[-1]["event"] == "the ports cannot be opened"

    in_world(test)


def test_the_admin_port_is_taken(in_world: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("s")
        arguments = [*static(w.folder, 0, app, app), "--workers", "2", "--admin", f"{HOST}:{app.port}"]
        async with sidecar_process(*arguments) as process:
            assert await process.ended() == 1
            assert process.lines[-1]["event"] == "the ports cannot be opened"
            assert all(wait_for_end(pid, 10) for pid in process.workers.values())

    in_world(test)
