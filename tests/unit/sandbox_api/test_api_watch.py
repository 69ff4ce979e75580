"""Watches: nothing is missed, selectors make objects come and go, what is forgotten is 410."""

from __future__ import annotations

import asyncio
import json

import pytest
from api_stand import Stand, config_map, next_events

from coalmine.kube.resources import CONFIG_MAPS
from coalmine_sandbox.api import watching

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_a_watch_goes_on_where_a_list_ended(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    listed = await stand.ask("GET", MAPS)
    await stand.ask("POST", MAPS, config_map("b"))
    stream = await stand.watch(MAPS, resourceVersion=listed["metadata"]["resourceVersion"])
    assert [(t, o["metadata"]["name"]) for t, o in await next_events(stream, 1)] == [("ADDED", "b")]
    await stand.patch(f"{MAPS}/b", {"data": {"x": "1"}})
    await stand.ask("DELETE", f"{MAPS}/a")
    found = await next_events(stream, 2)
    assert [(t, o["metadata"]["name"]) for t, o in found] == [("MODIFIED", "b"), ("DELETED", "a")]
    assert found[1][1]["metadata"]["resourceVersion"] == str(stand.store.version)


async def test_without_a_version_everything_comes_first(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    await stand.ask("POST", MAPS, config_map("b"))
    stream = await stand.watch(MAPS)
    assert [(t, o["metadata"]["name"]) for t, o in await next_events(stream, 2)] == [("ADDED", "a"), ("ADDED", "b")]


async def test_initial_events_end_with_a_bookmark(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    stream = await stand.watch(
        MAPS, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    )
    events = await next_events(stream, 2)
    assert [t for t, _ in events] == ["ADDED", "BOOKMARK"]
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert events[1][1]["metadata"]["resourceVersion"] == str(stand.store.version)


async def test_an_object_comes_and_goes_with_its_match(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    stream = await stand.watch(MAPS, labelSelector="on=yes", resourceVersion=str(stand.store.version))
    await stand.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})
    await stand.patch(f"{MAPS}/a", {"data": {"x": "1"}})
    await stand.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}})
    await stand.patch(f"{MAPS}/a", {"data": {"x": "2"}})
    await stand.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})
    events = await next_events(stream, 4)
    assert [t for t, _ in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    # as it last matched, at the version at which it ceased to
    assert events[2][1]["metadata"]["labels"] == {"on": "yes"}
    assert events[2][1]["metadata"]["resourceVersion"] == "4"


async def test_one_name_is_watched_by_a_field_selector(stand: Stand) -> None:
    stream = await stand.watch(MAPS, fieldSelector="metadata.name=b")
    await stand.ask("POST", MAPS, config_map("a"))
    await stand.ask("POST", MAPS, config_map("b"))
    assert [o["metadata"]["name"] for _, o in await next_events(stream, 1)] == ["b"]


async def test_a_forgotten_version_is_410(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    await stand.ask("POST", MAPS, config_map("b"))
    stand.store.compact()
    refused = await stand.ask("GET", MAPS, watch="true", resourceVersion="1", status=410)
    assert refused["reason"] == "Expired"
    assert refused["message"] == "too old resource version: 1 (2)"


async def test_a_version_that_was_not_reached_is_told_apart(stand: Stand) -> None:
    refused = await stand.ask("GET", MAPS, watch="true", resourceVersion="99", status=504)
    assert refused["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_a_watch_ends_when_its_time_is_over_with_a_bookmark_before(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    stream = await stand.watch(MAPS, timeoutSeconds="3", allowWatchBookmarks="true", resourceVersion="1")
    lines = b"".join([chunk async for chunk in stream.chunks]).splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["BOOKMARK"]
    assert json.loads(lines[0])["object"]["metadata"]["resourceVersion"] == "1"


async def test_a_table_is_watched_too_with_its_heads_once(stand: Stand) -> None:
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    await stand.ask("POST", MAPS, config_map("a", x="1"))
    await stand.ask("POST", MAPS, config_map("b"))
    found = await stand.raw("GET", MAPS, watch="true", headers=accept)
    events = await next_events(found, 2)  # type: ignore[arg-type]
    assert [o["kind"] for _, o in events] == ["Table", "Table"]
    assert [c["name"] for c in events[0][1]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert events[1][1]["columnDefinitions"] is None
    assert events[0][1]["rows"][0]["cells"] == ["a", 1, "0s"]


async def test_a_watcher_that_takes_nothing_is_cut_off_and_holds_nothing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MOST_BYTES", 4000)
    stream = await stand.watch(MAPS, resourceVersion=str(stand.store.version))
    assert await anext(stream.chunks) == b""
    for number in range(5):
        await stand.ask("POST", MAPS, config_map(f"m{number}", x="y" * 1000))
    assert [chunk async for chunk in stream.chunks] == []
    assert not stand.store._listeners[CONFIG_MAPS]


async def test_the_past_is_told_however_much_it_is(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is cut off for it would ask for the same again, without end."""
    monkeypatch.setattr(watching, "_MOST_BYTES", 4000)
    for number in range(5):
        await stand.ask("POST", MAPS, config_map(f"m{number}", x="y" * 1000))
    stream = await stand.watch(MAPS, resourceVersion="1")
    assert len(await next_events(stream, 4)) == 4


async def test_no_bookmark_runs_ahead_of_an_event_of_the_same_moment(stand: Stand) -> None:
    await stand.ask("POST", MAPS, config_map("a"))
    stream = await stand.watch(MAPS, timeoutSeconds="5", allowWatchBookmarks="true", resourceVersion="1")
    assert await anext(stream.chunks) == b""
    # at the very moment at which the last bookmark is due
    loop = asyncio.get_running_loop()
    changed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "default"}}
    loop.call_later(3, stand.store.put, CONFIG_MAPS, changed)
    types = [json.loads(line)["type"] async for chunk in stream.chunks for line in chunk.splitlines()]
    assert types[0] == "ADDED"
