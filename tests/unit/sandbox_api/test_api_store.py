"""The store: one counter, history, what a restart brings back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from api_stand import config_map

from coalmine.kube.resources import CONFIG_MAPS, SECRETS
from coalmine_sandbox.api import journal
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.journal import Journal, JournalError
from coalmine_sandbox.api.store import Change, Store


def named(name: str, **data: str) -> dict[str, object]:
    obj = config_map(name, **data)
    obj["metadata"]["namespace"] = "default"
    return obj


def test_every_write_raises_the_one_counter() -> None:
    store = Store()
    first = store.put(CONFIG_MAPS, named("a"))
    second = store.put(SECRETS, {**named("b"), "kind": "Secret"})
    gone = store.delete(CONFIG_MAPS, "default", "a")
    assert [o["metadata"]["resourceVersion"] for o in (first, second, gone)] == ["1", "2", "3"]
    assert store.get(CONFIG_MAPS, "default", "a") is None


def test_what_was_stored_is_not_changed_by_a_later_write() -> None:
    store = Store()
    first = store.put(CONFIG_MAPS, named("a", x="1"))
    store.put(CONFIG_MAPS, named("a", x="2"))
    assert first["data"] == {"x": "1"}


def test_a_list_of_an_earlier_version_is_what_it_was() -> None:
    store = Store()
    store.put(CONFIG_MAPS, named("a", x="1"))
    store.put(CONFIG_MAPS, named("b"))
    then = store.version
    store.put(CONFIG_MAPS, named("a", x="2"))
    store.delete(CONFIG_MAPS, "default", "b")
    store.put(CONFIG_MAPS, named("c"))
    found = [entry.object for entry in store.entries_at(CONFIG_MAPS, None, then)]
    assert [(o["metadata"]["name"], o["data"]) for o in found] == [("a", {"x": "1"}), ("b", {})]


def test_what_is_forgotten_is_410() -> None:
    store = Store(history=2)
    for name in "abc":
        store.put(CONFIG_MAPS, named(name))
    assert [change.entry.version for change in store.since(1)] == [2, 3]
    with pytest.raises(StatusError) as refused:
        store.since(0)
    assert refused.value.code == 410
    store.compact()
    assert store.since(3) == []
    with pytest.raises(StatusError):
        store.since(2)


def test_listeners_hear_of_writes_in_order_until_they_end() -> None:
    store = Store()
    heard: list[Change] = []
    end = store.listen(CONFIG_MAPS, heard.append)
    store.put(CONFIG_MAPS, named("a"))
    store.put(SECRETS, {**named("b"), "kind": "Secret"})
    store.put(CONFIG_MAPS, named("a"))
    store.delete(CONFIG_MAPS, "default", "a")
    end()
    store.put(CONFIG_MAPS, named("a"))
    assert [(c.type, c.entry.version) for c in heard] == [("ADDED", 1), ("MODIFIED", 3), ("DELETED", 4)]


def test_a_restart_brings_everything_back_and_goes_on_counting(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path))
    store.put(CONFIG_MAPS, named("a", x="ü"))
    store.put(CONFIG_MAPS, named("b"))
    store.delete(CONFIG_MAPS, "default", "b")
    # killed: nothing is closed
    again = Store(Journal(tmp_path))
    assert again.version == 3
    assert [entry.object["data"] for entry in again.entries(CONFIG_MAPS)] == [{"x": "ü"}]
    assert again.put(CONFIG_MAPS, named("c"))["metadata"]["resourceVersion"] == "4"
    with pytest.raises(StatusError) as refused:
        again.since(2)
    assert refused.value.code == 410
    third = Store(Journal(tmp_path))
    assert third.version == 4
    assert len(third.entries(CONFIG_MAPS)) == 2


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path))
    store.put(CONFIG_MAPS, named("a"))
    file = tmp_path / "journal.jsonl"
    with file.open("ab") as cut:
        cut.write(b'{"v":2,"r":["v1","Conf')
    again = Store(Journal(tmp_path))
    assert again.version == 1
    assert again.put(CONFIG_MAPS, named("b"))["metadata"]["resourceVersion"] == "2"
    assert len(Store(Journal(tmp_path)).entries(CONFIG_MAPS)) == 2


def test_a_journal_of_somebody_else_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("hello\n")
    with pytest.raises(JournalError, match="remove the directory"):
        Store(Journal(tmp_path))


def test_a_journal_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds Secrets, and the old one may have been open to all."""
    state = tmp_path / "state"
    Store(Journal(state)).put(SECRETS, named("a"))
    assert state.stat().st_mode & 0o077 == 0
    (state / "journal.jsonl").chmod(0o644)
    Store(Journal(state)).put(SECRETS, named("b"))
    assert (state / "journal.jsonl").stat().st_mode & 0o077 == 0


def test_half_a_line_of_a_full_disk_does_not_take_the_next_one_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(Journal(tmp_path))
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:-10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            store.put(CONFIG_MAPS, named("a"))
    assert store.entries(CONFIG_MAPS) == []
    store.put(CONFIG_MAPS, named("b"))
    assert [entry.key for entry in Store(Journal(tmp_path)).entries(CONFIG_MAPS)] == [("default", "b")]


def test_a_disk_too_full_to_shorten_the_journal_loses_no_write_and_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_MOST_WRITTEN", 0)
    store = Store(Journal(tmp_path))
    heard: list[Change] = []
    store.listen(CONFIG_MAPS, heard.append)

    def full(_path: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        store.put(CONFIG_MAPS, named("a"))
    store.put(CONFIG_MAPS, named("b"))  # now there is room
    assert [change.entry.key[1] for change in heard] == ["a", "b"]
    assert (tmp_path / "journal.jsonl").read_bytes().count(b"\n") == 3
    assert len(Store(Journal(tmp_path)).entries(CONFIG_MAPS)) == 2
