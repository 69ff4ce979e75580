"""The admin port: which documents are accepted, what is shown to whom, readiness, and the end."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coalmine.model import wire
from coalmine.model.errors import SpecError
from coalmine_proxy.__main__ import parse
from coalmine_proxy.admin_connection import _inside


def test_a_document_is_applied_and_answered_with_the_counters(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app, uid="pod-1")
        await w.ask(sidecar.port)
        body = w.document(sidecar, wire.LOCAL_ONLY, version=wire.Version(4, 2))
        for _ in range(2):  # the very same document once more is no mistake
            answer = await w.put(sidecar, body)
            assert answer.status == 200
            told = wire.decode_answer(answer.body)
            assert (told.pod, told.nonce, told.applied, told.ready) == ("pod-1", "boot-0", wire.Version(4, 2), True)
            assert told.counters["local"].requests[1] == 1

    in_world(test)


def test_what_is_refused(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        good = w.document(sidecar, wire.LOCAL_ONLY, version=wire.Version(2, 5))
        assert (await w.put(sidecar, good)).status == 200
        other_key = Ed25519PrivateKey.generate()
        newer = w.document(sidecar, wire.Routing(close=True), version=wire.Version(2, 6))
        forged = "k1:" + base64.b64encode(other_key.sign(newer)).decode()
        unsigned = json.dumps({"schema": 1}).encode()
        cases = [
            (newer, forged, 401),
            (newer, "", 401),
            (newer, "k1", 401),
            (newer, "k1:!!!", 401),
            (newer, "k2:" + w.sign(newer)[3:], 401),
            (newer, "../keys/k1:" + w.sign(newer)[3:], 401),
            (newer + b" ", w.sign(newer), 401),
            (unsigned, w.sign(unsigned), 400),
            (b"[" * 5000, w.sign(b"[" * 5000), 400),
            (w.document(sidecar, wire.LOCAL_ONLY, nonce="boot-9", version=wire.Version(9, 9)), None, 409),
            (w.document(sidecar, wire.LOCAL_ONLY, pod="other", version=wire.Version(9, 9)), None, 409),
            (w.document(sidecar, wire.LOCAL_ONLY, version=wire.Version(2, 4)), None, 409),
            (w.document(sidecar, wire.LOCAL_ONLY, version=wire.Version(1, 99)), None, 409),
            (w.document(sidecar, wire.Routing(close=True), version=wire.Version(2, 5)), None, 409),
            (b"x" * (wire.MAX_DOCUMENT + 1), "k1:x", 413),
        ]
        for body, signature, status in cases:
            answer = await w.put(sidecar, body, signature)
            assert answer.status == status, body[:80]
            if status == 409:
                told = wire.decode_answer(answer.body)
                assert (told.nonce, told.applied) == ("boot-0", wire.Version(2, 5))
        assert not sidecar.service.closing
        assert (await w.put(sidecar, newer)).status == 200
        assert sidecar.service.closing

    in_world(test)


def test_a_chunked_push_is_bounded_too(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        head = b"PUT /config HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        data = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = await w.raw(sidecar.admin_port, head + data * 17)
        assert answer.startswith(b"HTTP/1.1 413 ")

    in_world(test)


def test_keys_turn_while_it_runs(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        old, new = w.key, Ed25519PrivateKey.generate()
        public = base64.b64encode(new.public_key().public_bytes_raw())
        body = w.document(sidecar, wire.LOCAL_ONLY)
        signed = base64.b64encode(new.sign(body)).decode()
        assert (await w.put(sidecar, body, "k2:" + signed)).status == 401
        (w.keys / "k2").write_bytes(public)
        assert (await w.put(sidecar, body, "k2:" + signed)).status == 200
        (w.keys / "k1").write_bytes(public)
        os.utime(w.keys / "k1", ns=(1, 1))
        body = w.document(sidecar, wire.LOCAL_ONLY)
        assert (await w.put(sidecar, body, "k1:" + base64.b64encode(old.sign(body)).decode())).status == 401
        assert (await w.put(sidecar, body, "k1:" + base64.b64encode(new.sign(body)).decode())).status == 200
        (w.keys / "k1").unlink()
        body = w.document(sidecar, wire.LOCAL_ONLY)
        assert (await w.put(sidecar, body, "k1:" + base64.b64encode(new.sign(body)).decode())).status == 401

    in_world(test)


def test_a_restart_goes_on_with_the_last_document_and_refuses_replays(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        state = w.folder / "state"
        state.mkdir()
        a, c = await w.app("a"), await w.app("c")
        peer = await w.sidecar(c, uid="uid-c")
        first = await w.sidecar(a, uid="pod", canary=True, state=state)
        assert (await w.ask(first.admin_port, path="/ready")).status == 503
        routing = http.routing([], [w.endpoint(c, peer)], 100)
        old = w.document(first, routing, version=wire.Version(3, 7))
        assert (await w.put(first, old)).status == 200
        assert (await w.ask(first.admin_port, path="/ready")).status == 200

        second = await w.sidecar(a, uid="pod", canary=True, state=state)
        assert (await w.ask(second.admin_port, path="/ready")).status == 200
        assert (await w.ask(second.port)).body == b"c"
        replayed = await w.put(second, old)
        assert replayed.status == 409
        told = wire.decode_answer(replayed.body)
        assert (told.nonce, told.applied) == (second.configuration.nonce, wire.Version(3, 7))
        older = w.document(second, wire.LOCAL_ONLY, version=wire.Version(3, 6))
        assert (await w.put(second, older)).status == 409
        # The controller says the same again, for this boot.
        same = w.document(second, routing, version=wire.Version(3, 7))
        assert (await w.put(second, same)).status == 200
        assert (await w.put(second, w.document(second, wire.LOCAL_ONLY, version=wire.Version(3, 7)))).status == 409

        other = await w.sidecar(a, uid="another-pod", canary=True, state=state)
        assert (await w.ask(other.admin_port, path="/ready")).status == 503

    in_world(test)


@pytest.mark.parametrize("damage", [b"", b"\n", b"k1:AAAA\n{}", b"\xff\xfe", b"x" * 3000])
def test_a_damaged_copy_is_not_used(in_world: Any, damage: bytes) -> None:
    async def test(w: Any) -> None:
        state = w.folder / "state"
        state.mkdir()
        (state / "config").write_bytes(damage)
        sidecar = await w.sidecar(await w.app("a"), canary=True, state=state)
        assert sidecar.configuration.applied is None
        assert (await w.ask(sidecar.admin_port, path="/ready")).status == 503

    in_world(test)


def test_the_other_paths(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"), uid="u1")
        port = sidecar.admin_port
        assert json.loads((await w.ask(port, path="/identity")).body) == {"uid": "u1"}
        assert (await w.ask(port, path="/live")).status == 200
        metrics = await w.ask(port, path="/metrics")
        assert metrics.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        assert b"coalmine_ready 1\n" in metrics.body
        assert (await w.ask(port, path="/nothing")).status == 404
        assert (await w.ask(port, "DELETE", "/config")).status == 405
        shown = await w.shown(sidecar)
        assert shown["routing"]["localPaths"] == ["/metrics"]
        assert shown["nonce"] == "boot-0"
        # Kept connections, pipelined.
        reader, writer = await w.client(port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        for _ in range(3):
            assert (await http.read_answer(reader)).status == 200

    in_world(test)


def test_only_this_pod_sees_the_configuration_and_may_drain(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        for method, path in (("GET", "/config"), ("POST", "/drain")):
            assert sidecar.admin.handle(method, path, b"", "", inside=False).status == 403
        assert not sidecar.service.draining

    in_world(test)


@pytest.mark.parametrize(
    ("peer", "own", "inside"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.0.0.7", "10.0.0.7", True),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.7", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("10.0.0.8", "10.0.0.7", False),
        # a mesh's sidecar
        ("127.0.0.6", "10.0.0.7", False),
        ("127.0.0.6", "127.0.0.1", False),
        # pods on one machine's loopback: its own, the machine's, another pod's
        ("127.1.128.5", "127.1.128.5", True),
        ("127.0.0.1", "127.1.128.5", False),
        ("::ffff:127.0.0.1", "::ffff:127.1.128.5", False),
        ("127.1.128.6", "127.1.128.5", False),
    ],
)
def test_who_is_inside(peer: str, own: str, inside: bool) -> None:
    assert _inside((peer, 40000), (own, 17081)) is inside


def test_close_and_drain_end_connections_with_their_answers(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        app = await w.app("a")
        sidecar = await w.sidecar(app)
        reader, writer = await w.client(sidecar.port)
        idle, _ = await w.client(sidecar.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await http.read_answer(reader)).get("connection") is None
        await w.configure(sidecar, wire.Routing(close=True))
        assert (await w.ask(sidecar.admin_port, path="/ready")).status == 200
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # the kept connection still serves
        answer = await http.read_answer(reader)
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert await reader.read() == b""
        await w.configure(sidecar, wire.Routing(drain=True))
        assert (await w.ask(sidecar.admin_port, path="/ready")).status == 503
        await w.configure(sidecar, wire.LOCAL_ONLY)
        assert (await w.ask(sidecar.admin_port, path="/ready")).status == 200
        assert (await w.ask(sidecar.admin_port, "POST", "/drain")).status == 200
        assert (await w.ask(sidecar.admin_port, path="/ready")).status == 503
        assert (await w.ask(sidecar.port)).get("connection") == "close"
        assert not idle.at_eof()

    in_world(test)


def test_the_end_waits_for_requests_in_flight_and_closes_idle_connections(in_world: Any, http: Any) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def script(app: Any, message: Any, reader: Any, writer: Any) -> bool:
        asked.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a", script))
        object.__setattr__(sidecar._settings, "drain_seconds", 60.0)
        reader, writer = await w.client(sidecar.port)
        idle, _ = await w.client(sidecar.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asked.wait()
        ending = asyncio.create_task(sidecar.drain())
        assert await idle.read() == b""
        assert not ending.done()
        with pytest.raises(ConnectionError):
            await w.client(sidecar.port)
        go.set()
        answer = await http.read_answer(reader)
        assert (answer.body, answer.get("connection")) == (b"ok", "close")
        await ending
        w._sidecars.remove(sidecar)

    in_world(test)


def test_who_is_connected_and_not_accepted_yet_is_served_at_the_end(in_world: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        object.__setattr__(sidecar._settings, "drain_seconds", 60.0)
        # Without a turn of the loop between this and the end: they wait in the socket that is about to be closed.
        clients = [socket.create_connection(("127.0.0.1", sidecar.port)) for _ in range(5)]
        ending = asyncio.create_task(sidecar.drain())
        loop = asyncio.get_running_loop()
        for i, client in enumerate(clients):
            client.setblocking(False)
            if i % 2:  # the request, too, may come late
                await asyncio.sleep(0)
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            answer = await loop.sock_recv(client, 1000)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"Connection: close" in answer
            client.close()
        await ending
        w._sidecars.remove(sidecar)

    in_world(test)


def test_a_new_client_may_ask_a_moment_after_the_port_was_closed(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        object.__setattr__(sidecar._settings, "drain_seconds", 60.0)
        reader, writer = await w.client(sidecar.port)
        await http.until(lambda: len(sidecar.service.clients) == 1)
        ending = asyncio.create_task(sidecar.drain())
        while True:
            try:
                _, probe = await w.client(sidecar.port)
            except ConnectionError:
                break
            probe.close()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await http.read_answer(reader)
        assert (answer.status, answer.get("connection")) == (200, "close")
        await ending
        w._sidecars.remove(sidecar)

    in_world(test)


def test_a_request_that_nobody_has_read_yet_makes_its_connection_no_idle_one(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        object.__setattr__(sidecar._settings, "drain_seconds", 60.0)
        reader, writer = await w.client(sidecar.port)
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        writer.write(request)
        assert (await http.read_answer(reader)).get("connection") is None
        # Without a turn of the loop between this and the end.
        os.write(writer.get_extra_info("socket").fileno(), request)
        await sidecar.drain()
        answer = await http.read_answer(reader)
        assert (answer.status, answer.get("connection")) == (200, "close")
        w._sidecars.remove(sidecar)

    in_world(test)


def test_arguments_and_environment() -> None:
    environ = {"COALMINE_POD_UID": "u", "COALMINE_POD_IP": "10.0.0.7", "COALMINE_BIND": "10.0.0.7"}
    arguments = "--listen-port 1 --admin-port 2 --app-port 3 --state /s --keys /k --canary --local-paths /m,/n"
    settings = parse(arguments.split(), environ)
    assert settings.listen == ("10.0.0.7", 1)
    assert settings.admin == ("10.0.0.7", 2)
    assert settings.own == wire.Endpoint("10.0.0.7", 3, "u", 2)
    assert settings.canary
    assert settings.routing.local_paths == ("/m", "/n")
    del environ["COALMINE_BIND"]
    assert parse(["--app-port", "3"], environ).listen == (None, 17080)
    with pytest.raises(SpecError, match="--app-port: is missing"):
        parse([], environ)
    with pytest.raises(SpecError, match="COALMINE_POD_UID: is not set"):
        parse(["--app-port", "3"], {})


def test_who_does_not_read_its_answers_gets_no_more_of_them(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        reader, writer = await w.client(sidecar.admin_port)
        count = 6000
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        await http.until(lambda: any(c._blocked for c in sidecar._admin_connections))
        assert sum(c.transport.get_write_buffer_size() for c in sidecar._admin_connections) < 1 << 20
        assert [(await http.read_answer(reader)).start for _ in range(count)] == ["HTTP/1.1 200 OK"] * count

    in_world(test)


def test_unverified_bodies_are_bounded_over_all_connections(in_world: Any, http: Any) -> None:
    async def test(w: Any) -> None:
        sidecar = await w.sidecar(await w.app("a"))
        head = b"PUT /config HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % wire.MAX_DOCUMENT
        answers = []
        for _ in range(4):
            reader, writer = await w.client(sidecar.admin_port)
            writer.write(head + b" " * (wire.MAX_DOCUMENT - 1))
            answers.append(asyncio.ensure_future(http.read_answer(reader)))
        done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert all(a.result().start.startswith("HTTP/1.1 503 ") for a in done)
        assert sidecar.admin.unverified <= 2 * wire.MAX_DOCUMENT
        for answer in waiting:
            answer.cancel()

    in_world(test)
