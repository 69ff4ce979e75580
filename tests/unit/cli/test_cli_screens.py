"""The screens of `get rollout`, as golden files: UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import cli_objects as make
import pytest

from coalmine.model.view import View, view
from coalmine_cli.render import screen
from coalmine_cli.terminal import Terminal, plain

GOLDEN = Path(__file__).parent / "golden"
STORIES: dict[str, Callable[[], make.Story]] = {
    "healthy-first-revision": make.healthy_first,
    "progressing-20-percent": make.progressing,
    "paused": make.paused,
    "degraded-after-abort": make.degraded,
    "promoted": make.promoted,
    "canary-crash-looping": make.crash_looping,
}


def seen(story: make.Story) -> View:
    return view(story.deployment, story.rollout, story.replica_sets, story.pods, story.runs)


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{name} changed: if that is meant, run with UPDATE_GOLDEN=1"


@pytest.mark.parametrize("name", STORIES)
def test_screen(name: str) -> None:
    check(f"{name}.txt", plain(screen(seen(STORIES[name]()), make.NOW)) + "\n")


@pytest.mark.parametrize("width", [80, 60, 40])
def test_narrow_screen(width: int) -> None:
    check(f"narrow-{width}.txt", plain(screen(seen(make.crash_looping()), make.NOW, width)) + "\n")


def test_json() -> None:
    check("degraded-after-abort.json", json.dumps(seen(make.degraded()).to_json(), indent=2) + "\n")


@pytest.mark.parametrize("name", STORIES)
def test_no_line_is_wider_than_the_terminal(name: str) -> None:
    def tree(width: int | None) -> list[str]:
        lines = plain(screen(seen(STORIES[name]()), make.NOW, width)).splitlines()
        assert width is None or max(len(line) for line in lines) <= width
        return lines[lines.index("") + 1 :]

    assert {len(tree(width)) for width in range(20, 140)} == {len(tree(None))}, "each node keeps its one line"
    assert tree(140) == tree(None)


@pytest.mark.parametrize("name", STORIES)
def test_the_tree_is_pruned_to_the_terminals_lines(name: str) -> None:
    story = seen(STORIES[name]())
    whole = len(screen(story, make.NOW, 80))
    for rows in range(whole + 2):
        text = plain(screen(story, make.NOW, 80, rows))
        head, _, tree = text.partition("\n\n")
        assert len(text.splitlines()) <= max(rows, len(head.splitlines()) + 5), "at least root, stable and canary"
        assert f"{story.name} " in tree.splitlines()[1]
    assert plain(screen(story, make.NOW, 80, whole)) == plain(screen(story, make.NOW, 80))


@pytest.mark.parametrize(("tty", "rows", "height"), [(True, 24, 24), (True, 0, None), (False, 24, None)])
def test_only_a_terminal_has_a_height(tty: bool, rows: int, height: int | None) -> None:
    terminal = Terminal(io.StringIO(), io.StringIO(), tty=tty, colour=False, columns=lambda: 80, rows=lambda: rows)
    assert terminal.height == height


@pytest.mark.parametrize("name", STORIES)
def test_colours_change_no_character(name: str) -> None:
    lines = screen(seen(STORIES[name]()), make.NOW, 200)
    shown = {}
    for colour in (False, True):
        out = io.StringIO()
        Terminal(out, io.StringIO(), tty=True, colour=colour, columns=lambda: 200).show(lines)
        shown[colour] = out.getvalue()
    assert "\x1b[" in shown[True]
    assert "\x1b" not in shown[False]
    without = "".join(part.partition("m")[2] if i else part for i, part in enumerate(shown[True].split("\x1b[")))
    assert [line.rstrip() for line in without.splitlines()] == shown[False].splitlines()


def test_escape_sequences_of_others_do_not_reach_the_terminal() -> None:
    story = make.crash_looping()
    story.pods[-1]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] = "\x1b[2JGone\nAway"
    story.rollout["status"]["message"] = "fine\x1b]0;owned\x07\r\nStatus: Healthy"
    story.rollout["status"]["canary"]["images"] = ["evil\x1b[31m:1"]
    text = plain(screen(seen(story), make.NOW))
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "evil?[31m:1 (canary)" in text


def test_wide_characters_keep_the_columns() -> None:
    story = make.crash_looping()
    story.pods[-1]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] = "故障"
    row = next(line for line in plain(screen(seen(story), make.NOW)).splitlines() if "故障" in line)
    other = next(line for line in plain(screen(seen(story), make.NOW)).splitlines() if "p4kfl" in line)
    assert row.index("ready:") + 2 == other.index("ready:")
