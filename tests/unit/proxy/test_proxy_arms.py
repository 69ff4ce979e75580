"""Arms and peers: shares, pins, retries over endpoints, and whose pod it is."""

from __future__ import annotations

import asyncio
from typing import Any

from coalmine.model import wire


def counters(sidecar: Any, arm: str) -> wire.ArmCounters:
    return sidecar.service.stats.counters()[arm]


def failures(sidecar: Any, arm: str) -> dict[str, int]:
    return {cause: n for cause, n in zip(wire.CAUSES, counters(sidecar, arm).failures, strict=True) if n}


async def pods(w: Any, *names: str) -> list[tuple[Any, Any, wire.Endpoint]]:
    found = []
    for name in names:
        app = await w.app(name)
        sidecar = await w.sidecar(app, uid=f"uid-{name}")
        found.append((app, sidecar, w.endpoint(app, sidecar)))
    return found


def test_shares_are_exact_over_several_pods_and_clients(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (a, sa, ea), (b, _, eb), (c, _, ec) = await pods(w, "a", "b", "c")
        await w.configure(sa, http.routing([ea, eb], [ec], 20))
        reader, writer = await w.client(sa.port)
        for i in range(500):
            if i % 5:
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                await http.read_answer(reader)
            else:
                await w.ask(sa.port)
        assert abs(len(c.seen) - 100) <= 2
        assert len(a.seen) + len(b.seen) + len(c.seen) == 500
        assert min(len(a.seen), len(b.seen)) > 140
        assert counters(sa, "canary").total == len(c.seen)
        assert counters(sa, "stable").total == 500 - len(c.seen)

    in_world(test)


def test_pinned_requests_are_outside_the_shares(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, ea), (_, _, ec) = await pods(w, "a", "c")
        await w.configure(sa, http.routing([ea], [ec], 50))
        for _ in range(10):
            assert (await w.ask(sa.port, headers={"Coalmine-Version": "Canary"})).body == b"c"
            assert (await w.ask(sa.port, headers={"coalmine-version": "stable"})).body == b"a"
        assert counters(sa, "canary") == wire.ArmCounters(pinned=10)
        assert counters(sa, "stable") == wire.ArmCounters(pinned=10)
        got = [(await w.ask(sa.port, headers={"coalmine-version": "v9"})).body for _ in range(100)]
        assert abs(got.count(b"c") - 50) <= 2

    in_world(test)


def test_a_pinned_check_sees_a_dead_canary_and_everybody_else_does_not(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, ea), (c, _, ec) = await pods(w, "a", "c")
        await w.configure(sa, http.routing([ea], [ec], 100))
        await c.kill()
        assert (await w.ask(sa.port, headers={"coalmine-version": "canary"})).status == 502
        for method in ("GET", "POST"):
            assert (await w.ask(sa.port, method, body=b"x")).body == b"a"
        assert failures(sa, "canary") == {"connect": 2}
        assert counters(sa, "stable").requests[1] == 2
        assert counters(sa, "canary").total == 0

    in_world(test)


def test_arms_without_endpoints(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, _), (_, _, eb) = await pods(w, "a", "b")
        await w.configure(sa, http.routing([eb], [], 50))
        assert {(await w.ask(sa.port)).body for _ in range(20)} == {b"b"}
        assert failures(sa, "canary")["no_endpoint"] in (9, 10, 11)
        assert (await w.ask(sa.port, headers={"coalmine-version": "canary"})).body == b"b"
        await w.configure(sa, http.routing([], [], 50))
        assert (await w.ask(sa.port)).body == b"a"  # the pod that was asked

    in_world(test)


def test_a_request_with_a_body_outlives_dead_endpoints(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, _), (b, _, eb), (c, _, ec), (d, _, ed) = await pods(w, "a", "b", "c", "d")
        await w.configure(sa, http.routing([eb, ec, ed], [], 0))
        await b.kill()
        await c.kill()
        for _ in range(10):
            assert (await w.ask(sa.port, "POST", body=b"x" * 200_000)).body == b"d"
        assert all(len(m.body) == 200_000 for m in d.seen)
        assert failures(sa, "stable").keys() <= {"connect"}
        assert sa.service.stats.retries == failures(sa, "stable").get("connect", 0)

    in_world(test)


def test_a_pod_with_another_uid_gets_no_request(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, ea), (b, sb, eb), (c, sc, _) = await pods(w, "a", "b", "c")
        wrong = w.endpoint(c, sc, uid="uid-of-a-pod-that-left")
        silent = wire.Endpoint("127.0.0.1", c.port, "uid-c", c.port)  # its admin port is no sidecar
        for endpoint in (wrong, silent):
            await w.configure(sa, http.routing([ea], [endpoint], 100))
            assert (await w.ask(sa.port)).body == b"a"
            assert failures(sa, "canary")["connect"] >= 1
        # Other answers than an identity reached the application only as the question itself.
        assert all(m.start.startswith("GET /identity ") for m in c.seen)
        await w.configure(sa, http.routing([ea], [eb], 100))
        assert (await w.ask(sa.port)).body == b"b"
        assert sa.service.stats.confirmations_failed >= 2
        assert b.connections == 1
        assert sb.service.stats.in_flight == 0

    in_world(test)


def test_a_confirmation_that_fails_closes_the_kept_connections(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, ea), (_, sb, eb) = await pods(w, "a", "b")
        await w.configure(sa, http.routing([ea], [eb], 100))
        assert (await w.ask(sa.port)).body == b"b"
        peer = sa.service.pool.peer(eb)
        (kept,) = peer.idle
        sb.configuration.pod = "somebody-else"  # the address has a new owner
        peer.confirmed = float("-inf")
        peer.idle.remove(kept)  # as if it were in use: the next request needs a new connection
        assert (await w.ask(sa.port)).body == b"a"
        assert sa.service.pool.give(peer, kept, 0.0) == [kept]
        kept.transport.close()

    in_world(test)


def test_confirmations_asked_at_once_are_one_and_hold_for_a_while(in_world: Any, http: Any) -> None:
    questions = 0

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        nonlocal questions
        questions += 1
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"uid": "me!"}')
        return True

    async def test(w: Any) -> None:
        ((_, sa, ea),) = await pods(w, "a")
        identity = await w.app("identity", script)
        b = await w.app("b")
        eb = wire.Endpoint("127.0.0.1", b.port, "me!", identity.port)
        sa.service.clock = lambda: 100.0  # no time passes
        await w.configure(sa, http.routing([ea], [eb], 100))
        answers = await asyncio.gather(*(w.ask(sa.port) for _ in range(20)))
        assert {answer.body for answer in answers} == {b"b"}
        assert b.connections > 1
        assert questions == 1

    in_world(test)


