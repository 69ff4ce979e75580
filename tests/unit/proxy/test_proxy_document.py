"""A pushed document: applied as a whole, one after the other, while requests are served; its copy; what it leaves."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coalmine.model import names, wire
from coalmine_proxy.config import Configuration
from coalmine_proxy.keys import Keys


def endpoints(count: int, port: int = 80) -> list[wire.Endpoint]:
    return [wire.Endpoint(f"10.0.{i >> 8}.{i & 255}", port, f"uid-{i}", 9) for i in range(count)]


def put(body: bytes, signature: str) -> bytes:
    fields = f"Host: a\r\n{names.SIGNATURE_HEADER}: {signature}\r\nContent-Length: {len(body)}"
    return f"PUT /config HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


# --- one document after the other ---------------------------------------------------------------


def test_a_document_takes_hold_as_a_whole(in_world: Any, http: Any) -> None:
    """At every turn of the loop: the version that is shown and the routing that is in force belong together."""

    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app, uid="pod")
        old = http.routing([w.endpoint(app, sidecar)], endpoints(2000), 10)
        new = http.routing([w.endpoint(app, sidecar)], endpoints(3000, 81), 20)
        await w.put(sidecar, w.document(sidecar, old, version=wire.Version(1, 1)))
        expected = {wire.Version(1, 1): old, wire.Version(1, 2): new}
        seen: list[wire.Version | None] = []
        pushing = asyncio.create_task(w.put(sidecar, w.document(sidecar, new, version=wire.Version(1, 2))))
        while not pushing.done():
            applied = sidecar.configuration.applied
            table = sidecar.service.table
            if not seen or seen[-1] != applied:
                assert table.routing == expected[applied]
            assert [len(arm.peers) for arm in table._arms] == [len(arm.endpoints) for arm in expected[applied].arms]
            seen.append(applied)
            await asyncio.sleep(0)
        assert (await pushing).status == 200
        assert seen == sorted(seen)
        assert seen.count(wire.Version(1, 1)) > 3
        assert sidecar.configuration.applied == wire.Version(1, 2)

    in_world(test)


def test_requests_are_served_while_a_large_document_is_applied(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        end = [w.endpoint(app, sidecar)]
        reader, writer = await w.client(sidecar.port)
        pushing = asyncio.create_task(w.put(sidecar, w.document(sidecar, http.routing(end, endpoints(9000), 0))))
        served = 0
        while not pushing.done():
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await http.read_answer(reader)).status == 200
            served += 1
        assert (await pushing).status == 200
        assert served > 3

    in_world(test)


def test_endpoints_that_stay_are_the_same_objects_and_those_that_leave_are_forgotten(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        end = [w.endpoint(app, sidecar)]
        peers = []
        for count in (500, 400):
            await w.configure(sidecar, http.routing(end, endpoints(count), 0))
            peers.append(sidecar.service.table._arms[1].peers)
            assert sidecar.service.table.routing.arms[1].endpoints[7] is peers[0][7].endpoint
        assert peers[0][:400] == peers[1]
        assert [peer.retired for peer in peers[0]] == [False] * 400 + [True] * 100

    in_world(test)


def test_pushes_at_the_same_time(in_world: Any, http: Any) -> None:
    """Each is compared with what the one before it left."""

    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        large = http.routing([w.endpoint(app, sidecar)], endpoints(3000), 0)
        documents = [
            w.document(sidecar, routing, version=wire.Version(*version))
            for routing, version in (
                (large, (2, 5)),
                (wire.LOCAL_ONLY, (2, 4)),
                (wire.LOCAL_ONLY, (2, 5)),
                (wire.LOCAL_ONLY, (2, 6)),
                (large, (1, 9)),
            )
        ]
        documents.insert(1, documents[0])
        go_on = asyncio.Event()
        apply = sidecar.configuration._apply

        async def applied_later(*arguments: Any) -> None:
            await go_on.wait()
            await apply(*arguments)

        sidecar.configuration._apply = applied_later
        answers = []
        sent = 0
        for body in documents:
            reader, writer = await w.client(sidecar.admin_port)
            writer.write(put(body, w.sign(body)))
            answers.append(reader)
            sent += len(body)
            while sidecar.admin.unverified < sent:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(0)
        go_on.set()
        statuses = [(await http.read_answer(reader)).status for reader in answers]
        assert statuses == [200, 200, 409, 409, 200, 409]
        assert sidecar.configuration.applied == wire.Version(2, 6)
        assert sidecar.service.table.routing == wire.LOCAL_ONLY
        assert sidecar.admin.unverified == 0

    in_world(test)


def test_a_push_during_a_drain_is_applied(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        sidecar.service.drain()
        answer = await w.configure(sidecar, http.routing([w.endpoint(app, sidecar)], endpoints(2000), 0))
        assert not answer.ready
        assert len(sidecar.service.table.routing.arms) == 2

    in_world(test)


def test_a_push_whose_sender_has_gone_is_applied(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        body = w.document(sidecar, http.routing([w.endpoint(app, sidecar)], endpoints(3000), 0))
        _, writer = await w.client(sidecar.admin_port)
        writer.write(put(body, w.sign(body)))
        await http.until(lambda: sidecar.admin.unverified >= len(body))
        writer.transport.abort()
        await http.until(lambda: sidecar.configuration.applied is not None)
        await http.until(lambda: sidecar.admin.unverified == 0)
        assert (await w.put(sidecar, body)).status == 200

    in_world(test)


def test_answers_on_one_connection_keep_their_order(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        bodies = [w.document(sidecar, http.routing([w.endpoint(app, sidecar)], endpoints(n), 0)) for n in (2000, 1)]
        reader, writer = await w.client(sidecar.admin_port)
        requests = [put(bodies[0], w.sign(bodies[0])), b"GET /identity HTTP/1.1\r\nHost: a\r\n\r\n"]
        writer.write(b"".join([*requests, put(bodies[1], w.sign(bodies[1]))]))
        writer.write_eof()  # a sender that says no more is answered all the same
        first, second, third = [await http.read_answer(reader) for _ in range(3)]
        assert [wire.decode_answer(it.body).applied for it in (first, third)] == [
            wire.Version(1, 1),
            wire.Version(1, 2),
        ]
        assert b"uid" in second.body

    in_world(test)


def test_a_bug_of_ours_costs_the_document_only(in_world: Any, http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        routing = http.routing([w.endpoint(app, sidecar)], endpoints(3), 0)
        before = sidecar.service.table

        def applying(*_: object) -> Iterator[None]:
            yield
            raise AssertionError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(type(sidecar.service), "applying", applying)
            assert (await w.put(sidecar, w.document(sidecar, routing))).status == 500
        assert sidecar.service.table is before
        assert sidecar.configuration.applied is None
        assert (await w.put(sidecar, w.document(sidecar, routing))).status == 200

    in_world(test)


def test_bodies_that_wait_to_be_applied_are_bounded(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        go_on = asyncio.Event()

        async def apply(routing: object, body: object, holds: Any) -> None:
            await go_on.wait()
            holds()

        sidecar.configuration._apply = apply
        bodies = [
            w.document(sidecar, wire.LOCAL_ONLY)[:-1] + b" " * (wire.MAX_DOCUMENT - 1000) + b"}" for _ in range(2)
        ]
        readers = []
        for body in bodies:
            reader, writer = await w.client(sidecar.admin_port)
            writer.write(put(body, w.sign(body)))
            readers.append(reader)
        await http.until(lambda: sidecar.admin.unverified == sum(len(body) for body in bodies))
        assert (await w.put(sidecar, b" " * 10_000)).status == 503
        go_on.set()
        assert [(await http.read_answer(reader)).status for reader in readers] == [200, 200]

    in_world(test)


# --- the copy -----------------------------------------------------------------------------------


def test_a_disk_that_stands_still_keeps_nobody_waiting_but_the_answer(in_world: Any, http: Any, tmp_path: Path) -> None:
    async def test(w: Any) -> None:
        state = tmp_path / "state"
        state.mkdir()
        # who opens a pipe to write waits until somebody reads
        os.mkfifo(state / ".config.new")
        app = await w.app("a")
        sidecar = await w.sidecar(app, state=state)
        end = [w.endpoint(app, sidecar)]
        first, second = (asyncio.create_task(w.configure(sidecar, http.routing(end, end, n))) for n in (10, 20))
        await http.until(lambda: sidecar.configuration.applied == wire.Version(1, 2))
        assert (await w.ask(sidecar.port)).status == 200
        assert not first.done()
        assert not second.done()
        loop = asyncio.get_running_loop()
        written = await loop.run_in_executor(None, (state / ".config.new").read_bytes)
        assert written
        await asyncio.gather(first, second)
        # what is stored in the end is what is in force
        again = await w.sidecar(app, uid=sidecar.configuration.pod, state=state)
        assert again.configuration.applied == wire.Version(1, 2)
        assert again.service.table.routing.arms[1].share.percent == 20

    in_world(test)


def test_a_copy_that_cannot_be_written_costs_the_copy_only(in_world: Any, http: Any, tmp_path: Path) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app, state=tmp_path / "there" / "is" / "none")
        for _ in range(2):
            await w.configure(sidecar, wire.LOCAL_ONLY)

    in_world(test)


def test_what_is_refused_is_neither_applied_nor_stored(in_world: Any, http: Any, tmp_path: Path) -> None:
    async def test(w: Any) -> None:
        state = tmp_path / "state"
        state.mkdir()
        configuration, applied = _bare(w, state)
        good = wire.Document(wire.Version(1, 2), "pod", "boot", wire.Routing((_spare(3000),)))
        for document, status in (
            (wire.encode(good)[:-1], 400),
            (wire.encode(wire.Document(good.version, "other", "boot", good.routing)), 409),
            (wire.encode(wire.Document(good.version, "pod", "other", good.routing)), 409),
            (wire.encode(good).replace(b'"port":80', b'"port":0'), 400),
        ):
            assert (await configuration.offer(document, w.sign(document)))[0] == status
            assert (await configuration.offer(document, w.sign(b"other")))[0] == 401
        assert applied == []
        assert configuration.applied is None
        assert list(state.iterdir()) == []
        body = wire.encode(good)
        assert (await configuration.offer(body, w.sign(body)))[0] == 200
        assert (state / "config").read_bytes().endswith(body)
        assert applied == [good.routing]

    in_world(test)


def test_what_a_withdrawn_key_signed_counts_as_nothing(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        configuration, applied = _bare(w, None)
        theirs = wire.encode(wire.Document(wire.Version(1 << 40, 1), "pod", "boot", wire.Routing(close=True)))
        assert (await configuration.offer(theirs, w.sign(theirs)))[0] == 200
        stolen = (w.keys / "k1").read_bytes()
        ours = wire.encode(wire.Document(wire.Version(7, 1), "pod", "boot", wire.Routing()))
        signature = w.sign(ours).replace("k1:", "k2:")
        (w.keys / "k2").write_bytes(stolen)  # another id is another key
        assert (await configuration.offer(ours, signature))[0] == 409, "both are known: the newer one stands"
        (w.keys / "k1").unlink()
        assert (await configuration.offer(theirs, w.sign(theirs)))[0] == 401
        assert (await configuration.offer(ours, signature))[0] == 200
        assert configuration.applied == wire.Version(7, 1)
        assert applied == [wire.Routing(close=True), wire.Routing()]
        assert (await configuration.offer(ours, signature))[1] == "The document is applied already."

    in_world(test)


def _bare(w: Any, state: Path | None) -> tuple[Configuration, list[wire.Routing]]:
    """A configuration without a sidecar around it, and what it has applied."""
    applied: list[wire.Routing] = []

    async def apply(routing: wire.Routing, body: bytes, holds: Any) -> None:
        applied.append(routing)
        holds()

    configuration = Configuration(
        pod="pod",
        nonce="boot",
        keys=Keys(w.keys),
        state=state,
        clock=asyncio.get_running_loop().time,
        apply=apply,
        known=lambda endpoint: endpoint,
    )
    return configuration, applied


def _spare(count: int) -> wire.Arm:
    return wire.Arm("spare", wire.Weight.FULL, tuple(endpoints(count)))


# --- what stays behind --------------------------------------------------------------------------


def test_nothing_is_left_to_the_garbage_collector(in_world: Any, http: Any) -> None:
    """What refers to itself when it is done with would never be freed, once a large document has had it frozen."""

    async def some(w: Any, sidecar: Any, ends: list[wire.Endpoint]) -> None:
        for _ in range(20):
            await w.ask(sidecar.port)
        await w.ask(sidecar.admin_port, path="/metrics")
        reader, writer = await w.client(sidecar.port)
        for _ in range(5):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await http.read_answer(reader)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        await http.until(lambda: sidecar.service.stats.in_flight)
        writer.transport.abort()
        await w.configure(sidecar, http.routing(ends[:1], ends[1:], 50))
        await http.until(lambda: not sidecar.service.clients and not sidecar._admin_connections)

    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        end = w.endpoint(app, sidecar)
        ends = [end, end, wire.Endpoint("127.0.0.1", 1, "nobody", 1)]
        await some(w, sidecar, ends)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await some(w, sidecar, ends)
            gc.collect()
            ours = [it for it in gc.garbage if type(it).__module__.split(".")[0] in ("coalmine_proxy", "uvloop")]
            assert ours == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    in_world(test)
