"""What the live stage shows of a recorded run, in terminals of several sizes, reconstructed by an emulator.

UPDATE_GOLDEN=1 writes the golden files anew; those with colours are to be looked at with `cat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pyte
import pytest
from demo_events import recording
from demo_golden import check
from demo_replay import Replay

from coalmine_cli.stage.frame import height
from coalmine_cli.stage.ink import Ink

SIZES = [(120, 36), (80, 24), (60, 20), (40, 15)]
#: Seconds of the recorded run: started, at 20 %, at 50 %, taken back, back, at the end.
MOMENTS = (8.0, 13.5, 18.5, 29.0, 31.0, 44.5)
COLOURS = Ink(colour=True, symbols=True)
LETTERS = Ink(colour=False, symbols=True)
ASCII = Ink(colour=False, symbols=False)


def emulator(size: tuple[int, int]) -> pyte.HistoryScreen:
    return pyte.HistoryScreen(*size, history=4000, ratio=0.001)


def text_of(screen: pyte.Screen) -> list[str]:
    return [line.rstrip() for line in screen.display]


def whole(screen: pyte.HistoryScreen) -> list[str]:
    """Scrollback and screen, without what is blank at the end."""
    past = ["".join(line[n].data for n in range(screen.columns)).rstrip() for line in screen.history.top]
    lines = [*past, *text_of(screen)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def played(size: tuple[int, int], ink: Ink) -> Iterator[tuple[float, str, pyte.HistoryScreen]]:
    """Each drawing, after the emulator has taken it."""
    screen = emulator(size)
    stream = pyte.Stream(screen)
    for at, text in Replay(recording(), size, ink).chunks():
        stream.feed(text)
        yield at, text, screen


@cache
def page(columns: int, ink: Ink = COLOURS) -> tuple[str, ...]:
    """The story as a page: in a terminal so tall that nothing scrolls away."""
    *_, (_, _, screen) = played((columns, 400), ink)
    return tuple(whole(screen))


def shown_at(size: tuple[int, int], ink: Ink) -> str:
    shown, left = [], list(MOMENTS)
    for at, _, screen in played(size, ink):
        if left and at >= left[0]:
            shown.append(f"===== after {left.pop(0):g} s\n" + "\n".join(text_of(screen)) + "\n")
    assert not left
    return "".join(shown)


@pytest.mark.parametrize(
    ("size", "name", "ink"),
    [
        *((size, "symbols", COLOURS) for size in SIZES),
        *((size, "letters", LETTERS) for size in SIZES[::2]),
        ((80, 24), "ascii", ASCII),
    ],
)
def test_screens(size: tuple[int, int], name: str, ink: Ink) -> None:
    check(f"demo-{size[0]}x{size[1]}-{name}.txt", shown_at(size, ink))


@pytest.mark.parametrize("size", SIZES)
def test_colours(size: tuple[int, int]) -> None:
    """One picture with its escape sequences."""
    replay = Replay(recording(), size, COLOURS)
    for at, _ in replay.chunks():
        if at >= MOMENTS[3]:
            break
    replay.size = (size[0], size[1] + 1)  # a resize: everything is written
    replay.live.draw(replay.samples)
    check(f"demo-{size[0]}x{size[1]}-colours.ansi", replay.out.getvalue().replace("\r\n", "\n") + "\n")


@pytest.mark.parametrize("columns", [120, 60])
def test_page_that_is_left(columns: int) -> None:
    check(f"demo-page-{columns}.txt", "\n".join(page(columns)) + "\n")


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 15), (33, 11)])
def test_page_in_the_scrollback_is_whole_whatever_the_height(size: tuple[int, int]) -> None:
    *_, (_, _, screen) = played(size, COLOURS)
    assert whole(screen) == list(page(size[0]))
    assert not screen.cursor.hidden


@pytest.mark.parametrize("size", [(200, 50), (80, 24), (40, 15)])
def test_each_drawing_is_a_page_and_one_picture(size: tuple[int, int]) -> None:
    seen = set(page(size[0]))
    for _, _, screen in played(size, COLOURS):
        lines = text_of(screen)
        rules = [n for n, line in enumerate(lines) if line.startswith("── 1 ")]
        if not rules:
            assert not screen.cursor.hidden, "the picture was taken away"
            continue
        assert len(rules) == 1
        assert all(line in seen for line in lines[: rules[0]])
        assert not any(lines[rules[0] + height(size[1]) :]), "nothing below the picture"
        assert screen.cursor.hidden
        assert pyte.modes.DECAWM in screen.mode, "wrapping is on again"


def test_a_terminal_that_is_resized() -> None:
    sizes = [(120, 36), (70, 20), (100, 40), (40, 15), (200, 30), (80, 24)]
    replay = Replay(recording(), sizes[0], COLOURS)
    screen = emulator(sizes[0])
    stream = pyte.Stream(screen)
    for number, (_, text) in enumerate(replay.chunks()):
        stream.feed(text)
        lines = text_of(screen)
        rules = [n for n, line in enumerate(lines) if line.startswith("── 1 ")]
        if rules:
            rows = height(screen.lines)
            assert len(rules) == 1
            assert set(lines[: rules[0]]) <= set(page(screen.columns)), "the page is laid out for this width"
            assert not any(lines[rules[0] + rows :])
        if number % 10 == 9:
            replay.size = sizes[number // 10 % len(sizes)]
            screen.resize(replay.size[1], replay.size[0])
    end = page(screen.columns)
    assert whole(screen)[-20:] == list(end)[-20:]


def test_nothing_flickers() -> None:
    """While a picture is written, piece by piece, what stays the same never goes away."""
    screen = emulator((80, 24))
    stream = pyte.Stream(screen)
    tried = 0
    for _, text in Replay(recording(), (80, 24), COLOURS).chunks():
        before = [list(map(str, line)) for line in screen.display]
        if "\n" in text or not text:  # the page grew: lines move up
            stream.feed(text)
            continue
        pieces = [text[n : n + 7] for n in range(0, len(text), 7)]
        between = []
        for piece in pieces:
            stream.feed(piece)
            between.append(screen.display)
        after = screen.display
        for row in range(24):
            for column in range(80):
                if before[row][column] == after[row][column]:
                    assert all(lines[row][column] == after[row][column] for lines in between)
        tried += 1
        if tried == 12:
            return
    raise AssertionError("there were too few drawings to try")


def test_a_drawing_is_small_and_there_are_few() -> None:
    """What goes over a slow line: an hour of it would be a few megabytes."""
    drawings = [len(text) for _, text, _ in played((120, 36), COLOURS)]
    assert sum(drawings) / len(drawings) < 4000


def test_no_colour_means_no_colour() -> None:
    for _, text, _ in played((80, 24), LETTERS):
        assert "m" not in {sequence.lstrip("0123456789;?")[:1] for sequence in text.split("\x1b[")[1:]}


def test_ascii_only() -> None:
    for _, text, _ in played((80, 24), ASCII):
        assert text.isascii()