def test_an_endpoint_that_leaves_the_configuration_loses_its_idle_connections(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, ea), (b, _, eb) = await pods(w, "a", "b")
        await w.configure(sa, http.routing([ea], [eb], 100))
        await w.ask(sa.port)
        assert sa.service.pool.idle() == 1
        await w.configure(sa, http.routing([ea], [], 0))
        assert sa.service.pool.idle() == 0
        await http.until(lambda: not (b._writers))

    in_world(test)


def test_nothing_fails_while_weights_change_and_pods_leave_and_crash(in_world: Any, http: Any) -> None:
    """A small soak: kept and fresh clients, every framing, a signed change of weight every few requests.

    One pod leaves as told: taken out of the configuration, then gone once nobody uses it; that must
    cost nothing. Another crashes under load: that may cost the requests it had, and no other.
    """
    requests = [
        b"GET /g HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
        b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ]

    async def kept(w: Any, port: int, n: int, got: list[int]) -> None:
        reader, writer = await w.client(port)
        for i in range(n):
            writer.write(requests[i % 3])
            got.append((await http.read_answer(reader)).status)

    async def fresh(w: Any, port: int, n: int, got: list[int]) -> None:
        for i in range(n):
            answer = await (w.ask(port, "POST", body=b"x" * 1000) if i % 2 else w.ask(port))
            got.append(answer.status)

    def using(sidecar: Any, endpoint: wire.Endpoint) -> int:
        """Requests that are with `endpoint`, or may be about to be."""
        exchanges = [client.exchange for client in sidecar.service.clients if client.exchange]
        return sum(e.upstream is None or e.upstream.peer.endpoint == endpoint for e in exchanges)

    async def test(w: Any) -> None:
        (_, sa, ea), (_, _, eb), (c, _, ec), (d, _, ed) = await pods(w, "a", "b", "c", "d")
        got: list[int] = []
        await w.configure(sa, http.routing([ea, eb, ed], [ec], 20))
        load = [asyncio.create_task(kept(w, sa.port, 300, got)) for _ in range(4)]
        load += [asyncio.create_task(fresh(w, sa.port, 100, got)) for _ in range(4)]
        weight = turns = lost = 0
        while not all(task.done() for task in load):
            weight = (weight + 7) % 101
            turns += 1
            await w.configure(sa, http.routing([ea, eb, ed], [ec], weight))
            if turns % 5 == 0:
                await w.configure(sa, http.routing([ea, eb], [ec], weight))
                await http.until(lambda: using(sa, ed) == 0)
                await d.kill()
                d = await w.app("d", port=ed.port)
            if turns % 7 == 0:
                lost += using(sa, ec)
                await c.kill()
                c = await w.app("c", port=ec.port)
        await asyncio.gather(*load)
        failed = [status for status in got if status != 200]
        assert len(failed) <= lost
        assert set(failed) <= {502}
        assert len(got) == 4 * 300 + 4 * 100
        counted = sa.service.stats.counters()
        assert sum(c.total for c in counted.values()) == got.count(200)
        assert failures(sa, "stable") == {}
        assert failures(sa, "canary").keys() <= {"connect", "reset"}
        assert sa.service.stats.in_flight == 0

    in_world(test)


def test_an_upload_goes_on_after_a_retry_on_a_kept_connection(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        (_, sa, ea), (dead, sd, ed) = await pods(w, "a", "d")
        await w.configure(sa, http.routing([ea, ed], [], 0))
        await dead.kill()
        await sd.drain()
        body = b"x" * 400_000
        for _ in range(10):
            for _ in range(3):
                assert (await w.ask(sa.port)).body == b"a"
            assert (await w.ask(sa.port, "POST", "/", body)).body == b"a"
        assert sa.service.stats.retries > 3

    in_world(test)
