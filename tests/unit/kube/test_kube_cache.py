"""The cache: it follows the cluster, never goes back in time, and asks no server in a loop."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from memory_cluster import MemoryCluster, unreachable
from virtual_time import now, run

from coalmine.kube.cache import Cache
from coalmine.kube.resources import CONFIG_MAPS, Object, name_of, uid_of
from coalmine.kube.verbs import GoneError


def thing(name: str, data: str = "", **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "ns", **metadata}, "data": {"x": data}}


class Stage:
    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.changes: list[tuple[str | None, str | None]] = []

    async def begin(self, labels: str = "") -> None:
        self.cache = Cache(self.cluster, CONFIG_MAPS, labels=labels)  # type: ignore[arg-type]
        self.cache.listen(lambda old, new: self.changes.append((_said(old), _said(new))))
        self.task = asyncio.create_task(self.cache.run())
        await self.cache.synced.wait()

    def put(self, *args: Any, **metadata: Any) -> Object:
        return self.cluster.put(CONFIG_MAPS, thing(*args, **metadata))

    def seen(self) -> dict[str, str]:
        return {name_of(o): str(_said(o)) for o in self.cache.objects()}


def _said(obj: Object | None) -> str | None:
    return None if obj is None else f"{obj['data']['x']}"


def story(tell: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage()
        await tell(stage)
        if hasattr(stage, "task"):
            assert not stage.task.done(), stage.task
            stage.task.cancel()
            await asyncio.gather(stage.task, return_exceptions=True)

    run(main())


async def settle() -> None:
    await asyncio.sleep(0.01)


def test_it_follows_and_tells_old_and_new() -> None:
    async def tell(stage: Stage) -> None:
        stage.put("a", "1")
        await stage.begin()
        await settle()
        stage.put("a", "2")
        stage.put("b", "1")
        await settle()
        stage.cluster.remove(CONFIG_MAPS, "ns", "a")
        await settle()
        assert stage.seen() == {"b": "1"}
        assert stage.changes == [(None, "1"), ("1", "2"), (None, "1"), ("2", None)]
        found = stage.cache.get("ns", "b")
        assert found is not None
        assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")

    story(tell)


@pytest.mark.parametrize("error", [GoneError(410, "Expired", "too old"), unreachable()], ids=["410", "unreachable"])
def test_it_lists_again_after_410_and_after_errors(error: Exception) -> None:
    async def tell(stage: Stage) -> None:
        stage.put("kept", "1")
        stage.put("gone", "1")
        await stage.begin()
        relists = 0

        def count() -> None:
            nonlocal relists
            relists += 1

        stage.cache.on_relist(count)
        await settle()

        def refuse(verb: str, path: str) -> None:
            if verb == "WATCH":
                raise error

        stage.cluster.before = refuse
        await asyncio.sleep(241)  # the watch ends, the next one is refused
        stage.put("new", "1")
        stage.cluster.remove(CONFIG_MAPS, "ns", "gone")
        await asyncio.sleep(20)
        assert stage.seen() == {"kept": "1", "new": "1"}
        assert relists
        stage.cluster.before = lambda verb, path: None
        stage.put("new", "2")
        await asyncio.sleep(20)
        assert stage.seen() == {"kept": "1", "new": "2"}
        assert stage.changes.count((None, "1")) == 3, "listing again is no change of what stays"

    story(tell)


@pytest.mark.parametrize("how", ["410 at once", "unreachable", "empty watches", "410 in the list"])
def test_a_server_that_refuses_is_not_asked_in_a_loop(how: str) -> None:
    async def tell(stage: Stage) -> None:
        await stage.begin()
        await settle()

        def refuse(verb: str, path: str) -> None:
            if how == "unreachable":
                raise unreachable()
            if verb == {"410 at once": "WATCH", "410 in the list": "LIST"}.get(how):
                raise GoneError(410, "Expired", "too old")

        async def empty(*args: Any, **kwargs: Any) -> Any:
            stage.cluster.requests.append(("WATCH", "/api/v1/configmaps"))
            for event in ():
                yield event

        stage.cluster.before = refuse
        if how == "empty watches":
            stage.cluster.watch = empty  # type: ignore[method-assign, assignment]
        if how == "410 in the list":
            stage.task.cancel()
            stage.task = asyncio.create_task(stage.cache.run())
        await asyncio.sleep(241)
        before = len(stage.cluster.requests)
        await asyncio.sleep(600)
        assert len(stage.cluster.requests) - before < 150, "ten seconds apart in the end"

    story(tell)


def test_an_error_during_the_list_changes_nothing() -> None:
    async def tell(stage: Stage) -> None:
        stage.put("a", "1")
        await stage.begin()
        stage.changes.clear()
        stage.task.cancel()
        stage.cluster.remove(CONFIG_MAPS, "ns", "a")

        def refuse(verb: str, path: str) -> None:
            raise unreachable()

        stage.cluster.before = refuse
        stage.task = asyncio.create_task(stage.cache.run())
        await asyncio.sleep(30)
        assert stage.seen() == {"a": "1"}
        assert stage.changes == []

    story(tell)


def test_events_older_than_what_was_remembered_are_dropped() -> None:
    async def tell(stage: Stage) -> None:
        await stage.begin()
        await settle()
        first = stage.put("a", "1")
        second = stage.put("a", "2")
        stage.cache.remember(second)  # the answer comes before the events do
        await settle()
        assert stage.changes == [(None, "2")], "neither back to 1, nor 2 again"
        stage.cache.remember(first)
        assert stage.seen() == {"a": "2"}

    story(tell)


def test_an_answer_that_comes_after_the_event_of_a_deletion_does_not_bring_the_object_back() -> None:
    async def tell(stage: Stage) -> None:
        await stage.begin()
        await settle()
        answer = stage.put("a", "1")
        stage.cluster.remove(CONFIG_MAPS, "ns", "a")
        await settle()
        stage.cache.remember(answer)
        assert stage.seen() == {}
        made_again = stage.put("a", "2", uid="another")
        stage.cache.remember(made_again)
        assert stage.seen() == {"a": "2"}

    story(tell)


def test_a_deletion_that_only_a_list_shows_is_known_too() -> None:
    async def tell(stage: Stage) -> None:
        answer = stage.put("a", "1")
        await stage.begin()
        stage.task.cancel()
        stage.cluster.remove(CONFIG_MAPS, "ns", "a")
        stage.task = asyncio.create_task(stage.cache.run())
        await settle()
        assert stage.seen() == {}
        stage.cache.remember(answer)
        assert stage.seen() == {}

    story(tell)


def test_what_was_made_while_we_listed_stays() -> None:
    async def tell(stage: Stage) -> None:
        await stage.begin()
        stage.task.cancel()

        async def meanwhile(verb: str, path: str) -> None:
            await asyncio.sleep(0)

        original = stage.cluster.list

        async def slow(*args: Any, **kwargs: Any) -> Any:
            answer = await original(*args, **kwargs)
            stage.cache.remember(stage.put("ours", "1"))
            return answer

        stage.cluster.list = slow  # type: ignore[method-assign]
        stage.task = asyncio.create_task(stage.cache.run())
        await settle()
        assert stage.seen() == {"ours": "1"}
        assert stage.changes == [(None, "1")], "it was never thought gone"

    story(tell)


def test_an_object_made_again_under_its_name() -> None:
    """Its deletion is not the new one's, and a late event of the old one does not replace it."""

    async def tell(stage: Stage) -> None:
        await stage.begin()
        await settle()
        old = stage.put("a", "old", uid="1")
        await settle()
        late = copy.deepcopy(stage.put("a", "older news", uid="1"))
        stage.cluster.remove(CONFIG_MAPS, "ns", "a")
        stage.cache.remember(stage.put("a", "new", uid="2"))  # before any of those events arrives
        assert stage.seen() == {"a": "new"}
        await settle()
        stage.cache.remember(late)
        assert stage.seen() == {"a": "new"}
        found = stage.cache.get("ns", "a")
        assert found is not None
        assert uid_of(found) == "2" != uid_of(old)
        assert stage.changes == [(None, "old"), ("old", "new")]

    story(tell)


