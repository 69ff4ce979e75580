"""Pushes to sidecars: a real HTTP endpoint on loopback that behaves as one, and some that do not."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from samples import pod

from coalmine.model.names import SIGNATURE_HEADER
from coalmine.model.weights import Weight
from coalmine.model.wire import (
    CANARY,
    SCHEMA,
    STABLE,
    Answer,
    Arm,
    ArmCounters,
    Document,
    Injection,
    Routing,
    Version,
    decode,
    encode_answer,
)
from coalmine_controller.convert import pod_from
from coalmine_controller.keys import Keyring, Keys, SigningKey
from coalmine_controller.observed import Pod
from coalmine_controller.sidecars import Sidecars

KEY = SigningKey.from_seed(bytes(32))
UID = "pod-1-uid"


def routing(weight: int) -> Routing:
    return Routing((Arm(STABLE, Weight(10_000 - weight), ()), Arm(CANARY, Weight(weight), ())))


class Sidecar:
    """Holds a configuration by the rules of the contract: signature, pod, nonce, version."""

    def __init__(self, uid: str = UID) -> None:
        self.uid = uid
        self.boot = 1
        self.version: Version | None = None
        self.routing: Routing | None = None
        self.applied: list[Routing] = []
        self.asked = 0
        self.under_way = 0
        self.most_under_way = 0
        #: Called before the document is looked at; its answer, if any, is given instead.
        self.interfere: Callable[[Document], Awaitable[web.StreamResponse | None]] | None = None
        #: After it is applied: the answer is lost.
        self.lose_answers = False

    async def put(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            key_id, _, signature = request.headers[SIGNATURE_HEADER].partition(":")
            assert key_id == KEY.id
            Ed25519PublicKey.from_public_bytes(base64.b64decode(KEY.public)).verify(base64.b64decode(signature), body)
            document = decode(body)
            if self.interfere is not None:
                other = await self.interfere(document)
                if other is not None:
                    return other
            return self._offer(request, document)
        finally:
            self.under_way -= 1

    def _offer(self, request: web.Request, document: Document) -> web.Response:
        stale = self.version is not None and document.version <= self.version
        if document.pod != self.uid or document.nonce != f"boot-{self.boot}" or stale:
            return self.answer(409)
        self.version, self.routing = document.version, document.routing
        self.applied.append(document.routing)
        if self.lose_answers:
            assert request.transport is not None
            request.transport.abort()
        return self.answer(200)

    def answer(self, status: int, **changes: Any) -> web.Response:
        counters = {CANARY: ArmCounters((0, self.asked, 0, 0, 0))}
        given = Answer(self.uid, f"boot-{self.boot}", self.version, True, counters)
        return web.Response(status=status, body=encode_answer(replace(given, **changes)))

    def restart(self) -> None:
        """Its state directory keeps the document; the nonce is new."""
        self.boot += 1


class Stage:
    def __init__(self, sidecars: Sidecars, sidecar: Sidecar, pod: Pod, again: Callable[[], Awaitable[None]]) -> None:
        self.sidecars = sidecars
        self.sidecar = sidecar
        self.pod = pod
        self.listen_again = again
        self.settled: list[bool] = []
        self.boot = "1"
        self._news = asyncio.Event()

    def tell(self, wanted: Routing) -> None:
        self.sidecars.tell(self.pod, self.boot, wanted, self._settle)

    def _settle(self, acknowledged: bool) -> None:
        self.settled.append(acknowledged)
        self._news.set()

    async def until_settled(self, count: int = 1) -> bool:
        """Wait until pushes have ended `count` times in all; how the last one did."""
        while len(self.settled) < count:
            self._news.clear()
            async with asyncio.timeout(20):
                await self._news.wait()
        return self.settled[-1]

    @property
    def applied(self) -> Routing | None:
        return self.sidecars.applied(UID, self.boot)[0]

    @property
    def error(self) -> str:
        return self.sidecars.applied(UID, self.boot)[1]


def story(tell: Callable[[Stage], Awaitable[None]], *, term: int = 5) -> None:
    async def main() -> None:
        sidecar = Sidecar()
        application = web.Application()

        async def entry(request: web.Request) -> web.StreamResponse:
            return await sidecar.put(request)

        application.router.add_put("/config", entry)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]

        async def listen() -> None:
            await web.TCPSite(runner, "127.0.0.1", port).start()

        injection = Injection("web", 5000, 17080, port, False)
        at = replace(pod_from(pod("pod-1")), injection=injection)
        try:
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
                stage = Stage(
                    Sidecars(session, Keyring(Keys(KEY, 0.0)), term, group, asyncio.get_running_loop().time),
                    sidecar,
                    at,
                    listen,
                )
                stage.sites = runner.sites  # type: ignore[attr-defined]
                await tell(stage)
        finally:
            await runner.cleanup()

    asyncio.run(main())


def test_a_sidecar_that_does_not_say_what_it_understands_is_an_old_one() -> None:
    async def tell(stage: Stage) -> None:
        assert stage.sidecars.schema(UID) is None

        async def old(document: Document) -> web.StreamResponse:
            return web.json_response(
                {"pod": UID, "nonce": document.nonce, "ready": True}
                | {"applied": {"term": document.version.term, "counter": document.version.counter}}
            )

        stage.sidecar.interfere = old
        stage.tell(routing(2000))
        assert await stage.until_settled()
        assert stage.applied == routing(2000), "it has what it was told"
        assert stage.sidecars.schema(UID) == 1

    story(tell)


def test_the_first_push_meets_with_the_nonce() -> None:
    async def tell(stage: Stage) -> None:
        stage.tell(routing(2000))
        assert stage.applied is None
        assert await stage.until_settled()
        assert stage.applied == stage.sidecar.routing == routing(2000)
        assert stage.sidecar.asked == 2, "refused with the right nonce, then taken"
        assert stage.sidecars.counters(UID)[CANARY].total == 2
        assert stage.sidecars.schema(UID) == SCHEMA
        stage.tell(routing(5000))
        assert await stage.until_settled(2)
        assert stage.sidecar.asked == 3, "the nonce is known"
        assert stage.sidecar.version is not None
        assert stage.sidecar.version.term == 5

    story(tell)


def test_what_it_has_is_not_pushed_again() -> None:
    async def tell(stage: Stage) -> None:
        stage.tell(routing(2000))
        await stage.until_settled()
        asked = stage.sidecar.asked
        for _ in range(3):
            stage.tell(routing(2000))
        await asyncio.sleep(0)
        assert (stage.sidecar.asked, stage.settled) == (asked, [True])

    story(tell)


def test_a_counter_of_another_user_of_the_term_is_counted_on_from() -> None:
    async def tell(stage: Stage) -> None:
        stage.sidecar.version = Version(5, 1000)
        stage.tell(routing(2000))
        assert await stage.until_settled()
        assert stage.sidecar.version == Version(5, 1001)

    story(tell)


def test_an_older_term_is_overruled_and_a_newer_one_is_not() -> None:
    async def tell(stage: Stage) -> None:
        stage.sidecar.version = Version(4, 1 << 40)
        stage.tell(routing(2000))
        assert await stage.until_settled()
        stage.sidecar.version = Version(6, 1)
        stage.tell(routing(5000))
        assert not await stage.until_settled(2)
        assert "newer leader (term 6)" in stage.error
        assert stage.sidecar.routing == routing(2000)

    story(tell)


def test_a_pod_that_lies_about_its_counter_does_not_use_up_everybody_s() -> None:
    async def tell(stage: Stage) -> None:
        async def lie(document: Document) -> web.Response:
            return stage.sidecar.answer(409, applied=Version(5, (1 << 63) - 1))

        stage.sidecar.interfere = lie
        for n in range(3):
            stage.tell(routing(2000))
            assert not await stage.until_settled(n + 1)
        stage.sidecar.interfere = None
        stage.tell(routing(2000))
        assert await stage.until_settled(4)
        assert stage.sidecar.routing == routing(2000)

    story(tell)


def test_unreachable_then_reachable() -> None:
    async def tell(stage: Stage) -> None:
        (site,) = stage.sites  # type: ignore[attr-defined]
        await site.stop()
        stage.tell(routing(2000))
        assert not await stage.until_settled()
        assert stage.applied is None
        assert stage.error
        await stage.listen_again()
        stage.tell(routing(2000))
        assert await stage.until_settled(2)
        assert (stage.applied, stage.error) == (routing(2000), "")

    story(tell)


def test_a_lost_answer_is_no_acknowledgement_of_either() -> None:
    """It may hold the new routing or the old one: going back to the old one must be pushed."""

    async def tell(stage: Stage) -> None:
        stage.tell(routing(2000))
        await stage.until_settled()
        stage.sidecar.lose_answers = True
        stage.tell(routing(5000))
        assert not await stage.until_settled(2)
        assert stage.sidecar.routing == routing(5000)
        assert stage.applied is None
        stage.sidecar.lose_answers = False
        stage.tell(routing(2000))
        assert await stage.until_settled(3)
        assert stage.sidecar.routing == stage.applied == routing(2000)

    story(tell)


def test_the_newest_routing_wins_while_a_push_is_under_way() -> None:
    async def tell(stage: Stage) -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def hold(document: Document) -> None:
            if document.nonce:  # not the first one, which learns the nonce
                entered.set()
                await go.wait()

        stage.sidecar.interfere = hold
        stage.tell(routing(1000))
        await entered.wait()
        for weight in (2000, 3000, 4000):
            stage.tell(routing(weight))
        assert stage.applied is None, "what is under way is not acknowledged, nor is what was before"
        go.set()
        assert await stage.until_settled()
        assert stage.sidecar.applied == [routing(1000), routing(4000)]
        assert stage.applied == routing(4000)
        assert stage.sidecar.most_under_way == 1, "one push at a time"
        assert stage.settled == [True]

    story(tell)


def test_while_another_one_is_under_way_the_old_one_is_not_taken_for_acknowledged() -> None:
    async def tell(stage: Stage) -> None:
        stage.tell(routing(1000))
        await stage.until_settled()
        entered, go = asyncio.Event(), asyncio.Event()

        async def hold(document: Document) -> None:
            entered.set()
            await go.wait()

        stage.sidecar.interfere = hold
        stage.tell(routing(5000))
        await entered.wait()
        stage.tell(routing(1000))
        assert stage.applied is None
        go.set()
        assert await stage.until_settled(2)
        assert stage.sidecar.routing == stage.applied == routing(1000)

    story(tell)


def test_a_restart_of_its_container_forgets_what_was_acknowledged() -> None:
    async def tell(stage: Stage) -> None:
        stage.tell(routing(2000))
        await stage.until_settled()
        stage.sidecar.restart()
        stage.boot = "2"
        assert (stage.applied, stage.error) == (None, "")
        stage.tell(routing(2000))
        assert await stage.until_settled(2)
        assert stage.applied == routing(2000)
        assert stage.sidecar.applied == [routing(2000)] * 2, "pushed again, with the new nonce"

    story(tell)


def test_a_restart_that_nobody_has_seen_yet() -> None:
    async def tell(stage: Stage) -> None:
        stage.tell(routing(2000))
        await stage.until_settled()
        stage.sidecar.restart()
        stage.tell(routing(5000))
        assert await stage.until_settled(2)
        assert stage.sidecar.routing == routing(5000)

    story(tell)


def test_a_pod_that_is_gone_is_forgotten_even_while_it_is_told() -> None:
    async def tell(stage: Stage) -> None:
        entered, never = asyncio.Event(), asyncio.Event()

        async def hold(document: Document) -> None:
            entered.set()
            await never.wait()

        stage.sidecar.interfere = hold
        stage.tell(routing(2000))
        await entered.wait()
        stage.sidecars.forget(UID)
        await stage.until_settled()
        assert stage.applied is None
        assert stage.sidecars.counters(UID) == {}
        assert not stage.sidecars._sidecars
        stage.sidecars.forget(UID)
        never.set()

    story(tell)


@pytest.mark.parametrize("change", [{"address": ""}, {"injection": None}], ids=["no address yet", "no sidecar"])
def test_who_cannot_be_told_is_not(change: dict[str, Any]) -> None:
    async def tell(stage: Stage) -> None:
        stage.pod = replace(stage.pod, **change)
        stage.tell(routing(2000))
        await asyncio.sleep(0)
        assert (stage.applied, stage.settled, stage.sidecar.asked) == (None, [], 0)

    story(tell)


def _hostile(stage: Stage) -> dict[str, Callable[[], web.StreamResponse]]:
    answer = stage.sidecar.answer
    infinite = json.loads(bytes(answer(200).body))  # type: ignore[arg-type]
    infinite["counters"][CANARY]["requests"] = [float("inf")]
    return {
        "not JSON": lambda: web.Response(body=b"OK"),
        "nothing": lambda: web.Response(body=b""),
        "nested": lambda: web.Response(body=b"[" * 100_000),
        "counts without end": lambda: web.Response(text=json.dumps(infinite)),
        "another pod": lambda: answer(200, pod="another"),
        "another pod refuses": lambda: answer(409, pod="another"),
        "yes to nothing": lambda: answer(200, applied=None),
        "yes to something else": lambda: answer(200, applied=Version(5, 999)),
        "a nonce that never fits": lambda: answer(409, nonce="wrong"),
        "too much": lambda: web.Response(body=b"x" * (2 << 20)),
        "401": lambda: web.Response(status=401, text="by a key that is not known here"),
        "500 in no encoding": lambda: web.Response(status=500, body=b"\xff\xfe"),
        "a redirect": lambda: web.Response(status=307, headers={"Location": "/elsewhere"}),
    }


@pytest.mark.parametrize("kind", list(_hostile(Stage(None, Sidecar(), None, None))))  # type: ignore[arg-type]
def test_whatever_answers_there_the_controller_lives(kind: str) -> None:
    async def tell(stage: Stage) -> None:
        async def be_hostile(document: Document) -> web.StreamResponse:
            return _hostile(stage)[kind]()

        stage.sidecar.interfere = be_hostile
        stage.tell(routing(2000))
        assert not await stage.until_settled()
        assert stage.applied is None
        assert 0 < len(stage.error) < 600
        assert stage.sidecar.asked <= 3
        stage.sidecar.interfere = None
        stage.tell(routing(2000))
        assert await stage.until_settled(2)
        assert stage.applied == routing(2000)

    story(tell)


def test_an_answer_in_many_pieces() -> None:
    async def tell(stage: Stage) -> None:
        request_of: list[web.Request] = []
        original = stage.sidecar.put

        async def in_pieces(request: web.Request) -> web.StreamResponse:
            request_of.append(request)
            whole = await original(request)
            assert isinstance(whole, web.Response)
            assert isinstance(whole.body, bytes)
            response = web.StreamResponse(status=whole.status)
            await response.prepare(request)
            for at in range(0, len(whole.body), 50):
                await response.write(whole.body[at : at + 50])
                await asyncio.sleep(0.001)
            return response

        stage.sidecar.put = in_pieces  # type: ignore[method-assign]
        stage.tell(routing(2000))
        assert await stage.until_settled(), stage.error
        assert stage.applied == routing(2000)

    story(tell)


def test_a_sidecar_that_hangs_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coalmine_controller.sidecars._PUSH_SECONDS", 0.2)

    async def tell(stage: Stage) -> None:
        never = asyncio.Event()

        async def hold(document: Document) -> None:
            await never.wait()

        stage.sidecar.interfere = hold
        stage.tell(routing(2000))
        assert not await stage.until_settled()
        assert stage.error == "TimeoutError"
        never.set()

    story(tell)
