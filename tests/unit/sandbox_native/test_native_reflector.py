"""The reflector that node and front have: it follows, and asks no server in a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from virtual_time import now, run

from coalmine.kube.resources import CONFIG_MAPS, Object
from coalmine.kube.verbs import ApiError, Event, GoneError
from coalmine_sandbox.reflector import Key, Reflector


def thing(name: str, version: int) -> Object:
    return {"metadata": {"name": name, "namespace": "ns", "resourceVersion": str(version)}}


class Server:
    """Lists `things`; a watch tells `events`, then does `then`: an error, seconds that it lasts, or nothing."""

    def __init__(self, then: Exception | float | None) -> None:
        self.things = [thing("a", 1), thing("b", 2)]
        self.events: list[Event] = []
        self.then = then
        self.asked = 0

    async def list(self, *_: Any, **__: Any) -> tuple[list[Object], str]:
        self.asked += 1
        return list(self.things), "2"

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Event]:
        self.asked += 1
        events, self.events = self.events, []
        for event in events:
            yield event
        if isinstance(self.then, Exception):
            raise self.then
        await asyncio.sleep(self.then or 0.0)


async def follow(server: Server, seconds: float) -> tuple[Reflector, list[tuple[str, str | None]]]:
    told: list[tuple[str, str | None]] = []

    def changed(key: Key, obj: Object | None) -> None:
        told.append((key[1], None if obj is None else str(obj["metadata"]["resourceVersion"])))

    reflector = Reflector(server, CONFIG_MAPS, changed)  # type: ignore[arg-type]
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    return reflector, told


@pytest.mark.parametrize("then", [None, GoneError(410, "Expired", "too old"), ApiError(500, "InternalError", "no")])
def test_a_server_that_ends_each_watch_at_once_is_not_asked_in_a_loop(then: Exception | None) -> None:
    async def main() -> None:
        server = Server(then)
        await follow(server, 60.0)
        assert 20 < server.asked < 80

    run(main())


def test_a_watch_that_lasted_is_followed_at_once() -> None:
    async def main() -> None:
        server = Server(5.0)
        began = now()
        await follow(server, 60.0)
        assert (now() - began, server.asked) == (60.0, 13)

    run(main())


def test_a_list_tells_what_changed_meanwhile() -> None:
    async def main() -> None:
        server = Server(GoneError(410, "Expired", "too old"))
        server.events = [
            Event("ADDED", thing("c", 3)),
            Event("MODIFIED", thing("a", 4)),
            Event("DELETED", thing("b", 5)),
        ]
        server.things = [thing("a", 4), thing("b", 2)]
        reflector, told = await follow(server, 0.15)
        assert told == [("a", "4"), ("b", "2"), ("c", "3"), ("a", "4"), ("b", None), ("c", None), ("b", "2")]
        assert set(reflector.objects) == {("ns", "a"), ("ns", "b")}

    run(main())
