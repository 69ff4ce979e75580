"""Logs: which part of them, following them, and who may ask the node for them."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from coalmine_sandbox.certificates import Authority, Pair
from coalmine_sandbox.node.log_server import CLIENT, serving
from coalmine_sandbox.node.logs import BadQueryError, NoLogError, Query, RunLog, read

NOW = 1_900_000_000.0


def over() -> bool:
    return True


async def everything(log: RunLog, query: Query, is_over: Callable[[], bool] = over) -> bytes:
    return b"".join([piece async for piece in read(log, query, over=is_over, now=lambda: NOW)])


def logged(folder: Path, content: bytes) -> RunLog:
    (folder / "0.log").write_bytes(content)
    return RunLog(folder / "0.log", NOW - 100)


LINES = b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "query", "expected"),
    [
        (LINES, Query(), LINES),
        (LINES, Query(tail=0), b""),
        (LINES, Query(tail=1), b"three\n"),
        (LINES, Query(tail=2), b"two\nthree\n"),
        (LINES, Query(tail=3), LINES),
        (LINES, Query(tail=4), LINES),
        (LINES + b"rest", Query(tail=2), b"three\nrest"),
        (b"\n\n\n", Query(tail=2), b"\n\n"),
        (b"", Query(tail=2), b""),
        (LINES, Query(limit=5), b"one\nt"),
        (LINES, Query(limit=5, tail=1), b"three"),
        (b"x" * 100_000 + b"\n" + b"y" * 100_000 + b"\n", Query(tail=1), b"y" * 100_000 + b"\n"),
    ],
)
def test_parts(tmp_path: Path, content: bytes, query: Query, expected: bytes) -> None:
    assert asyncio.run(everything(logged(tmp_path, content), query)) == expected


def test_log_that_was_never_written(tmp_path: Path) -> None:
    assert asyncio.run(everything(RunLog(tmp_path / "none", NOW), Query(tail=1))) == b""


def test_times_are_those_of_the_looks(tmp_path: Path) -> None:
    log = logged(tmp_path, b"one\ntwo\n")
    log.note(NOW - 50)
    log.note(NOW - 49)  # nothing new: no mark
    with log.file.open("ab") as file:
        file.write(b"three\r\nfour")
    stamped = asyncio.run(everything(log, Query(timestamps=True)))
    before, now = b"2030-03-17T17:45:50.000000000Z ", b"2030-03-17T17:46:40.000000000Z "
    assert stamped == before + b"one\n" + before + b"two\n" + now + b"three\r\n" + now + b"four"
    for seconds, expected in ((10, b"three\r\nfour"), (49, b"three\r\nfour"), (50, b"one\ntwo\nthree\r\nfour")):
        assert asyncio.run(everything(log, Query(since=NOW - seconds))) == expected


def test_followed_until_the_run_is_over(tmp_path: Path) -> None:
    async def story() -> bytes:
        log, ended, got = logged(tmp_path, b"one\n"), asyncio.Event(), asyncio.Event()

        async def follow() -> bytes:
            seen = b""
            async for piece in read(log, Query(follow=True), over=ended.is_set, now=lambda: NOW):
                seen += piece
                got.set()
            return seen

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow())
            for line in (b"two\n", b"three\n"):
                await got.wait()
                got.clear()
                with log.file.open("ab") as file:
                    file.write(line)
            ended.set()  # what was printed before that is not lost
        return following.result()

    assert asyncio.run(story()) == LINES


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Query()),
        ({"follow": "true", "previous": "1", "timestamps": "false"}, Query(follow=True, previous=True)),
        ({"tailLines": "0", "limitBytes": "9"}, Query(tail=0, limit=9)),
        ({"sinceSeconds": "60"}, Query(since=NOW - 60)),
        ({"sinceTime": "2030-03-17T17:46:40Z", "stream": "All"}, Query(since=NOW)),
    ],
)
def test_query(raw: dict[str, str], expected: Query) -> None:
    assert Query.parse(raw, NOW) == expected


@pytest.mark.parametrize(
    ("name", "value"), [("tailLines", "-1"), ("limitBytes", "0"), ("sinceSeconds", "x"), ("sinceTime", "yesterday")]
)
def test_bad_query(name: str, value: str) -> None:
    with pytest.raises(BadQueryError, match=name):
        Query.parse({name: value}, NOW)


class Known:
    """One pod with one container."""

    def __init__(self, log: RunLog) -> None:
        self.log = log

    def find(self, namespace: str, pod: str, container: str, previous: bool) -> tuple[RunLog, Callable[[], bool]]:
        if (namespace, pod) != ("n", "p"):
            raise LookupError(f'pod "{pod}" does not exist')
        if previous:
            raise NoLogError(f'previous terminated container "{container}" in pod "{pod}" not found')
        return self.log, over


def client_of(folder: Path, pair: Pair | None) -> aiohttp.TCPConnector:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as kube-apiserver without an authority
    if pair is not None:
        (folder / "client.pem").write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(folder / "client.pem")
    return aiohttp.TCPConnector(ssl=context)


def asking(folder: Path, pair: Callable[[Authority], Pair | None], body: Callable[[Any], Any]) -> None:
    """Run `body` with a function that asks the node's server for a path, as who has this certificate."""
    authority = Authority("cluster", datetime.datetime.now(datetime.UTC))

    async def story() -> None:
        logs = Known(logged(folder, LINES))
        async with (
            serving("node", "127.0.0.1", folder, authority.certificate, logs, lambda: NOW) as port,
            aiohttp.ClientSession(connector=client_of(folder, pair(authority))) as session,
        ):

            async def ask(path: str) -> tuple[int, str]:
                async with session.get(f"https://127.0.0.1:{port}/containerLogs/{path}") as answer:
                    return answer.status, await answer.text()

            await body(ask)
            await session.close()
            await asyncio.sleep(0)

    asyncio.run(story())


def test_the_api_server_gets_logs(tmp_path: Path) -> None:
    async def body(ask: Any) -> None:
        assert await ask("n/p/c") == (200, LINES.decode())
        assert await ask("n/p/c?tailLines=1&follow=true") == (200, "three\n")
        assert await ask("n/other/c") == (404, 'pod "other" does not exist')
        assert await ask("n/p/c?previous=true") == (400, 'previous terminated container "c" in pod "p" not found')
        assert (await ask("n/p/c?tailLines=x"))[0] == 400

    asking(tmp_path, lambda authority: authority.issue(CLIENT), body)


def test_others_that_the_cluster_knows_do_not(tmp_path: Path) -> None:
    async def body(ask: Any) -> None:
        assert (await ask("n/p/c"))[0] == 403

    asking(tmp_path, lambda authority: authority.issue("admin", groups=["system:masters"]), body)


@pytest.mark.parametrize("known", [False, True])
def test_strangers_do_not_even_get_an_answer(tmp_path: Path, known: bool) -> None:
    async def body(ask: Any) -> None:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await ask("n/p/c")

    stranger = Authority("other", datetime.datetime.now(datetime.UTC)).issue(CLIENT)
    asking(tmp_path, lambda _: stranger if known else None, body)
