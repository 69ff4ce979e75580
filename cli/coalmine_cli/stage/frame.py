"""The redrawn lines: one picture of a moment, for any size of terminal.

Pure: same scenery, same size, same ink: same lines, and exactly as many as were asked for, so that
nothing jumps. Wide, the tree stands left and the answers right; else answers and shares stand above
the tree, and what there is no room for is cut from the tree first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from coalmine.model.rollout import Status
from coalmine.model.view import PHASE_MARKS, View
from coalmine_cli.fit import columns, cut
from coalmine_cli.prune import pruned
from coalmine_cli.render import ICONS, tree
from coalmine_cli.stage.chart import chart
from coalmine_cli.stage.ink import Ink
from coalmine_cli.stage.narrate import release_of
from coalmine_cli.stage.page import cells, minutes, wrapped
from coalmine_cli.stage.tally import Answers
from coalmine_cli.stage.teller import Act
from coalmine_cli.terminal import Line, Span
from coalmine_sandbox.story.application import COLOURS

#: From here on the tree and the answers stand side by side.
_WIDE: Final = 99
#: From here on the stream and the shares stand side by side.
_MEDIUM: Final = 56
#: The widest tree of the story, in a wide terminal.
_TREE: Final = 66
#: Columns of the table of shares, of its first column, and of the roles where there is room for them.
_SHARES: Final = 36
_LABEL: Final = 14
_ROLE: Final = 7
#: Its lines, with two releases: with a third one for a while it is longer.
_ROWS: Final = 4
_GUTTER: Final = "  "
_MOST_ROWS: Final = 28
_RELEASES: Final = {colour: release for release, colour in COLOURS.items()}


@dataclass(frozen=True, slots=True)
class Scenery:
    """What is known at one moment; `now` is a Unix time, `elapsed` seconds since the story began."""

    acts: tuple[Act, ...]
    sentence: str
    elapsed: float
    status: Status
    view: View | None
    now: float
    answers: Answers


def height(rows: int) -> int:
    """Lines of the picture in a terminal of `rows`: the page keeps a quarter, at least four."""
    return max(min(rows - max(rows // 4, 4), _MOST_ROWS), 1)


def frame(scenery: Scenery, width: int, rows: int, ink: Ink) -> list[Line]:
    """Exactly `rows` lines of at most `width` columns."""
    sentence: list[Line] = [(Span(part, "strong"),) for part in wrapped(scenery.sentence, width)]
    told = 2 if width >= _MEDIUM else 3
    lines: list[Line] = [_rule(scenery, width), *_filled(sentence, told)]
    left = rows - len(lines)
    if width >= _WIDE:
        lines += _wide(scenery, width, left, ink)
    else:
        lines += _stacked(scenery, width, left, ink)
    return _filled([cut(line, width) for line in lines], rows)


def _filled(lines: list[Line], rows: int) -> list[Line]:
    return [*lines[: max(rows, 0)], *[()] * (rows - len(lines))]


def _rule(scenery: Scenery, width: int) -> Line:
    """The acts and the time, in a line that parts the page from the picture."""
    clock = f" {minutes(scenery.elapsed)} ──"
    for names in ("all", "on", "none"):
        spans = [Span("── ", "idle")]
        for number, act in enumerate(scenery.acts, 1):
            mark, style = {
                "done": ("✔", "good"), "broken": ("✖", "bad"), "on": ("▶", "title"), "coming": ("·", "idle"),
            }[act.state]  # fmt: skip
            named = f" {act.name}" if names == "all" or (names == "on" and act.state == "on") else ""
            gap = " ── " if names == "all" and number < len(scenery.acts) else " "
            spans += [Span(f"{number} {mark}{named}", style), Span(gap, "idle")]
        used = columns("".join(s.text for s in spans))
        if used + len(clock) <= width:
            break
    return (*spans, Span("─" * (width - used - len(clock)) + clock, "idle"))


def _wide(scenery: Scenery, width: int, rows: int, ink: Ink) -> list[Line]:
    left_width = min(_TREE, width * 3 // 5)
    right_width = width - left_width - len(_GUTTER)
    left = [_state(scenery.status, left_width), (), *_tree(scenery, left_width, rows - 2)]
    shares = _shares(scenery, right_width, ink)
    right: list[Line] = [_heading(scenery.answers, ink), *_stream(scenery.answers, right_width, 4, ink), (), *shares]
    room = min(rows - len(right) - 2, 10)
    if room >= 3:
        right += [(), *chart(scenery.answers.history, right_width, room, ink)]
    return _beside(_filled(left, rows), _filled(right, rows), left_width)


def _stacked(scenery: Scenery, width: int, rows: int, ink: Ink) -> list[Line]:
    if width >= _MEDIUM:
        half = max(_SHARES, width // 2 - 2)
        shares = [cut(line, half) for line in _shares(scenery, half, ink)]
        stream = [_heading(scenery.answers, ink)]
        stream += _stream(scenery.answers, width - half - len(_GUTTER), len(shares) - 1, ink)
        top = _beside(_filled(stream, len(shares)), shares, width - half - len(_GUTTER))
    else:
        top = [*_stream(scenery.answers, width, 1 if rows < 10 else 2, ink), *_shares(scenery, width, ink)]
    room = rows - len(top)
    if room >= 12 and width >= _MEDIUM:
        top, room = [*top, ()], room - 1
    body = _tree(scenery, width, room) if scenery.view is not None else []
    if room >= 9 and width >= _MEDIUM and len(body) < room:
        body = [_state(scenery.status, width), *body]
    return [*top, *body]


def _beside(left: list[Line], right: list[Line], width: int) -> list[Line]:
    lines: list[Line] = []
    for one, other in zip(left, right, strict=True):
        one = cut(one, width)
        lines.append((*one, Span(" " * (width - columns("".join(s.text for s in one))) + _GUTTER), *other))
    return lines


def _state(status: Status, width: int) -> Line:
    """The fields of `get rollout` that change, in one line."""
    if status == Status():
        return ()
    mark = PHASE_MARKS[status.phase]
    spans = [Span(f"{ICONS[mark]} {status.phase.value}", mark.value)]
    if status.canary is not None:
        fields = [("Step", status.step_text), ("SetWeight", f"{status.weight}")]
        fields.append(("ActualWeight", f"{status.actual_weight}"))
        for name, value in fields:
            spans += [Span(f"  {name}: ", "label"), Span(value)]
    return cut(tuple(spans), width)


def _tree(scenery: Scenery, width: int, rows: int) -> list[Line]:
    if scenery.view is None:
        return []
    root = pruned(scenery.view.tree, rows)
    lines = tree(root, scenery.now, width)
    if len(lines) > rows:  # the heading is the first to go, then the root: its status is told above
        lines = lines[1:] if len(lines) == rows + 1 else lines[2:]
    if len(lines) > rows > 0:
        lines = [*lines[: rows - 1], (Span("…", "idle"),)]
    return lines


def _heading(answers: Answers, ink: Ink) -> Line:
    if not answers.total:
        return (Span("Answers", "label"), Span("  none asked yet", "idle"))
    few = "" if answers.every == 1 else f"  1 in {answers.every} shown"
    return (Span("Answers", "label"), Span(few, "idle"))


def _stream(answers: Answers, width: int, rows: int, ink: Ink) -> list[Line]:
    """The newest answers; lines are filled from the left, and the oldest line goes when all are full."""
    if rows < 1:
        return []
    last = answers.streamed % width or (width if answers.streamed else 0)
    shown = list(answers.stream)
    lines: list[Line] = [tuple(cells(shown[max(len(shown) - last, 0) :], ink))]
    end = len(shown) - last
    while len(lines) < rows and end > 0:
        lines.insert(0, tuple(cells(shown[max(end - width, 0) : end], ink)))
        end -= width
    return _filled(lines, rows)


def _shares(scenery: Scenery, width: int, ink: Ink) -> list[Line]:
    """The legend: each release's colour, its share of late and at this weight, and what failed."""
    answers, status = scenery.answers, scenery.status
    recent = answers.recent
    stay = answers.stay
    if stay is not None and (status.canary is None or release_of(status.canary) != stay.release):
        stay = None  # of a release that is over
    roles = {release_of(status.stable): "stable"}
    if status.canary is not None:
        roles[release_of(status.canary)] = "canary"
    told = width >= _SHARES + _ROLE
    label = _LABEL + (_ROLE if told else 0)
    here = f"at {stay.weight} %" if stay is not None else ""
    lines: list[Line] = [(Span(f"{'':<{label}}{'last 1,000':>12}{here:>10}", "idle"),)]
    for colour, release in _RELEASES.items():
        if not recent.get(colour) and release not in roles:
            continue
        role = roles.get(release, "")
        line = [Span("  "), ink.answer(colour), Span(f" {release:<4}{colour:<6}")]
        line += [Span(f"{role:<{_ROLE}}", role)] if told else []
        line += [Span(f"{_percent(recent, colour):>12}")]
        line += [Span(f"{_percent(stay.counts, colour):>10}", "strong")] if stay is not None else []
        lines.append(tuple(line))
    failed = f"  failed: {answers.failed:,} of {answers.total:,} requests"
    lines = _filled(lines, max(len(lines), _ROWS - 1))
    return [*lines, (Span(failed, "bad" if answers.failed else "good" if answers.total else "idle"),)]


def _percent(counts: Mapping[str, int], colour: str) -> str:
    total = sum(counts.values())
    return f"{100 * counts.get(colour, 0) / total:.1f} %" if total else ""
