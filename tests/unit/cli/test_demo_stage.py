"""Which form of the stage a stream gets, and the plain form."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest
from demo_events import recording
from demo_golden import check
from demo_replay import plain

from coalmine_cli.stage.choose import stage
from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.live import Live, shown_of
from coalmine_cli.stage.plain import Plain

TERM = {"TERM": "xterm-256color"}


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    with os.fdopen(theirs, "w", encoding="utf-8") as out:
        yield out
    os.close(ours)


@pytest.mark.parametrize(
    ("environ", "rows", "form"),
    [
        (TERM, 30, Live),
        (TERM | {"NO_COLOR": "1"}, 30, Live),
        ({"TERM": "dumb"}, 30, Plain),
        ({}, 30, Plain),
        (TERM, 0, Plain),
        (TERM, 8, Plain),
    ],
)
def test_form(terminal: TextIO, environ: dict[str, str], rows: int, form: type[Live] | type[Plain]) -> None:
    termios.tcsetwinsize(terminal.fileno(), (rows, 100 if rows else 0))
    assert isinstance(stage(terminal, environ), form)


@pytest.mark.parametrize(
    ("environ", "wanted", "colour"), [(TERM, True, True), (TERM, False, False), (TERM | {"NO_COLOR": "1"}, True, False)]
)
def test_colour(terminal: TextIO, environ: dict[str, str], wanted: bool, colour: bool) -> None:
    told = stage(terminal, environ, colour=wanted)
    assert told._ink == Ink(colour=colour, symbols=True)


def test_a_file_gets_lines_without_colours() -> None:
    out = io.StringIO()
    told = stage(out, TERM)
    told.opening("It starts.")
    assert isinstance(told, Plain)
    assert out.getvalue() == "   0:00  It starts.\n"


@pytest.mark.parametrize(
    ("encoding", "symbols"), [("utf-8", True), ("ascii", False), ("latin-1", False), (None, False)]
)
def test_symbols(encoding: str | None, symbols: bool) -> None:
    assert Ink.of(encoding, colour=False).symbols is symbols


@pytest.mark.parametrize(("name", "symbols"), [("symbols", True), ("ascii", False)])
def test_plain(name: str, symbols: bool) -> None:
    text = asyncio.run(plain(recording(), Ink(colour=False, symbols=symbols), 96))
    assert max(map(len, text.splitlines())) <= 96
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert symbols or text.isascii()
    check(f"demo-plain-{name}.txt", text)


def test_narrow_plain() -> None:
    text = asyncio.run(plain(recording(), Ink(colour=False, symbols=True), 50))
    assert max(map(len, text.splitlines())) <= 50


@pytest.mark.parametrize("rate", [1, 20, 100, 220, 500])
def test_one_in_an_odd_number_is_shown(rate: float) -> None:
    assert shown_of(rate) % 2
    assert rate / shown_of(rate) <= 25
