"""Header routes, affinity, ejection and balance through a real sidecar on loopback: pushed, followed, counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from coalmine.model import wire
from coalmine.model.weights import Weight


def arms(stable: list[wire.Endpoint], canary: list[wire.Endpoint], weight: int) -> tuple[wire.Arm, ...]:
    """`weight` in whole percent."""
    return (
        wire.Arm(wire.STABLE, Weight((100 - weight) * 100), tuple(stable), "v1"),
        wire.Arm(wire.CANARY, Weight(weight * 100), tuple(canary), "v2"),
    )


async def two_versions(w: Any) -> tuple[Any, tuple[wire.Endpoint, wire.Endpoint]]:
    """A sidecar beside stable, and the endpoints of stable and canary."""
    stable, canary = await w.app("stable"), await w.app("canary")
    here, there = await w.sidecar(stable), await w.sidecar(canary)
    return here, (w.endpoint(stable, here), w.endpoint(canary, there))


def test_a_header_leads_to_the_canary_outside_the_shares(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar, (stable, canary) = await two_versions(w)
        routes = (
            wire.HeaderRoute("insiders", (("x-group", wire.Match(wire.EXACT, "insiders")),)),
            wire.HeaderRoute("browsers", (("user-agent", wire.Match(wire.REGEX, ".*Canary/[0-9]+.*")),)),
        )
        await w.configure(sidecar, wire.Routing(arms([stable], [canary], 0), routes=routes))
        for headers, expected in (
            ({}, b"stable"),
            ({"X-Group": "insiders"}, b"canary"),
            ({"x-group": "insiders"}, b"canary"),
            ({"X-Group": "Insiders"}, b"stable"),
            ({"User-Agent": "x Canary/7 y"}, b"canary"),
            ({"User-Agent": "x Canary/ y"}, b"stable"),
            ({"X-Group": "insiders", "coalmine-version": "stable"}, b"stable"),  # a pin comes first
        ):
            assert (await w.ask(sidecar.port, headers=headers)).body == expected, headers
        counted = sidecar.service.stats.counters()
        assert (counted["canary"].pinned, counted["canary"].total) == (3, 0)
        assert (counted["stable"].pinned, counted["stable"].total) == (1, 3)

    in_world(test)


def test_a_route_that_cannot_be_read_is_refused_and_the_rest_stands(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar, (stable, canary) = await two_versions(w)
        await w.configure(sidecar, wire.Routing(arms([stable], [canary], 100)))
        route = wire.HeaderRoute("a", (("x", wire.Match(wire.REGEX, "aaaa")),))
        body = w.document(sidecar, wire.Routing(arms([stable], [canary], 0), routes=(route,)))
        answer = await w.put(sidecar, body.replace(b"aaaa", b"a(*)"))
        assert answer.status == 400
        assert b"malformed" in answer.body
        assert (await w.ask(sidecar.port)).body == b"canary"

    in_world(test)


def test_a_client_keeps_its_version_while_the_weight_grows(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar, (stable, canary) = await two_versions(w)

        async def at(weight: int) -> None:
            affinity = wire.Affinity("place", 600)
            await w.configure(sidecar, wire.Routing(arms([stable], [canary], weight), affinity=affinity))

        await at(20)
        clients = []
        for _ in range(50):
            answer = await w.ask(sidecar.port)
            cookie = answer.get("set-cookie")
            assert cookie.endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax")
            clients.append((answer.body, cookie.partition(";")[0]))
        assert abs(Counter(body for body, _ in clients)[b"canary"] - 10) <= 2
        before = {cookie for body, cookie in clients if body == b"canary"}
        for weight in (20, 45, 80, 100):
            await at(weight)
            now = set()
            for _, cookie in clients:
                answer = await w.ask(sidecar.port, headers={"Cookie": f"other=1; {cookie}"})
                assert answer.get("set-cookie") is None
                if answer.body == b"canary":
                    now.add(cookie)
            assert before <= now
            before = now
        assert len(before) == len({cookie for _, cookie in clients})
        await at(0)  # an abort
        answer = await w.ask(sidecar.port, headers={"Cookie": clients[0][1]})
        assert (answer.body, answer.get("set-cookie")) == (b"stable", None)

    in_world(test)


def test_the_applications_own_cookies_stay(in_world: Any) -> None:
    async def test(w: Any) -> None:
        async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return True

        app = await w.app("canary", script)
        sidecar = await w.sidecar(app)
        routing = wire.Routing(arms([], [w.endpoint(app, sidecar)], 100), affinity=wire.Affinity("place", 600))
        await w.configure(sidecar, routing)
        answer = await w.ask(sidecar.port)
        cookies = [value.partition(";")[0] for name, value in answer.headers if name.lower() == "set-cookie"]
        assert len(cookies) == 2
        assert cookies[0] == "own=1"
        assert cookies[1].startswith("place=v2.")

    in_world(test)


def test_an_endpoint_that_refuses_is_left_out_and_costs_no_more_tries(in_world: Any) -> None:
    async def test(w: Any) -> None:
        good, bad = await w.app("good"), await w.app("bad")
        here, there = await w.sidecar(good), await w.sidecar(bad)
        endpoints = [w.endpoint(good, here), w.endpoint(bad, there)]
        ejection = wire.Ejection(consecutive=3, seconds=600.0, percent=50)
        await w.configure(here, wire.Routing(arms(endpoints, [], 0), ejection=ejection))
        await bad.kill()
        for _ in range(40):
            assert (await w.ask(here.port)).body == b"good"
        assert here.service.stats.counters()["stable"].failures[0] == 3
        assert here.service.stats.retries == 3
        assert here.service.stats.ejections == 1
        # what it did outlives the configuration
        await w.configure(here, wire.Routing(arms(endpoints, [], 0), local_paths=(), ejection=ejection))
        for _ in range(10):
            assert (await w.ask(here.port)).body == b"good"
        assert here.service.stats.retries == 3

    in_world(test)


def test_a_version_that_answers_500_is_not_hidden(in_world: Any) -> None:
    async def test(w: Any) -> None:
        async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return True

        good, bad = await w.app("good"), await w.app("bad", script)
        here, there = await w.sidecar(good), await w.sidecar(bad)
        endpoints = [w.endpoint(good, here), w.endpoint(bad, there)]
        ejection = wire.Ejection(consecutive=1, percent=100)
        await w.configure(here, wire.Routing(arms(endpoints, [], 0), ejection=ejection))
        seen = Counter([(await w.ask(here.port)).status for _ in range(60)])
        assert seen[500] > 15
        assert here.service.stats.ejections == 0

    in_world(test)


def test_least_request_goes_round_an_endpoint_that_is_stuck(in_world: Any) -> None:
    async def test(w: Any) -> None:
        stuck: list[asyncio.Event] = []

        async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
            stuck.append(asyncio.Event())
            await stuck[-1].wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
            await writer.drain()
            return True

        fast, slow = await w.app("fast"), await w.app("slow", script)
        here, there = await w.sidecar(fast), await w.sidecar(slow)
        endpoints = [w.endpoint(fast, here), w.endpoint(slow, there)]
        await w.configure(here, wire.Routing(arms(endpoints, [], 0), balance=wire.LEAST_REQUEST))
        waiting: list[asyncio.Task[Any]] = []
        while not stuck:
            waiting.append(asyncio.create_task(w.ask(here.port)))
            await asyncio.wait(waiting[-1:], timeout=0.02)
        # one of two is busy: the other has fewer requests, whichever is looked at first
        assert [(await w.ask(here.port)).body for _ in range(20)] == [b"fast"] * 20
        for event in stuck:
            event.set()
        assert Counter([(await task).body for task in waiting])[b"slow"] == 1

    in_world(test)
