"""The soak in small, in one process and from one seed; and its judge, who must find what is planted."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.soak.application import Application
from tests.soak.clients import COOKIE, ROUTES, Client
from tests.soak.facts import Down, Facts, Push
from tests.soak.judge import Judge, Seen
from tests.soak.load import Load, Slot
from tests.soak.measures import Held, growth
from tests.soak.record import Outcome, Record
from tests.soak.shares import Shares

from coalmine.model import wire
from coalmine.model.weights import Weight

HOST = "127.0.0.1"
ROUNDS = 4
KINDS = ("keepalive", "keepalive", "keepalive", "fresh", "pipeline", "leaver", "affine", "affine", "opaque", "upgrade")


class Pod:
    """One pod of the small soak: the soak's application, and a sidecar of the test's world."""

    def __init__(self, facts: Facts, judge: Judge, version: str, number: int) -> None:
        self.facts = facts
        self.judge = judge
        self.version = version
        self.uid = f"{version}-{number}"
        self.port = 0
        self.sidecar: Any = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def listens(self) -> tuple[str, int]:
        return HOST, self.sidecar.port

    @property
    def endpoint(self) -> wire.Endpoint:
        return wire.Endpoint(HOST, self.port, self.uid, self.sidecar.admin_port)

    async def start(self) -> None:
        def seen(nth: int, identity: str, method: str) -> None:
            self.judge.reached(identity, Seen(self.uid, self.version, nth, method))

        application = Application(self.uid, self.version, seen)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self._writers.add(writer)
            try:
                await application.serve(reader, writer)
            except asyncio.CancelledError:
                pass  # it was killed
            finally:
                self._tasks.discard(task)
                self._writers.discard(writer)

        self._server = await asyncio.start_server(serve, HOST, self.port, limit=1 << 18)
        self.port = self._server.sockets[0].getsockname()[1]
        if self.facts.applications[self.uid]:
            self.facts.applications[self.uid][-1].until = asyncio.get_running_loop().time()

    async def kill(self) -> None:
        """As a process that dies: nothing is accepted, every connection is reset."""
        self.facts.applications[self.uid].append(Down(asyncio.get_running_loop().time()))
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()


def document(pods: list[Pod], pick: random.Random, weight: int) -> wire.Routing:
    def arm(name: str, share: int) -> wire.Arm:
        return wire.Arm(name, Weight(share), tuple(pod.endpoint for pod in pods if pod.version == name), "abc")

    return wire.Routing(
        arms=(arm(wire.STABLE, 10_000 - weight), arm(wire.CANARY, weight)),
        routes=ROUTES if pick.random() < 0.5 else (),
        affinity=wire.Affinity(COOKIE, 600) if pick.random() < 0.5 else None,
        mirrors=(wire.MirrorRoute("all", Weight(5000), headers=(("x-soak-mirror", wire.Match(wire.EXACT, "1")),)),)
        if pick.random() < 0.5
        else (),
        close=pick.random() < 0.1,
    )


async def configure(w: Any, facts: Facts, pods: list[Pod], routing: wire.Routing) -> None:
    loop = asyncio.get_running_loop()
    for pod in pods:
        push = Push(loop.time(), routing)
        facts.pushes[pod.uid].append(push)
        await w.configure(pod.sidecar, routing)
        push.acked = loop.time()


async def rounds(w: Any, facts: Facts, judge: Judge, pods: list[Pod], clients: list[Client]) -> None:
    """All clients ask three times a round; weights change meanwhile, and in every second round a pod dies."""
    pick = random.Random(4)

    async def ask(client: Client) -> None:
        for _ in range(3):
            await client.once()

    for number in range(ROUNDS):
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(ask(client))
            for _ in range(4):
                await configure(w, facts, pods, document(pods, pick, pick.choice((0, 1, 500, 3333, 10_000))))
            if number % 2:
                victim = pick.choice(pods)
                await victim.kill()
                await configure(w, facts, pods, document(pods, pick, pick.choice((500, 5000))))
                await victim.start()


def test_a_short_soak(in_world: Callable[..., None], http: Any) -> None:
    """No request fails that must not, the shares are right, and nothing is left."""

    async def test(w: Any) -> None:
        facts = Facts()
        judge = Judge(facts)
        shares = Shares(facts, judge)
        ended: list[Record] = []
        load = Load(ended.append, random.Random(5), 1.0)
        pods = [Pod(facts, judge, wire.STABLE if i < 2 else wire.CANARY, i) for i in range(4)]
        try:
            for pod in pods:
                await pod.start()
                pod.sidecar = await w.sidecar(pod.port, pod.uid)
            await configure(w, facts, pods, document(pods, random.Random(3), 5000))
            tasks = len(asyncio.all_tasks())
            clients = [Client(load, Slot(pod), kind) for pod in pods for kind in KINDS]  # type: ignore[arg-type]
            await rounds(w, facts, judge, pods, clients)
            for client in clients:
                client.close()
            for pod in pods:
                await empty(pod.sidecar.service, http)
            await http.until(lambda: len(asyncio.all_tasks()) <= tasks)
        finally:
            for pod in pods:
                await pod.kill()
        for record in ended:
            judge.judge(record)
            shares.note(record)
        for pod in pods:
            for _ in range(5 * ROUNDS):
                shares.changed(pod.uid)
        assert judge.violations == []
        assert shares.verdict() == []
        # of 4 x 10 clients, three times a round, one of ten kinds asking five times at once; few of them fail
        assert judge.outcomes["whole answer"] > 100 * ROUNDS

    in_world(test)


async def empty(service: Any, http: Any) -> None:
    """Everybody has gone: so has everything that was held for them, but for connections kept in the pool."""
    stats = service.stats
    await http.until(lambda: not service.clients and not service.tunnels and not service.mirrors.open)
    await http.until(lambda: stats.upstreams == service.pool.idle())
    assert (stats.in_flight, stats.clients, stats.tunnels) == (0, 0, 0)
    for upstream in service.pool.close():
        assert upstream.peer.in_flight == 0
        upstream.transport.close()
    await http.until(lambda: stats.upstreams == 0)


# --- the judge ---

A = wire.Endpoint(HOST, 1, "a", 2)
B = wire.Endpoint(HOST, 3, "b", 4)
HALF = wire.Routing(arms=(wire.Arm("stable", Weight(5000), (A,)), wire.Arm("canary", Weight(5000), (B,))))
C = wire.Endpoint(HOST, 5, "c", 6)
MORE = wire.Routing(arms=(wire.Arm("stable", Weight(5000), (A, C)), wire.Arm("canary", Weight(5000), (B,))))
NONE = wire.Routing(arms=(wire.Arm("stable", Weight(10_000), (A,)), wire.Arm("canary", Weight(0), (B,))))
GET = Record("r", "s", "keepalive", "GET", 9.0, 10.0, 10.2, Outcome.WHOLE, 200, "a", "stable")
POST = dataclasses.replace(GET, method="POST")
GET_502 = dataclasses.replace(GET, status=502, uid="", version="")
POST_502 = dataclasses.replace(GET_502, method="POST")
ON_A = Seen("a", "stable", 1, "GET")
KEPT_ON_A = Seen("a", "stable", 7, "GET")
ON_B = Seen("b", "canary", 1, "GET")
KEPT_ON_B = Seen("b", "canary", 7, "GET")
DIES = {"applications": {"a": [Down(10.1, 11.0)]}}
BOTH_DIE = {"applications": {"a": [Down(10.1, 11.0)], "b": [Down(10.1, 11.0)]}}


@pytest.mark.parametrize(
    ("record", "reached", "routing", "facts", "right"),
    [
        (GET, [ON_A], HALF, {}, True),
        (GET, [], HALF, {}, False),  # nobody can have answered it
        (dataclasses.replace(GET, uid="b", version="canary"), [ON_B], HALF, {}, True),
        (dataclasses.replace(GET, uid="b", version="canary"), [ON_B], NONE, {}, False),  # without a share
        (dataclasses.replace(GET, uid="b", version="canary", pinned=True), [ON_B], NONE, {}, True),
        (dataclasses.replace(GET, pinned=True), [ON_A], NONE, {}, False),
        (dataclasses.replace(GET, uid="x"), [ON_A], HALF, {}, False),  # no endpoint of any document
        (dataclasses.replace(GET, outcome=Outcome.WRONG), [ON_A], HALF, {}, False),
        (dataclasses.replace(GET, outcome=Outcome.HUNG), [ON_A], HALF, DIES, False),
        (dataclasses.replace(GET, outcome=Outcome.CUT), [ON_A], HALF, {}, False),
        (dataclasses.replace(GET, outcome=Outcome.CUT), [ON_A], HALF, DIES, True),
        (dataclasses.replace(GET, outcome=Outcome.CLOSED, status=0), [ON_A], HALF, DIES, False),
        (dataclasses.replace(GET, outcome=Outcome.CLOSED, status=0), [], HALF, {"sidecars": {"s": [Down(10.1)]}}, True),
        (dataclasses.replace(GET, outcome=Outcome.REFUSED, status=0), [], HALF, {}, False),
        (GET_502, [ON_A], HALF, {}, False),  # nobody died
        (GET_502, [ON_A], HALF, DIES, True),  # on a fresh connection
        (GET_502, [KEPT_ON_A], MORE, DIES, False),  # on a kept one: it is sent again
        (GET_502, [KEPT_ON_A], HALF, DIES, True),  # but there is nobody else
        (GET_502, [KEPT_ON_A, ON_A], HALF, DIES, True),
        (GET_502, [KEPT_ON_A], HALF, BOTH_DIE, True),  # sent again, to one that died before it read it
        (GET_502, [KEPT_ON_B], HALF, DIES, False),  # another died
        (POST_502, [KEPT_ON_A], HALF, DIES, True),
        (POST_502, [KEPT_ON_A], HALF, {}, False),
        (POST, [KEPT_ON_A, ON_A], HALF, DIES, False),  # twice
        (POST, [ON_A, ON_B], HALF, {}, False),
        (dataclasses.replace(POST, mirrored=True), [ON_A, ON_B], HALF, {}, True),
        (dataclasses.replace(POST, mirrored=True), [ON_A, ON_A], HALF, {}, False),  # no canary has the copy
        (GET, [KEPT_ON_A, ON_A], HALF, DIES, True),
        (GET, [KEPT_ON_A, KEPT_ON_A, ON_A], HALF, DIES, False),
        (dataclasses.replace(GET_502, status=404), [ON_A], HALF, DIES, False),
        (dataclasses.replace(GET, outcome=Outcome.LEFT), [], HALF, {}, True),
    ],
)
def test_the_judge(record: Record, reached: list[Seen], routing: wire.Routing, facts: Any, right: bool) -> None:
    known = Facts()
    known.pushes["s"].append(Push(1.0, routing, 1.1))
    for name, downs in facts.items():
        getattr(known, name).update(downs)
    judge = Judge(known)
    for seen in reached:
        judge.reached("r", seen)
    judge.judge(record)
    assert (not judge.violations) == right, judge.violations


def test_no_stranger_is_asked() -> None:
    facts = Facts()
    facts.strangers.add("x")
    judge = Judge(facts)
    judge.reached("r", Seen("x", "stranger", 1, "GET"))
    assert judge.violations == ["r reached x, which stands in no document"]


def test_documents_that_may_have_been_in_force() -> None:
    facts = Facts()
    facts.pushes["s"].extend([Push(1.0, HALF, 1.1), Push(2.0, NONE, 2.1), Push(3.0, HALF)])
    assert facts.possible("s", 1.5, 1.6) == [HALF]
    assert facts.possible("s", 1.5, 2.0) == [NONE, HALF]
    assert facts.possible("s", 2.5, 2.6) == [NONE]
    # nobody knows whether the last one arrived
    assert facts.possible("s", 9.0, 9.1) == [HALF, NONE]


@pytest.mark.parametrize(("canary", "wrong"), [(48, True), (49, False), (51, False), (52, True)])
def test_calm_shares(canary: int, wrong: bool) -> None:
    facts = Facts()
    facts.pushes["s"].append(Push(1.0, HALF, 1.1))
    shares = Shares(facts, Judge(facts))
    shares.begin_calm(0.5)
    for number in range(100):
        shares.note(dataclasses.replace(GET, version="canary" if number < canary else "stable"))
    assert bool(shares.end_calm()) == wrong


def test_growth_is_that_of_the_last_third() -> None:
    series = [(float(i), {"s": Held(memory, 9)}) for i, memory in enumerate((1, 5, 9, 10, 10, 10, 12, 13, 14))]
    assert growth(series, "s") == 3
    assert growth(series[:2], "s") == 0
    assert growth([*series, (9.0, {})], "s") == 0