def test_what_no_longer_has_the_label_is_gone_and_may_come_back() -> None:
    async def tell(stage: Stage) -> None:
        await stage.begin("on=true")
        await settle()
        stage.put("a", "1", labels={"on": "true"})
        await settle()
        answer = stage.put("a", "2", labels={})
        await settle()
        assert stage.seen() == {}
        stage.cache.remember(answer)
        assert stage.seen() == {}, "the very write that took the label off"
        stage.put("a", "3", labels={"on": "true"})
        await settle()
        assert stage.seen() == {"a": "3"}
        assert stage.changes == [(None, "1"), ("1", None), (None, "3")]

    story(tell)


def test_a_watch_goes_on_where_the_last_one_ended() -> None:
    async def tell(stage: Stage) -> None:
        stage.put("a", "1")
        await stage.begin()
        for n in range(5):
            await asyncio.sleep(200)
            stage.put("a", str(n + 2))
        await settle()
        assert stage.seen() == {"a": "6"}
        assert stage.cluster.count("LIST", "configmaps") == 1
        assert stage.changes == [(None, "1"), *((str(n + 1), str(n + 2)) for n in range(5))]
        assert now() > 0

    story(tell)


def test_only_what_its_owner_keeps_is_kept_and_told() -> None:
    async def tell(stage: Stage) -> None:
        def bare(obj: Object) -> Object:
            return {**obj, "data": {"x": obj["data"]["x"]}}

        listed = {**thing("a", "1"), "data": {"x": "1", "much": "more"}}
        stage.cluster.put(CONFIG_MAPS, listed)
        stage.cache = Cache(stage.cluster, CONFIG_MAPS, keep=bare)  # type: ignore[arg-type]
        told: list[Object | None] = []
        stage.cache.listen(lambda old, new: told.append(new))
        stage.task = asyncio.create_task(stage.cache.run())
        await stage.cache.synced.wait()
        stage.cluster.put(CONFIG_MAPS, {**thing("a", "2"), "data": {"x": "2", "much": "more"}})
        await settle()
        assert [obj["data"] for obj in told if obj is not None] == [{"x": "1"}, {"x": "2"}]
        assert [obj["data"] for obj in stage.cache.objects()] == [{"x": "2"}]

    story(tell)
